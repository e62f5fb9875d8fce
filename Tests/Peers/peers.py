"""What the checks against other tools share: running `compress`, unpacking artifacts, perplexity by llama.cpp."""
import contextlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np


class Failures:
    """Collects what did not hold, so that one table shows everything before the exit status tells."""

    def __init__(self):
        self.lines = []

    def require(self, condition, line):
        if not condition:
            self.lines.append(line)
            print(f"FAILED: {line}", file=sys.stderr)
        return condition

    def finish(self):
        if self.lines:
            sys.exit(f"{len(self.lines)} check(s) failed")


def compress(program, *arguments, check=True):
    """Runs the program; returns what it printed. Its standard error becomes part of the exception when it fails."""
    result = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if check and result.returncode != 0:
        raise RuntimeError(f"compress {' '.join(map(str, arguments))}: exit {result.returncode}: {result.stderr.strip()}")
    return result if not check else result.stdout


def compress_evaluation(program, model, text, context, tokens, *more):
    """What `compress eval --json` says of a language model."""
    output = compress(program, "eval", model, "--eval", text, "--context", context, "--eval-tokens", tokens, "--json",
                      "-q", *more)
    return json.loads(output)["evaluation"]


def unzstd(source, target):
    """Plain `zstd -d`: proof that an artifact needs nothing of ours to be opened."""
    if shutil.which("zstd"):
        subprocess.run(["zstd", "-d", "-q", "-f", source, "-o", target], check=True)
        return
    import zstandard

    with open(source, "rb") as packed, open(target, "wb") as plain:
        reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
        shutil.copyfileobj(reader, plain)


@contextlib.contextmanager
def silence():
    """llama.cpp writes to the C library's standard error; this turns it off for a while."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def llama_cpp_perplexity(model, text, context, tokens, threads=4):
    """Perplexity of a GGUF file by the rule of llama.cpp's own perplexity tool: the text becomes one row of tokens, cut into
    chunks of `context` without overlap; BOS replaces the first token of each where the model wants one; positions
    context/2 … context-2 are scored. `losses` has one sum for each chunk."""
    from llama_cpp import Llama

    with silence():
        llama = Llama(str(model), n_ctx=context, n_batch=context, logits_all=True, verbose=False, n_threads=threads,
                      n_threads_batch=threads)
        adds_bos = llama._model.add_bos_token()
        with open(text, "rb") as file:
            ids = llama.tokenize(file.read(), add_bos=adds_bos, special=False)
        losses, count = [], 0
        for chunk in range(min(len(ids) // context, max(1, tokens // context))):
            row = list(ids[chunk * context : (chunk + 1) * context])
            if adds_bos:
                row[0] = llama.token_bos()
            llama.reset()
            llama.eval(row)
            logits = np.asarray(llama.scores[context // 2 : context - 1], dtype=np.float64)
            truth = row[context // 2 + 1 :]
            top = logits.max(axis=1)
            normalizer = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
            losses.append(float((normalizer - logits[np.arange(len(truth)), truth]).sum()))
            count += len(truth)
        llama.close()
    return {"perplexity": float(np.exp(sum(losses) / count)), "scored": count, "losses": losses, "ids": len(ids),
            "first_ids": list(ids[:8])}


def table(header, rows):
    """A Markdown table with columns aligned."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)
