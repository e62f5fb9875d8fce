"""Every bar of pruning, beside magnitude, Wanda and SparseGPT by their definitions (reference.py): make bench-pruning.

    bench.py --compress PROGRAM --torch PYTHON --data FOLDER [--work FOLDER] [--only WORDS] [--layers N]

FOLDER holds models/books-7m and text/books-{calibration,valid}.txt; models/stories260K/derived-hf and text/tinystories-val.txt, whose
second half is for calibration, for the row `stories`. Rows of a large model (random weights of TinyLlama's shape, N
layers) need some GB in --work and take minutes; they run with --only big,time. Exit code 1 when a bar is missed.
"""
import argparse
import copy
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

TOKENS, CALIBRATION = "65536", "32768"
failed = []


def say(name, figure, bar, holds):
    print(f"{'pass' if holds else 'FAIL':5} {name:58} {figure:38} bar {bar}", flush=True)
    if not holds:
        failed.append(name)


def run(command, **options):
    done = subprocess.run(command, text=True, capture_output=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return done.stdout


class Bench:
    def __init__(self, options):
        self.program, self.torch, self.work = options.compress, options.torch, options.work
        self.layers = options.layers
        data = self.data = options.data or ""
        self.model = os.path.join(data, "models", "books-7m")
        self.calibration = os.path.join(data, "text", "books-calibration.txt")
        self.valid = os.path.join(data, "text", "books-valid.txt")

    def turn_to_stories(self, data):
        """The bench's model and texts become those of stories260K."""
        self.model = os.path.join(data, "models", "stories260K", "derived-hf")
        with open(os.path.join(data, "text", "tinystories-val.txt"), encoding="utf-8") as file:
            texts = [text.strip() for text in file.read().split("<|endoftext|>") if text.strip()]
        middle = len(texts) // 2
        self.valid, self.calibration = (os.path.join(self.work, f"stories-{part}.jsonl") for part in ("valid", "calibration"))
        for path, part in [(self.valid, texts[:middle]), (self.calibration, texts[middle:])]:
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(json.dumps({"text": text}) + "\n" for text in part)

    def place(self, name):
        path = os.path.join(self.work, name)
        shutil.rmtree(path, ignore_errors=True)
        return path

    def compress(self, name, *flags, model=None, evaluation=True):
        """The folder of a run and its last stage's report."""
        out = self.place(name)
        text = ["--eval", self.valid, "--spread", "--eval-tokens", TOKENS] if evaluation else []
        run([self.program, *flags, model or self.model, "--no-latency", "--no-frontier", "-q", "-o", out, *text])
        report = json.load(open(os.path.join(out, "report.json")))
        return out, report["stages"][-1], report

    def calibrated(self, name, *flags):
        return self.compress(name, *flags, "--calibration", self.calibration, "--calibration-tokens", CALIBRATION)

    def perplexity(self, model):
        text = run([self.program, "eval", model, "--eval", self.valid, "--spread", "--eval-tokens", TOKENS,
                    "--activations", "f32", "--json", "-q"])
        return find(json.loads(text), "perplexity")

    def large(self):
        """A model of random weights of TinyLlama's shape."""
        model = os.path.join(self.work, f"llama-1b-{self.layers}.gguf")
        if not os.path.exists(model):
            run([self.program, "bench", "--synthetic", f"llama-1b-{self.layers}", "-o", model, "-q"])
        return model

    def reference(self, method, sparsity):
        out = self.place(f"reference-{method}-{sparsity.replace(':', 'of')}")
        run([self.torch, os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference.py"), self.model,
             self.calibration, method, sparsity, out, CALIBRATION])
        return out


def find(value, key):
    """The first value of a key, anywhere."""
    if isinstance(value, dict):
        if key in value:
            found = value[key]
            return found["value"] if isinstance(found, dict) else found
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            found = find(part, key)
            if found is not None:
                return found
    return None


def quality(bench):
    base = bench.perplexity(bench.model)
    print(f"      {bench.model.split(os.sep)[-1]}, perplexity {base:.3f} on {int(TOKENS) // 2} tokens", flush=True)
    for sparsity, bars in [("0.5", {"sparsegpt": 0.75, "wanda": 0.6}), ("2:4", {"sparsegpt": 0.8})]:
        name = f"ours-{sparsity.replace(':', 'of')}"
        out, stage, _ = bench.calibrated(name, "--prune", sparsity, "--format", "safetensors")
        ours = bench.perplexity(os.path.join(out, stage_folder(stage), stage["artifact"]["file"])) / base - 1
        for method, bar in bars.items():
            theirs = bench.perplexity(bench.reference(method, sparsity)) / base - 1
            say(f"perplexity increase, {sparsity}, against {method}",
                f"{ours:+.2%} / {theirs:+.2%} = {ours / theirs:.2f}", f"{bar}", ours <= bar * theirs)


def stories(bench):
    """The rows of quality for a model of 260 thousand weights."""
    other = copy.copy(bench)
    other.turn_to_stories(bench.data)
    quality(other)


def stage_folder(stage):
    return f"{stage['index']}-{stage['name']}"


def definition(bench):
    """Magnitude at 50 %: the same numbers as the definition's."""
    out, stage, _ = bench.compress("ours-magnitude", "--prune", "0.5", "--prune-method", "magnitude", "--format",
                                   "safetensors", "--eval-tokens", "1024")
    folder = os.path.join(bench.work, "ours-magnitude-dense")
    shutil.rmtree(folder, ignore_errors=True)
    run([bench.program, "unpack", os.path.join(out, stage_folder(stage), stage["artifact"]["file"]), "-q", "-o", folder])
    ours, theirs = tensors(folder), tensors(bench.reference("magnitude", "0.5"))
    count = sum(theirs.get(name) == value for name, value in ours.items())
    say("magnitude 50 %, tensors that are the definition's", f"{count} of {len(ours)}", "all", count == len(ours))


def tensors(folder):
    """The tensors of a safetensors file as f32 bytes."""
    with open(os.path.join(folder, "model.safetensors"), "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    result = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        start, end = (8 + size + offset for offset in entry["data_offsets"])
        part = data[start:end]
        if entry["dtype"] == "BF16":
            wide = bytearray(2 * len(part))
            wide[2::4], wide[3::4] = part[0::2], part[1::2]
            part = bytes(wide)
        # Zeros have no sign worth comparing.
        result[name] = part.replace(b"\0\0\0\x80", b"\0\0\0\0") if len(part) % 4 else canonical(part)
    return result


def canonical(part):
    wide = bytearray(part)
    for place in range(0, len(wide), 4):
        if wide[place:place + 4] == b"\0\0\0\x80":
            wide[place + 3] = 0
    return bytes(wide)


def structured(bench):
    base = bench.perplexity(bench.model)
    increases = []
    for repair in ("true", "false"):
        recipe = os.path.join(bench.work, f"structure-{repair}.yaml")
        with open(recipe, "w") as file:
            file.write(f"version: 1\nformat: safetensors\nstages:\n  - prune-structure: {{ffn: 0.25, repair: {repair}}}\n")
        out, stage, _ = bench.calibrated(f"ours-structure-{repair}", "--recipe", recipe)
        artifact = os.path.join(out, stage_folder(stage), stage["artifact"]["file"])
        increases.append(bench.perplexity(artifact) / base - 1)
    ours, plain = increases
    say("perplexity increase, 25 % of FFN neurons, repaired / not", f"{ours:+.1%} / {plain:+.1%} = {ours / plain:.2f}",
        "0.7", ours <= 0.7 * plain)


def storage(bench):
    for sparsity in ("0.5", "2:4"):
        _, stage, _ = bench.calibrated(f"ours-int8-{sparsity.replace(':', 'of')}", "--prune", sparsity, "--int8", "--format",
                                       "safetensors")
        sparse = stage["sparsity"]
        excess = sparse["packedBytes"] / (sparse["maskBytes"] + sparse["valueBytes"]) - 1
        say(f"{sparsity} + int8, stored above the entropy of mask and values", f"{excess:+.1%}", "3 %", excess <= 0.03)


def big(bench):
    """Size and speed on a model of TinyLlama's shape."""
    model = bench.large()
    flags = ["--int8", "--method", "rtn", "--format", "safetensors", "--eval-tokens", "64", "--context", "64"]
    dense, stage, _ = bench.compress("big-dense", *flags, model=model, evaluation=False)
    dense_size = stage["size"]["packedBytes"]
    dense = os.path.join(dense, stage_folder(stage), stage["artifact"]["file"])
    sparse, stage, _ = bench.compress("big-sparse", "--prune", "2:4", "--prune-method", "magnitude", *flags, model=model,
                                      evaluation=False)
    size = stage["size"]["packedBytes"]
    sparse = os.path.join(sparse, stage_folder(stage), stage["artifact"]["file"])
    say(f"{bench.layers} layers, 2:4 + int8, artifact over dense int8's", f"{size / dense_size:.3f}", "0.66",
        size <= 0.66 * dense_size)
    for threads in ("1", "2"):
        rates = {sparse: [], dense: []}
        for _ in range(2):
            for path in rates:
                text = run([bench.program, "bench", path, "--threads", threads, "--prompt", "64", "--json", "-q"])
                rates[path].append(find(json.loads(text)["decode"], "tokensPerSecond"))
        ratio = max(rates[sparse]) / max(rates[dense])
        say(f"{bench.layers} layers, {threads} threads, decode 2:4 int8 over dense int8",
            f"{max(rates[sparse]):.1f} / {max(rates[dense]):.1f} tok/s = {ratio:.2f}", "1.15", ratio >= 1.15)


def seconds(bench):
    """The time of pruning beside GPTQ's, on the same calibration text."""
    model, seconds = bench.large(), {}
    for name, choice in [("prune", ["--prune", "0.5"]), ("gptq", ["--int4", "--method", "gptq"])]:
        begin = time.monotonic()
        bench.compress(f"big-{name}", *choice, "--calibration-tokens", CALIBRATION, "--eval-tokens", "64", "--context", "64",
                       model=model, evaluation=False)
        seconds[name] = time.monotonic() - begin
    say(f"{bench.layers} layers, time for 50 % over GPTQ's", f"{seconds['prune']:.0f} / {seconds['gptq']:.0f} s", "1",
        seconds["prune"] <= seconds["gptq"])


ROWS = {
    "definition": definition, "quality": quality, "stories": stories, "structured": structured, "storage": storage, "big": big, "time": seconds,
}


def main():
    parser = argparse.ArgumentParser()
    for name in ("--compress", "--torch", "--data", "--work", "--only"):
        parser.add_argument(name)
    parser.add_argument("--layers", type=int, default=4)
    options = parser.parse_args()
    options.work = options.work or tempfile.mkdtemp()
    os.makedirs(options.work, exist_ok=True)
    bench = Bench(options)
    chosen = options.only.split(",") if options.only else [name for name in ROWS if name not in ("big", "time")]
    if not os.path.exists(bench.model) and not set(chosen) <= {"big", "time"}:
        print(f"SKIPPED: no {bench.model}; give DATA=a folder of models/ and text/")
        return
    for name in chosen:
        ROWS[name](bench)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
