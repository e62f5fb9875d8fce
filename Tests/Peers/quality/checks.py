"""Promises that need no peer's figures: sizes and budgets that hold, the same bytes on any number of threads, and llama.cpp
reading what we write."""
import math
import random

from bars import IN_LLAMA_CPP, PERPLEXITY_LIMIT, SAME_BYTES, SLACK, THREADS
from measuring import beginning, llama_cpp_perplexity
from ours import CALIBRATED, digest, filled
from rows import Row


def target_rows(bench, bar, subjects, count, seed=3):
    """Random targets, the models in turn; one row for all and one for each that was missed."""
    generator, held, missed, run = random.Random(f"{seed} {bar.name}"), 0, [], 0
    for index in range(count):
        subject = subjects[index % len(subjects)]
        try:
            fine, said = (size_target if bar.kind == "size" else kld_target)(bench, bar, subject, generator, index)
        except RuntimeError as error:
            fine, said = False, str(error)[:200]
        run += 1
        held += fine
        if not fine:
            missed.append(f"{subject.name}: {said}")
        if index == 2 and held == 0:
            break  # a program without the option is not asked twenty times
    needed = math.ceil(bar.needed * run / bar.count)
    names = ", ".join(dict.fromkeys(subject.name for subject in subjects))
    return Row(bar.name, names, "pass" if held >= needed and run == count else "FAIL", note="; ".join([f"{held} of {run} hold (bar {needed})", *missed[:6]]))


def size_target(bench, bar, subject, generator, index):
    """A target in bytes, or in bits a weight every other time. What counts is the finished artifact."""
    bits = generator.uniform(bar.lowest, bar.highest)
    target = bits * subject.parameters / 8
    option = ["--target-bpw", f"{bits:.4f}"] if index % 2 else ["--target-size", f"{target / 1e6:.6f}MB"]
    artifact = bench.ours.artifact(subject, filled([*option, "--format", "safetensors", *CALIBRATED], subject))
    _, packed = bench.measuring.size(artifact)
    return target * (1 - SLACK) <= packed <= target, f"{' '.join(option)} gives {packed:,} bytes, {packed / target - 1:+.3%}"


def kld_target(bench, bar, subject, generator, index):
    """A budget that the program meets on the development text; measured on the test text, which it did not see."""
    budget = math.exp(generator.uniform(math.log(bar.lowest), math.log(bar.highest)))
    options = filled(["--max-kld", f"{budget:.5f}", "--format", "safetensors", *CALIBRATED], subject)
    artifact = bench.ours.artifact(subject, options)
    found = bench.measuring.divergence(subject, artifact)
    return found.value <= budget, f"--max-kld {budget:.5f} gives {found.value:.5f} ± {found.error:.5f} on the test text"


def thread_row(bench, subject, options, threads):
    row = Row("same bytes on any number of threads", subject.name, "not run", note=" ".join(option for option in options if "{" not in option))
    try:
        found = {digest(bench.ours.artifact(subject, filled(options, subject), threads=count, fresh=True)) for count in threads}
        row.verdict = "pass" if len(found) == 1 else "FAIL"
    except RuntimeError as error:
        row.note = str(error)[:300]
    return row


def llama_row(bench, subject, options):
    """Perplexity in llama.cpp of what `zstd -d` gives."""
    row = Row("same perplexity in llama.cpp", subject.name, "not run", limit=PERPLEXITY_LIMIT, note=" ".join(options[:1]))
    try:
        artifact = bench.ours.artifact(subject, filled(options, subject))
        here = bench.measuring.perplexity(subject, artifact)
        with beginning(subject.test, 16 * bench.measuring.tokens) as text:
            there = llama_cpp_perplexity(bench.measuring.plain(artifact), text, subject.context, bench.measuring.tokens)["perplexity"]
        row.verdict = "pass" if abs(here / there - 1) < PERPLEXITY_LIMIT else "FAIL"
        row.note += f": {here:.4f} here, {there:.4f} there ({here / there - 1:+.3%})"
    except RuntimeError as error:
        row.note = str(error)[:300]
    return row


def plan(bench, found, quick):
    """All checks: (name, the subjects that it needs, function that gives the row)."""
    for name, options in IN_LLAMA_CPP:
        if name in found:
            yield f"llama.cpp {name}", [found[name]], lambda name=name, options=options: llama_row(bench, found[name], options)
    threads = THREADS[:2] if quick else THREADS
    for name, options in SAME_BYTES:
        if name in found and not (quick and name == "books-7m"):
            yield f"threads {name}", [found[name]], lambda name=name, options=options: thread_row(bench, found[name], options, threads)
