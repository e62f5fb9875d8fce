#!/usr/bin/env python3
"""Instructions and allocations of a token, against the limits of limits.json: Tests/Performance/limits.py PROGRAM [--update]

Counted by valgrind, so they are the same on a busy machine: each command runs for fewer and for more tokens, on one thread, with the
AVX2 kernels (valgrind knows no AVX-512), and the difference is divided by the tokens between. More than 3 % above or below a limit fails:
below, the limit is to be lowered with --update. Where valgrind or AVX2 is missing, that is said and nothing is checked.
"""
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
root = here.parent.parent
model = str(root / "Calibration/reference/model.bin")
PROMPT = ["--prompt", "Anna was a baker"]


def generate(tokens, *more):
    return ["generate", model, "-n", str(tokens), "--temperature", "0", "--threads", "1", *PROMPT, *more]


def evaluate(tokens):
    return ["eval", model, "--eval", "text.txt", "--eval-tokens", str(tokens), "--threads", "1", "-q"]


# name: command for a number of tokens, fewer tokens, more tokens
CASES = {
    "decode": (generate, 16, 48),
    "decode, f16 cache": (lambda tokens: generate(tokens, "--kv", "f16"), 16, 48),
    "decode, sampled": (lambda tokens: generate(tokens)[:-2] + ["--temperature", "0.8", *PROMPT], 16, 48),
    "evaluate": (evaluate, 256, 512),
}


def run(program, tool, arguments, pattern):
    environment = dict(os.environ, COMPRESS_ISA="avx2")
    done = subprocess.run(
        ["valgrind", *tool, program, *arguments], capture_output=True, text=True, env=environment,
        cwd=os.path.dirname(program))
    found = re.search(pattern, done.stderr)
    if done.returncode or not found:
        sys.exit(f"valgrind {' '.join(tool)} {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return int(found[1].replace(",", ""))


def measure(program, command, fewer, more):
    def per_token(tool, pattern):
        counts = [run(program, tool, command(tokens), pattern) for tokens in (fewer, more)]
        return (counts[1] - counts[0]) / (more - fewer)

    return {
        "instructions": round(per_token(["--tool=callgrind", "--callgrind-out-file=/dev/null"], r"Collected : (\d+)")),
        "allocations": round(per_token(
            ["--tool=memcheck", "--leak-check=no", "--undef-value-errors=no"],
            r"total heap usage: ([\d,]+) allocs"), 2),
    }


def main():
    if shutil.which("valgrind") is None:
        return print("valgrind is not installed: no limits were checked")
    if platform.machine() != "x86_64" or "avx2" not in pathlib.Path("/proc/cpuinfo").read_text():
        return print("limits are for AVX2: none were checked")
    file = here / "limits.json"
    limits = json.loads(file.read_text()) if file.exists() else {}
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/compress"
        # Valgrind does not read the symbols that Swift writes.
        if subprocess.run(["strip", "--strip-debug", "-o", program, sys.argv[1]]).returncode:
            return print("strip (binutils) is not installed: no limits were checked")
        # Of the whole text tokenizing would take most of the time.
        pathlib.Path(folder, "text.txt").write_text((root / "Calibration/evaluation.txt").read_text()[:4000])
        for name, (command, fewer, more) in CASES.items():
            found = measure(program, command, fewer, more)
            limit = limits.get(name, {})
            for key, value in found.items():
                most = limit.get(key)
                fails = most is None or abs(value - most) > max(0.03 * most, 0.3 if key == "allocations" else 0)
                failures += fails
                print(f"{name}: {value:,} {key} a token, limit {most if most is None else f'{most:,}'}"
                      + (" FAILS" if fails else ""))
            limits[name] = found
    if "--update" in sys.argv:
        file.write_text(json.dumps(limits, indent=2) + "\n")
    elif failures:
        sys.exit(f"{failures} limits do not hold")


main()
