#!/usr/bin/env bash
# The reference model, trained by this program's own engine from random weights.
# Usage: train_reference.sh PROGRAM FOLDER [STEPS]
# The shape and the tokenizer are those in Calibration/reference, whose weights it learns nothing from; the text is made by
# generate_text.py. FOLDER/model.bin and FOLDER/training.json are what Calibration/reference ships; FOLDER/run has reports,
# FOLDER/model.safetensors the same weights in another container. A training that was stopped goes on (RESUME=1). With STEPS the
# training is that short: for trying out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
whole=$(sed -n 's/^ *steps: //p' "$here/reference.yaml")
program=$1 folder=$2 steps=${3:-$whole}
mkdir -p "$folder"
bytes=40000000
if [ "$steps" -lt 1000 ]; then bytes=$((steps * 40000 + 1000000)); fi
text="$folder/training-$bytes.txt"
[ -s "$text" ] || { python3 "$here/generate_text.py" "$text.new" --kind training --bytes "$bytes" && mv "$text.new" "$text"; }
sed "s/steps: $whole/steps: $steps/" "$here/reference.yaml" > "$folder/recipe.yaml"
rm -rf "$folder/run"
"$program" "$here/../reference" --recipe "$folder/recipe.yaml" --train "$text" --eval "$here/../evaluation.txt" \
  ${RESUME:+--resume} -o "$folder/run"
"$program" unpack "$folder"/run/1-distill-random/model.safetensors.zst -o "$folder/model.safetensors" --force
python3 "$here/write_reference.py" "$folder/model.safetensors" "$folder/run/report.json" "$folder"
[ "$steps" = "$whole" ] || exit 0
if cmp -s "$folder/model.bin" "$here/../reference/model.bin"; then
  echo "model.bin is the shipped one, byte for byte"
else
  echo "model.bin is not the shipped one: another build, or another kind of processor"
fi
