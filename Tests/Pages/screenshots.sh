#!/bin/bash
# Pages of runs of every kind, their layout checked and pictured: Tests/Pages/screenshots.sh FOLDER-OF-THE-PROGRAM [OUTPUT].
# Called by `make screenshots`. Pages that no run gives (a failed stage, samples of every part) are those of the tests.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
program=$(cd "$1" && pwd)/compress
output=${2:-$root/.build/screenshots}
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$chromium" ] || { echo "no chromium: nothing was looked at"; exit 0; }
mkdir -p "$output"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$root/Calibration/reference/model.bin
quick=(--eval-tokens 4096 --level 1 -q)
run() {
  local name=$1
  shift
  [ -f "$output/$name.html" ] && [ -n "${KEEP:-}" ] && return
  echo "making $name"
  "$program" "$@" -o "$work/$name" > "$work/$name.log" 2>&1 || { cat "$work/$name.log"; exit 1; }
  cp "$work/$name/report.html" "$output/$name.html"
}
printf 'version: 1\nstages: []\n' > "$work/one.yaml"
{
  printf 'version: 1\nstages:\n'
  for part in 0.05 0.1 0.15 0.2 0.25 0.3 0.35 0.4 0.45; do echo "  - prune: {sparsity: $part, method: magnitude}"; done
  printf '  - quantize: {format: int8}\n  - quantize: {format: int4, allow-requantize: true}\n'
} > "$work/twelve.yaml"
run one --recipe "$work/one.yaml" "$model" "${quick[@]}"
run two --int4 "$model" "${quick[@]}"
run twelve --recipe "$work/twelve.yaml" "$model" "${quick[@]}"
head -c 210 "$root/Calibration/evaluation.txt" > "$work/short.txt"
run short --int8 "$model" --eval "$work/short.txt" --level 1 -q
mkdir "$work/bare"
cp "$root/Calibration/reference/"{config.json,model.bin} "$work/bare/" 2> /dev/null || cp "$model" "$work/bare/"
run no-tokenizer --int8 "$work/bare/model.bin" "${quick[@]}"
if [ -n "${DATA:-}" ] && [ -d "$DATA/models/minilm-l6-v2" ]; then
  run encoder --int8 "$DATA/models/minilm-l6-v2" --eval "$DATA/text/stsb-en-dev.csv" --eval-tokens 8192 --level 1 -q
else
  echo "no DATA with models/minilm-l6-v2: the encoder's page is that of the tests"
fi
if [ ! -f "$output/compare.html" ] || [ -z "${KEEP:-}" ]; then
  (cd "$work" && "$program" compare two twelve --html "$output/compare.html" --force --gate max-kld=0.001 > /dev/null) || [ $? = 2 ]
fi
if [ -n "${TEST_PAGES:-}" ]; then cp "$TEST_PAGES"/*.html "$output/"; fi

faults=0
for page in "$output"/*.html; do
  name=$(basename "$page" .html)
  for width in 1280 390; do
    for scheme in light dark; do
      address="file://$here/frame.html?file://$page,$width,$scheme"
      options=(--headless --no-sandbox --disable-gpu --hide-scrollbars --allow-file-access-from-files
        --user-data-dir="$work/profile" --virtual-time-budget=4000)
      title=$("$chromium" "${options[@]}" --dump-dom "$address" 2> /dev/null | sed -n 's:.*<title>\(.*\)</title>.*:\1:p' | head -1)
      height=${title%%:*}
      [[ $height =~ ^[0-9]+$ ]] || { echo "$name $width $scheme: did not open ($title)"; faults=1; continue; }
      "$chromium" "${options[@]}" --screenshot="$output/$name-$width-$scheme.png" \
        --window-size="$((width < 500 ? 500 : width)),$height" "$address" > /dev/null 2>&1
      echo "$name $width $scheme: $title"
      [ "${title#*: }" = nothing ] || faults=1
    done
  done
done
echo "pictures in $output"
exit $faults
