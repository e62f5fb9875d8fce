#!/usr/bin/env bash
# What trainings reach, a line a case: the KL divergence on text that nothing was learned from, before and after.
# Usage: bench_training.sh PROGRAM DATA WORK ONLY
# DATA has models/books-7m and text/; without it the shipped model alone is trained. ONLY: a part of the cases' names.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
program=$1 data=${2:-} only=${4:-}
work=${3:-}
if [ -z "$work" ]; then work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT; fi
mkdir -p "$work"
text="$work/training.txt"
[ -s "$text" ] || python3 "$root/Calibration/scripts/generate_text.py" "$text" --kind training --bytes 4000000

# run NAME MODEL EVALUATION TRAINING OPTION…: the stages' bytes and divergences.
run() {
  local name=$1 model=$2 evaluation=$3 training=$4
  shift 4
  case "$name" in *"$only"*) ;; *) return ;; esac
  rm -rf "$work/$name"
  "$program" "$model" "$@" --train "$training" --eval "$evaluation" --no-latency --no-frontier -o "$work/$name" \
    > "$work/$name.log" 2>&1 || { tail -3 "$work/$name.log"; return 1; }
  python3 - "$work/$name/report.json" "$name" <<'PY'
import json, sys
stages = json.load(open(sys.argv[1]))["stages"]
def value(stage):
    chunks = stage["evaluation"]["metrics"]["chunks"]
    return sum(c["divergence"] for c in chunks) / sum(c["tokens"] for c in chunks)
rows = [(s["name"], s["size"]["packedBytes"], value(s)) for s in stages[1:]]
steps = [s["training"]["steps"] for s in stages if s.get("training")]
print(sys.argv[2], *(f"{n}: {b} bytes, KL divergence {k:.5f}" for n, b, k in rows), sep="; ", end="")
print(f"; {rows[-1][2] / rows[0][2]:.2f} of the first" if len(rows) > 1 else "", f"; {steps} steps")
PY
}

reference="$root/Calibration/reference/model.bin"
for bits in 2 3; do
  run "reference-$bits-bits-5min" "$reference" "$root/Calibration/evaluation.txt" "$text" --target-bpw $bits --recover 5min
done
run "reference-int4-5min" "$reference" "$root/Calibration/evaluation.txt" "$text" --int4 --recover 5min
run "reference-q4_0-scales-300" "$reference" "$root/Calibration/evaluation.txt" "$text" --int4 --method rtn --recover 300 --tune scales
[ -n "$data" ] || exit 0
books="$data/models/books-7m"
learned="$data/text/books-calibration.txt"
for bits in 2 3; do
  run "books-$bits-bits-5min" "$books" "$data/text/books-valid.txt" "$learned" --calibration "$learned" \
    --target-bpw $bits --recover 5min
done
run "books-int4-5min" "$books" "$data/text/books-valid.txt" "$learned" --calibration "$learned" --int4 --recover 5min
