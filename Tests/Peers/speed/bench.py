#!/usr/bin/env python3
"""Every speed bar of the project, our program beside llama.cpp and zstd, in one run.

Usage: bench.py --compress PROGRAM --llama FOLDER [--work FOLDER] [--only WORDS] [--quick]
The two sides take turns, A B B A; the ratio is that of the fastest run of each, in brackets the least and the most that
neighbouring runs had. Prints a Markdown table and writes results.json (--json). Exit 1 where a bar fails or could not be run.
`--only` takes parts of what a row is called ("decode Q4_K_M 2"), comma separated; rows of calibrated runs need to be named.
`--quick` takes fewer rounds, the largest number of threads alone, and less text. Files are kept in the work folder.
"""
import argparse
import json
import os
import platform
import sys
import time

from bars import BARS
from files import Files
from rows import HEADER, Bench
from timing import load

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import table  # noqa: E402

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compress", required=True)
    parser.add_argument("--llama", required=True, help="folder of llama-quantize and llama-perplexity")
    parser.add_argument("--work", default=os.path.join(ROOT, ".build", "bench-peers"))
    parser.add_argument("--json")
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--text", default=os.path.join(ROOT, "Calibration", "evaluation.txt"))
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


def thread_counts(quick):
    """1, 2 and 4, as far as processors go."""
    processors = len(os.sched_getaffinity(0))
    counts = [count for count in [1, 2, 4] if count <= processors]
    return counts[-1:] if quick else counts


def jobs(quick):
    counts = thread_counts(quick)
    for bar in BARS:
        for threads in counts if bar.threads else counts[-1:]:
            yield bar, threads


def chosen(bar, threads, only):
    words = [word.strip().lower() for word in only.split(",") if word.strip()]
    name = f"{bar.name} {bar.subject} {threads}".lower()
    return any(word in name for word in words) if words else not bar.slow


def main():
    options = arguments()
    options.work, options.compress = os.path.abspath(options.work), os.path.abspath(options.compress)
    os.makedirs(options.work, exist_ok=True)
    files = Files(options.compress, os.path.abspath(options.llama), options.work)
    rounds = options.rounds or (2 if options.quick else 5)
    bench = Bench(options.compress, files.llama, files, rounds, options.quick, options.text)
    results, began, busy = [], time.time(), load()
    for bar, threads in jobs(options.quick):
        if not chosen(bar, threads, options.only):
            continue
        row = bench.row(bar, threads)
        results.append(row)
        write(options, results, busy)  # a run that is stopped leaves what it had
        ratio = "" if row.ratio is None else f" {row.ratio:.2f} ({row.wanted or 'no bar'})"
        print(f"[{time.time() - began:5.0f} s] {row.bar} {row.subject}, {threads}: {row.verdict}{ratio} {row.note}", file=sys.stderr, flush=True)
    print(f"{machine()}, load average {busy:.1f} before; {rounds} rounds; {time.time() - began:.0f} s\n")
    print(table(HEADER, [row.cells() for row in results]))
    failed = [row for row in results if row.verdict in ["FAIL", "not run"]]
    print(f"\n{sum(row.verdict == 'pass' for row in results)} pass, {len(failed)} fail or were not run")
    sys.exit(1 if failed else 0)


def machine():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0))} processors"


def write(options, results, busy):
    path = options.json or os.path.join(options.work, "results.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"machine": machine(), "load": busy, "rows": [row.__dict__ for row in results]}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
