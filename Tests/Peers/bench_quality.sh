#!/usr/bin/env bash
# Every quality bar, our program beside its peers: quality/bench.py with the peers installed.
# Usage: bench_quality.sh PROGRAM [option of quality/bench.py …]
# PEER_PYTHON, LLAMA_PROGRAMS and TORCH_PYTHON name what is installed already; without them .venv/ and .venv-torch/ are made.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
program=$1
shift
source "$here/python.sh"
source "$here/quality/tools.sh"
source "$here/quality/torch.sh"
exec "$python" "$here/quality/bench.py" --compress "$program" --llama "$llama" ${torch:+--torch "$torch"} "$@"
