#!/usr/bin/env python3
"""Perplexity of a GGUF file by llama.cpp, by the rule of its own perplexity tool, for comparison with `compress eval`.

Usage: llama_cpp_perplexity.py MODEL.gguf TEXT [--context 512] [--tokens 16384] [--threads 4]
Prints one JSON object: perplexity, scored tokens, and the first ids as a check.
"""
import argparse
import json

from peers import llama_cpp_perplexity

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=16384)
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args()
    result = llama_cpp_perplexity(options.model, options.text, options.context, options.tokens, options.threads)
    result["chunks"] = len(result.pop("losses"))
    print(json.dumps(result))
