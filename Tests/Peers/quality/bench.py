#!/usr/bin/env python3
"""Every quality bar of the project, our program beside llama.cpp, GPTQ, AWQ and AutoRound, in one run.

Usage: bench.py --compress PROGRAM --llama FOLDER [--torch PYTHON] [--data FOLDER] [--work FOLDER] [--only WORDS] [--quick]
Prints a Markdown table and writes RESULTS.json (--json). Exit 1 where a bar fails or could not be run.
`--only` takes parts of names of bars and models, comma separated; `--quick` measures 16,384 tokens and fewer targets.
Peers' files are kept in the work folder; remove it to make them anew.
"""
import argparse
import json
import os
import platform
import sys
import time

import checks
import rows
from bars import BARS, SPEARMAN, TARGETS
from llama_cpp_files import LlamaCpp
from measuring import Measuring, compress
from ours import Ours
from subjects import available
from torch_files import TorchPeers

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import table  # noqa: E402

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compress", required=True)
    parser.add_argument("--llama", required=True, help="folder of llama-imatrix, llama-quantize and llama-perplexity")
    parser.add_argument("--torch", help="a Python with torch-requirements.txt")
    parser.add_argument("--data", help="folder of models/ and text/ (default: the reference model alone)")
    parser.add_argument("--work", default=os.path.join(ROOT, ".build", "bench-quality"))
    parser.add_argument("--json")
    parser.add_argument("--only", default="")
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


def prepare(options, subject):
    """The F32 GGUF file that everything is compared with, and its number of parameters."""
    from gguf import GGUFReader

    subject.base = os.path.join(options.work, f"{subject.name}-f32.gguf")
    if not os.path.exists(subject.base):
        command = [options.compress, "convert", subject.source, "-o", subject.base, "-q"]
        if compress(*command, "--to", "f32", check=False).returncode != 0:
            compress(*command)  # in F32 as it is: nothing would change
    subject.parameters = sum(int(tensor.n_elements) for tensor in GGUFReader(subject.base).tensors)


def jobs(bench, subjects, quick):
    """(name, the subjects that it needs, function that gives the row)."""
    found = {subject.name: subject for subject in subjects}
    for bars, row in [(BARS, rows.divergence_row), (SPEARMAN, rows.spearman_row)]:
        for bar in bars:
            for subject in [found[name] for name in bar.subjects if name in found]:
                yield f"{bar.name} {subject.name}", [subject], lambda row=row, bar=bar, subject=subject: row(bench, bar, subject)
    for bar in TARGETS:
        taken = [found[name] for name in bar.subjects if name in found]
        if quick:
            taken = [subject for subject in taken if subject.name != "books-7m"] or taken
        count = 3 if quick else bar.count
        yield bar.name, taken, lambda bar=bar, taken=taken, count=count: checks.target_rows(bench, bar, taken, count)
    yield from checks.plan(bench, found, quick)


def chosen(name, only):
    words = [word.strip().lower() for word in only.split(",") if word.strip()]
    return not words or any(word in name.lower() for word in words)


def main():
    options = arguments()
    options.work, options.compress = os.path.abspath(options.work), os.path.abspath(options.compress)
    os.makedirs(options.work, exist_ok=True)
    tokens = options.tokens or (16_384 if options.quick else 65_536)
    subjects, missing = available(options.data and os.path.abspath(options.data), ROOT, options.work)
    llama = LlamaCpp(os.path.abspath(options.llama), options.work)
    torch = TorchPeers(options.torch, options.compress, options.work)
    bench = rows.Bench(Measuring(options.compress, options.work, tokens), Ours(options.compress, options.work), llama, torch)
    results, began, prepared = [], time.time(), set()
    for name, needed, job in jobs(bench, subjects, options.quick):
        if not chosen(name, options.only):
            continue
        for subject in needed:
            if subject.name not in prepared:
                prepare(options, subject)
                prepared.add(subject.name)
        row = job()
        results.append(row)
        write(options, tokens, results, missing)  # a run that is stopped leaves what it had
        print(f"[{time.time() - began:5.0f} s] {row.bar} · {row.model}: {row.verdict} {ratio_text(row)} {row.note}", file=sys.stderr, flush=True)
    print(f"{tokens} tokens of each test text; {platform.processor() or platform.machine()}; {time.time() - began:.0f} s\n")
    print(table(rows.HEADER, [row.cells() for row in results]))
    for line in missing:
        print(f"\nleft out: {line}")
    failed = [row for row in results if row.verdict in ["FAIL", "not run"]]
    print(f"\n{sum(row.verdict == 'pass' for row in results)} pass, {len(failed)} fail or were not run")
    sys.exit(1 if failed else 0)


def ratio_text(row):
    return "" if row.ratio is None else f"{row.ratio:.3f} (at most {row.limit:g})"


def write(options, tokens, results, missing):
    path = options.json or os.path.join(options.work, "results.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"tokens": tokens, "missing": missing, "rows": [row.__dict__ for row in results]}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
