#!/usr/bin/env python3
"""Perplexity of a GGUF file by llama.cpp, by the rule of its own perplexity tool, for comparison with `compress eval`.

The text becomes one row of tokens (llama.cpp's tokenizer), cut into chunks of CONTEXT tokens without overlap; BOS replaces the
first token of each chunk where the model wants one; positions CONTEXT/2 … CONTEXT-2 are scored.

Usage: llama_cpp_perplexity.py MODEL.gguf TEXT [--context 512] [--tokens 16384] [--threads 4]
Needs llama-cpp-python and numpy. Prints one JSON object: perplexity, scored tokens, and the first ids as a check.
"""
import argparse
import json

import numpy as np
from llama_cpp import Llama


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=16384)
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args()
    llama = Llama(options.model, n_ctx=options.context, n_batch=options.context, logits_all=True, verbose=False,
                  n_threads=options.threads, n_threads_batch=options.threads)
    ids = llama.tokenize(open(options.text, "rb").read(), add_bos=True, special=False)
    context = options.context
    chunks = min(len(ids) // context, max(1, options.tokens // context))
    adds_bos = llama.metadata.get("tokenizer.ggml.add_bos_token", "true") == "true"
    loss, count = 0.0, 0
    for chunk in range(chunks):
        tokens = list(ids[chunk * context : (chunk + 1) * context])
        if adds_bos:
            tokens[0] = llama.token_bos()
        llama.reset()
        llama.eval(tokens)
        logits = np.asarray(llama.scores[:context], dtype=np.float64)
        for place in range(context // 2, context - 1):
            row = logits[place]
            top = row.max()
            loss += top + np.log(np.exp(row - top).sum()) - row[tokens[place + 1]]
            count += 1
    print(json.dumps({"perplexity": float(np.exp(loss / count)), "scored": count, "chunks": chunks,
                      "ids": len(ids), "first_ids": list(ids[:8])}))


if __name__ == "__main__":
    main()
