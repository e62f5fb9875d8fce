#!/usr/bin/env bash
# Every bar of pruning, our program beside the papers' definitions: pruning/bench.py with PyTorch installed.
# Usage: bench_pruning.sh PROGRAM [option of pruning/bench.py …]; TORCH_PYTHON names a Python that has what the peers need.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
program=$1
shift
source "$here/quality/torch.sh"
exec python3 "$here/pruning/bench.py" --compress "$program" ${torch:+--torch "$torch"} "$@"
