#!/bin/bash
# Makes the reference reports again: Reports/remake.sh FOLDER-OF-THE-PROGRAM. Called by `make reports`, from the repository's root.
set -euo pipefail
PATH="$(cd "$1" && pwd):$PATH"
model=Calibration/reference/model.bin
trap 'rm -rf Reports/runs' EXIT
run() {
  local name=$1
  shift
  compress "$@" $model -o Reports/runs/"$name" -q
  mkdir -p Reports/reference/"$name"
  cp Reports/runs/"$name"/{report.html,report.md,report.json,recipe.yaml} Reports/reference/"$name"/
}
run int8 --int8
run int4 --int4
run prune --prune 0.5
run distill --distill layers=2 --train-steps 100 --int4
run chain --recipe Reports/chain.yaml
cd Reports/runs
compress compare int8 int4 prune distill chain --html ../reference/comparison.html --force --format markdown > ../reference/comparison.md
cd ../..
