#!/usr/bin/env bash
# Quantized safetensors in transformers with compressed-tensors: the same logits as the decoded weights?
# Usage: check_transformers.sh PROGRAM [MODEL…]      (default: the reference model)
# PEER_PYTHON names a Python that has requirements-transformers.txt; without it an environment is made in .venv-transformers/.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
program=$1
shift
[ $# -gt 0 ] || set -- "$root/Calibration/reference/model.bin"
python=${PEER_PYTHON:-}
if [ -z "$python" ]; then
  python=$root/.venv-transformers/bin/python
  [ -x "$python" ] || python3 -m venv "$root/.venv-transformers"
  "$python" -m pip install --quiet --requirement "$here/requirements-transformers.txt"
fi
PYTHONDONTWRITEBYTECODE=1 "$python" "$here/transformers_logits.py" --compress "$program" \
  --text "$root/Calibration/evaluation.txt" "$@"
