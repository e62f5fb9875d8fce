#!/usr/bin/env bash
# A model of the reference model's shape, trained by this program's own engine from random weights.
# Usage: train_reference.sh PROGRAM FOLDER [STEPS]
# The shape and the tokenizer are those in Calibration/reference; the text is made by generate_text.py and checked against the
# manifest. FOLDER/run has reports and the model, FOLDER/model.safetensors is the model as a plain file. A training that was stopped
# goes on (RESUME=1). With STEPS the training is that short: for trying out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$1 folder=$2 steps=${3:-2000}
mkdir -p "$folder"
bytes=40000000
if [ "$steps" -lt 1000 ]; then bytes=$((steps * 40000 + 1000000)); fi
text="$folder/training-$bytes.txt"
[ -s "$text" ] || { python3 "$here/generate_text.py" "$text.new" --kind training --bytes "$bytes" && mv "$text.new" "$text"; }
sed "s/steps: 2000/steps: $steps/" "$here/reference.yaml" > "$folder/recipe.yaml"
rm -rf "$folder/run"
"$program" "$here/../reference" --recipe "$folder/recipe.yaml" --train "$text" --eval "$here/../evaluation.txt" \
  ${RESUME:+--resume} -o "$folder/run"
"$program" unpack "$folder"/run/1-distill-random/model.safetensors.zst -o "$folder/model.safetensors" --force
sha256sum "$folder/model.safetensors"
