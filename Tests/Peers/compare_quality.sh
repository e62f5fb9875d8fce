#!/usr/bin/env bash
# Size and quality of llama.cpp's types and ours, all measured by `compress eval` on the same text against the same baseline.
# Usage: compare_quality.sh COMPRESS PYTHON MODEL TEXT [CONTEXT] [TOKENS]      PYTHON has llama-cpp-python
set -euo pipefail
compress=$1 python=$2 model=$3 text=$4 context=${5:-256} tokens=${6:-32768}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$compress" convert "$model" -o "$work/base.gguf" --to f32 --quiet
row() {  # name file
  "$compress" eval "$2" --baseline "$work/base.gguf" --eval "$text" --context "$context" --eval-tokens "$tokens" --json --quiet |
    "$python" -c "
import json, os, sys
m = json.load(sys.stdin)['evaluation']['metrics']; d = m['divergence']
print('| %s | %d | %.6f ± %.6f | %.4f | %.2f |' % (sys.argv[1], os.path.getsize(sys.argv[2]), d['mean']['value'],
      d['mean']['standardError'], d['percentile999'], 100 * d['sameTop']['value']))" "$1" "$2"
}
echo "| file | bytes | mean KLD ± SE | 99.9 % KLD | same top-1 % |"
echo "|---|--:|--:|--:|--:|"
for type in Q8_0 Q6_K Q4_K_M Q4_K_S Q4_0 IQ4_NL; do
  "$python" "$here/llama_cpp_quantize.py" "$work/base.gguf" "$work/llama-$type.gguf" "$type" >/dev/null 2>&1
  row "llama.cpp $type" "$work/llama-$type.gguf"
done
for to in int8 int4; do
  "$compress" convert "$model" -o "$work/$to.gguf" --to "$to" --quiet
  "$compress" convert "$model" -o "$work/$to.gguf.zst" --to "$to" --pack --quiet
  row "compress --$to, unpacked" "$work/$to.gguf"
  row "compress --$to, artifact" "$work/$to.gguf.zst"
done
