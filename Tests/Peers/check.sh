#!/usr/bin/env bash
# Artifacts in llama.cpp and in gguf's reader: perplexity there against `compress eval`.
# Usage: check.sh PROGRAM [MODEL [TEXT]]      (default: the reference model and its held-out text)
# PEER_PYTHON names a Python that has requirements.txt; without it a virtual environment is made in .venv/.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
program=$1
model=${2:-$root/Calibration/reference/model.bin}
text=${3:-$root/Calibration/evaluation.txt}
source "$here/python.sh"
"$python" "$here/perplexity.py" --compress "$program" --text "$text" "$model"
