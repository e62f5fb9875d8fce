#!/usr/bin/env bash
# Every speed bar, our program beside its peers: speed/bench.py with the peers installed.
# Usage: bench_speed.sh PROGRAM [option of speed/bench.py …]
# PEER_PYTHON and LLAMA_PROGRAMS name what is installed already; without them .venv/ is made.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
program=$1
shift
source "$here/python.sh"
source "$here/quality/tools.sh"
exec "$python" "$here/speed/bench.py" --compress "$program" --llama "$llama" "$@"
