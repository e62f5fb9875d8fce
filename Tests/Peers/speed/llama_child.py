#!/usr/bin/env python3
"""llama.cpp in a process of its own, as `compress bench --json` is: prefill and decode, or time to the first token.

Usage: llama_child.py speed FILE THREADS PROMPT TOKENS RUNS | first FILE THREADS
`speed` prints seconds a token, the median after one warm-up; `first` the seconds from before loading to the first token.
"""
import json
import os
import random
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import silence  # noqa: E402


def load(path, threads, context):
    from llama_cpp import Llama

    return Llama(path, n_ctx=context, n_batch=512, n_ubatch=512, n_threads=threads, n_threads_batch=threads, verbose=False)


def speed(path, threads, prompt, tokens, runs):
    with silence():
        llama = load(path, threads, max(prompt, 16 + tokens) + 16)
        generator = random.Random(1)
        ids = [generator.randrange(3, llama.n_vocab()) for _ in range(prompt)]
        prefill, decode = [], []
        for index in range(runs + 1):
            llama.reset()
            began = time.perf_counter()
            llama.eval(ids)
            prefill.append((time.perf_counter() - began) / prompt)
        for index in range(runs + 1):
            llama.reset()
            llama.eval(ids[:16])
            for token in ids[:1] * tokens if prompt < tokens else ids[:tokens]:
                began = time.perf_counter()
                llama.eval([token])
                if index > 0:
                    decode.append(time.perf_counter() - began)
        llama.close()
    return {"prefill": statistics.median(prefill[1:]), "decode": statistics.median(decode)}


def first(path, threads):
    import llama_cpp  # noqa: F401  the library is loaded before the clock starts

    with silence():
        began = time.perf_counter()
        llama = load(path, threads, 64)
        llama.eval([llama.token_bos()])
        seconds = time.perf_counter() - began
    return {"seconds": seconds}


if __name__ == "__main__":
    kind, path, *numbers = sys.argv[1:]
    print(json.dumps({"speed": speed, "first": first}[kind](path, *map(int, numbers))))
