#!/usr/bin/env python3
"""Artifacts in llama.cpp: every model is compressed to int8 and int4; each artifact (the baseline too) is unpacked with plain
`zstd -d`, opened with gguf's reader and with llama.cpp, and its perplexity there is compared with `compress eval` on the
artifact, on the same tokens.

Usage: perplexity.py --compress PROGRAM --text TEXT MODEL … [--context 256] [--tokens 16384] [--limit 0.005]
Prints a table; fails where the perplexities differ by more than the limit, or the tokens differ.
"""
import argparse
import os
import sys
import tempfile

from gguf import GGUFReader

from peers import Failures, compress, compress_evaluation, llama_cpp_perplexity, table, unzstd


def artifacts(program, model, folder):
    """(name, path) of the baseline's, the int8 and the int4 artifact."""
    found = []
    for recipe in ["int8", "int4"]:
        run = os.path.join(folder, recipe)
        compress(program, f"--{recipe}", model, "-o", run, "--no-latency", "--eval-tokens", 1024, "-q")
        for stage in sorted(os.listdir(run)):
            path = os.path.join(run, stage)
            if not os.path.isdir(path) or (stage.startswith("0-") and found):
                continue
            found += [(stage[2:], os.path.join(path, name)) for name in os.listdir(path) if name.endswith(".zst")]
    return found


def check(options, model, failures):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for stage, artifact in artifacts(options.compress, model, folder):
            plain = os.path.join(folder, stage + ".gguf")
            unzstd(artifact, plain)
            tensors = len(GGUFReader(plain).tensors)
            ours = compress_evaluation(options.compress, artifact, options.text, options.context, options.tokens)
            theirs = llama_cpp_perplexity(plain, options.text, options.context, options.tokens)
            name = f"{os.path.basename(os.path.normpath(model))} {stage}"
            failures.require(ours["method"]["textTokens"] == theirs["ids"],
                             f"{name}: {ours['method']['textTokens']} tokens here, {theirs['ids']} in llama.cpp")
            mine = ours["metrics"]["perplexity"]["value"]
            difference = mine / theirs["perplexity"] - 1
            failures.require(abs(difference) < options.limit, f"{name}: perplexities differ by {difference:+.3%}")
            # One chunk of other tokens would stand out, even where the text as a whole agrees.
            chunks = [abs(chunk["loss"] / loss - 1) for chunk, loss in zip(ours["metrics"]["chunks"], theirs["losses"])]
            failures.require(len(chunks) == len(theirs["losses"]), f"{name}: other chunks")
            failures.require(max(chunks) < 2 * options.limit, f"{name}: the loss of a chunk differs by {max(chunks):.3%}")
            rows.append([os.path.basename(os.path.normpath(model)), stage, tensors, theirs["ids"], theirs["scored"],
                         f"{mine:.4f}", f"{theirs['perplexity']:.4f}", f"{difference:+.4%}", f"{max(chunks):.4%}"])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--compress", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=16384)
    parser.add_argument("--limit", type=float, default=0.005)
    options = parser.parse_args()
    failures, rows = Failures(), []
    for model in options.models:
        rows += check(options, model, failures)
    print(f"text {os.path.basename(options.text)}, context {options.context}")
    print(table(["model", "artifact", "tensors", "text tokens", "scored", "compress", "llama.cpp", "difference",
                 "largest of a chunk's loss"], rows))
    sys.stdout.flush()
    failures.finish()


if __name__ == "__main__":
    main()
