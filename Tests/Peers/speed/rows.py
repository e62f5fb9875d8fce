"""Rows of the table: each measures one bar, our program and the peer in turn."""
import json
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass, field

import errors
import timing
from bars import CALIBRATED_MEMORY, CALIBRATION_TOKENS
from timing import forget, run, take_turns

HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass
class Row:
    bar: str
    subject: str
    threads: int
    peer: str = ""
    ours: str = ""
    theirs: str = ""
    ratio: float | None = None
    least: float | None = None
    most: float | None = None
    wanted: str = ""
    verdict: str = "not run"
    note: str = ""
    load: float | None = None
    figures: dict = field(default_factory=dict)

    def cells(self):
        ratio = "–" if self.ratio is None else f"{self.ratio:.2f} ({self.least:.2f} … {self.most:.2f})"
        return [self.bar, self.subject, self.threads, self.peer, self.theirs, self.ours, ratio, self.wanted, self.verdict, self.note]


HEADER = ["what", "of", "threads", "peer", "peer's", "ours", "ratio (pairs)", "bar", "verdict", "note"]


class Bench:
    """What rows need: files, programs, how many rounds."""

    def __init__(self, program, llama, files, rounds, quick, text):
        self.program, self.llama, self.files, self.rounds, self.quick, self.text = program, llama, files, rounds, quick, text
        self.bandwidth, self.speeds = {}, {}

    def row(self, bar, threads):
        row = Row(bar.name, bar.subject, threads, load=timing.load())
        try:
            globals()[f"{bar.kind}_row"](self, bar, row)
        except (RuntimeError, OSError, KeyError, ValueError) as error:
            row.verdict, row.note = "not run", str(error)[:300]
        return row

    def child(self, kind, *arguments):
        return json.loads(run([sys.executable, os.path.join(HERE, "llama_child.py"), kind, *arguments]).output.splitlines()[-1])

    def read_bandwidth(self, threads):
        """Bytes a second at most, of `compress bench --machine`."""
        if threads not in self.bandwidth:
            found = json.loads(run([self.program, "bench", "--machine", "--json", "--threads", threads]).output)
            for reading in found["reading"]:
                if reading["level"] == "memory":
                    self.bandwidth[reading["threads"]] = reading["bytesPerSecond"]["fastest"]
        return self.bandwidth[threads]


def judge(row, bar, reasons=()):
    """The verdict: the ratio against the bar, and other reasons to fail."""
    reasons = list(reasons)
    if bar.limit is not None:
        row.wanted = f"≥ {bar.limit:.3g}"
        if row.ratio is not None and row.ratio < bar.limit:
            reasons.insert(0, f"{row.ratio / bar.limit:.2f} of the bar")
    known = bar.limit is not None or bar.seconds is not None or bar.fraction is not None
    row.verdict = "FAIL" if reasons else "pass" if known else "for information"
    row.note = "; ".join(filter(None, [row.note, *reasons]))


def fill(row, paired, peer, unit, scale=1.0):
    row.peer, row.ratio, (row.least, row.most) = peer, paired.ratio, paired.spread
    row.ours, row.theirs = (f"{max(side) * scale:.3g} {unit}" for side in [paired.ours, paired.theirs])
    row.figures |= {"ours": paired.ours, "theirs": paired.theirs, "median ratio": paired.median}


# Speed of the model

def speeds(bench, kind, threads):
    """Both sides' prefill and decode, in turn, kept: two rows need them."""
    key = (kind, threads)
    if key not in bench.speeds:
        path, (prompt, tokens, runs) = bench.files.model(kind), (512, 32, 1 if bench.quick else 3)
        kept = {"ours": [], "theirs": []}

        def ours():
            options = ["--prompt", prompt, "--tokens", tokens, "--runs", runs, "--threads", threads, "--json", "-q"]
            kept["ours"].append(json.loads(run([bench.program, "bench", path, *options]).output))
            return 1.0

        def theirs():
            kept["theirs"].append(bench.child("speed", path, threads, prompt, tokens, runs))
            return 1.0

        take_turns(bench.rounds, ours, theirs)
        bench.speeds[key] = kept
    return bench.speeds[key]


def model_row(bench, bar, row, phase):
    kept = speeds(bench, bar.subject, row.threads)
    paired = timing.Paired([side[phase]["tokensPerSecond"] for side in kept["ours"]], [1 / side[phase] for side in kept["theirs"]])
    fill(row, paired, "llama.cpp", "tok/s")
    return kept


def prefill_row(bench, bar, row):
    model_row(bench, bar, row, "prefill")
    judge(row, bar)


def decode_row(bench, bar, row):
    kept = model_row(bench, bar, row, "decode")
    traffic = kept["ours"][0]["bytesPerToken"] * max(row.figures["ours"])
    part = traffic / bench.read_bandwidth(row.threads)
    row.figures["part of read bandwidth"] = part
    row.note = f"reads {traffic / 1e9:.3g} GB/s, {part:.0%} of what can be read"
    judge(row, bar, [f"bar {bar.fraction:.0%}"] if bar.fraction and part < bar.fraction else [])
    if bar.fraction:
        row.wanted += f", {bar.fraction:.0%} of reading"


# Quantizing

# Our format and llama.cpp's, with the same type in every matrix, so that both do the same work.
TYPES = {"Q4_K": ("int4", ["--pure", "--token-embedding-type", "q6_k", "--output-tensor-type", "q6_k"], "Q4_K_M"),
         "Q4_0": ("q4_0", ["--pure"], "Q4_0"), "Q8_0": ("q8_0", ["--pure"], "Q8_0")}


def quantize_row(bench, bar, row):
    source = bench.files.model("F16")
    size = os.path.getsize(source)
    target, options, kind = TYPES[bar.subject]
    folder = tempfile.mkdtemp(dir=bench.files.fast_folder(2 * size))
    first, second = os.path.join(folder, "ours.gguf"), os.path.join(folder, "theirs.gguf")
    try:
        def ours():
            return size / run([bench.program, "convert", source, "-o", first, "--to", target, "--method", "rtn", "--force", "-q",
                               "--threads", row.threads]).seconds

        def theirs():
            return size / run([os.path.join(bench.llama, "llama-quantize"), *options, source, second, kind, row.threads]).seconds

        fill(row, take_turns(min(bench.rounds, 2), ours, theirs), "llama-quantize", "GB/s", 1e-9)
        mine, other = errors.squared(source, first, second, quick=bench.quick)
        row.figures["error ratio"] = mine / other
        row.note = f"squared error {mine / other:.4f} of theirs; {os.path.getsize(first):,} bytes, theirs {os.path.getsize(second):,}"
        if bar.subject != "Q4_K":
            copied = max(size / copy_seconds(source, second, os.path.getsize(first)) for _ in range(3))
            row.figures["copy"] = copied
            row.note += f"; copying the same bytes {copied / 1e9:.3g} GB/s, so {max(row.figures['ours']) / copied:.0%} of that"
        judge(row, bar, [] if mine <= other * 1.0005 else ["more error"])
    finally:
        shutil.rmtree(folder)


def copy_seconds(source, target, bytes_out):
    """Reading a file and writing so many bytes: what a quantizer cannot be faster than on one thread."""
    program = ("import sys\nsource, target, left = sys.argv[1], sys.argv[2], int(sys.argv[3])\nroom = bytearray(1 << 22)\n"
               "with open(source, 'rb', buffering=0) as a, open(target, 'wb', buffering=0) as b:\n"
               "  while count := a.readinto(room):\n    part = min(left, count)\n    b.write(memoryview(room)[:part])\n    left -= part\n")
    return run([sys.executable, "-c", program, source, target, bytes_out]).seconds


# Evaluation

def evaluation_row(bench, bar, row):
    chunks, context = 2 if bench.quick else 8, 512
    model, base = bench.files.model(bar.subject), bench.files.model("F16")
    with tempfile.TemporaryDirectory(dir=bench.files.work) as folder:
        text, logits, reference = (os.path.join(folder, name) for name in ["text.txt", "logits.bin", "reference.bin"])
        with open(bench.text, "rb") as file:
            content = file.read(chunks * context * 5)
        with open(text, "wb") as file:
            file.write(content)
        tool = [os.path.join(bench.llama, "llama-perplexity"), "-f", text, "-c", context, "--chunks", chunks, "-t", row.threads,
                "--kl-divergence-base", logits]
        options = ["--eval", text, "--context", context, "--eval-tokens", chunks * context, "--threads", row.threads, "-q", "--json"]
        run([*tool, "-m", base])
        run([bench.program, "eval", base, "--baseline", base, "--reference", reference, *options])
        count = chunks * context
        said = {}

        def ours():
            found = run([bench.program, "eval", model, "--reference", reference, *options])
            said["ours"] = json.loads(found.output)["evaluation"]["metrics"]
            return count / found.seconds

        def theirs():
            found = run([*tool, "-m", model, "--kl-divergence"])
            said["theirs"] = found.output
            return count / found.seconds

        fill(row, take_turns(min(bench.rounds, 2), ours, theirs), "llama-perplexity", "tok/s")
        match = re.search(r"Mean\s+KLD:\s+([0-9.e-]+)", said["theirs"])
        divergence = said["ours"]["divergence"]["mean"]["value"]
        row.note = f"{count} tokens, loading included; KL divergence {divergence:.4g}, theirs {match.group(1) if match else '?'}"
    judge(row, bar)


# Artifacts

def packing(bench, kind):
    """The plain file and a folder in memory beside a copy of it."""
    source = bench.files.model(kind)
    folder = tempfile.mkdtemp(dir=bench.files.fast_folder(3 * os.path.getsize(source)))
    copy = os.path.join(folder, "model.gguf")
    shutil.copyfile(source, copy)
    return folder, copy, os.path.getsize(source)


def removed(path):
    """A file that is overwritten gives its memory back before it is written where it is cut, and after where it is replaced, as ours
    is: so neither finds one."""
    if os.path.exists(path):
        os.remove(path)
    return path


def zstd(*options):
    if not shutil.which("zstd"):
        raise RuntimeError("zstd is not installed")
    return ["zstd", "-q", "-f", *options]


def pack_row(bench, bar, row, level=1):
    folder, source, size = packing(bench, bar.subject)
    packed, theirs_packed = source + ".ours.zst", source + ".zst"
    try:
        def ours():
            return size / run([bench.program, "convert", source, "-o", removed(packed), "--pack", "--level", level, "-q",
                               "--threads", row.threads]).seconds

        def theirs():
            return size / run(zstd(f"-{level}", f"-T{row.threads}", "--check", source, "-o", removed(theirs_packed))).seconds

        fill(row, take_turns(bench.rounds, ours, theirs), f"zstd -{level} -T{row.threads}", "GB/s", 1e-9)
        mine, other = os.path.getsize(packed), os.path.getsize(theirs_packed)
        row.note = f"{mine:,} bytes, theirs {other:,}; ours has SHA-256 of file, source, tensors and frames in it"
        judge(row, bar, [] if mine <= other * 1.0005 else ["larger"])
    finally:
        shutil.rmtree(folder)


def unpack_row(bench, bar, row):
    folder, source, size = packing(bench, bar.subject)
    packed, theirs_packed, target = source + ".ours.zst", source + ".zst", source + ".out"
    try:
        run([bench.program, "convert", source, "-o", packed, "--pack", "--level", 1, "-q"])
        run(zstd("-1", "-T0", "--check", source, "-o", theirs_packed))

        def ours():
            return size / run([bench.program, "unpack", packed, "-o", removed(target), "-q", "--threads", row.threads]).seconds

        def theirs():
            return size / run(zstd("-d", f"-T{row.threads}", theirs_packed, "-o", removed(target))).seconds

        fill(row, take_turns(bench.rounds, ours, theirs), f"zstd -d -T{row.threads}", "GB/s", 1e-9)
        row.note = f"{max(row.figures['ours']) / row.threads / 1e9:.3g} GB/s a core (bar 2 GB/s on 4); SHA-256 checked"
        judge(row, bar, [] if max(row.figures["ours"]) / row.threads >= 0.5e9 else ["below 0.5 GB/s a core"])
    finally:
        shutil.rmtree(folder)


# Starting

def first_token(bench, bar, row, cold):
    """Our process from its start, loading the program included; llama.cpp from before it opens the file, its library loaded."""
    artifact, plain = bench.files.artifact(bar.subject), bench.files.model(bar.subject)

    def prepared(path):
        if cold and not forget(path):
            raise RuntimeError(f"the page cache keeps {os.path.basename(path)}: a cold start cannot be measured here")

    def ours():
        prepared(artifact)
        return 1 / run([bench.program, "generate", artifact, "-n", 1, "--temperature", 0, "-q", "--threads", row.threads]).seconds

    def theirs():
        prepared(plain)
        return 1 / bench.child("first", plain, row.threads)["seconds"]

    if not cold:
        ours(), theirs()
    paired = take_turns(bench.rounds, ours, theirs)
    fill(row, paired, "llama.cpp, unpacked GGUF", "/s")
    row.ours, row.theirs = (f"{1 / max(side):.3f} s" for side in [paired.ours, paired.theirs])
    judge(row, bar)


def cold_row(bench, bar, row):
    first_token(bench, bar, row, cold=True)


def warm_row(bench, bar, row):
    first_token(bench, bar, row, cold=False)


def start_row(bench, bar, row):
    runs = [run([bench.program, "--help"]) for _ in range(21)]
    times, busy = (sorted(values) for values in [[one.seconds for one in runs], [one.processor_seconds for one in runs]])
    row.ours, row.wanted = f"{times[10] * 1e3:.1f} ms", f"≤ {bar.seconds * 1e3:.0f} ms"
    row.note = f"median of 21 whole runs, fastest {times[0] * 1e3:.1f} ms; processor time {busy[10] * 1e3:.1f} ms; starting the process included"
    row.figures["seconds"] = times
    judge(row, bar, [] if times[10] <= bar.seconds else ["too slow"])


# Runs

def calibrated_row(bench, bar, row):
    """A whole run of --int4 --method gptq; quick: an eleventh of the layers, so 2, 4 and 8, and an eighth of the tokens."""
    layers, tokens = int(bar.subject), CALIBRATION_TOKENS
    if bench.quick:
        layers, tokens = layers // 11, tokens // 8
    tokens = int(os.environ.get("CALIBRATION_TOKENS", tokens))
    files = type(bench.files)(bench.program, bench.llama, bench.files.work, layers=layers)
    source = files.model("BF16")
    with tempfile.TemporaryDirectory(dir=bench.files.work) as folder:
        found = run([bench.program, "--int4", source, "-o", os.path.join(folder, "out"), "--method", "gptq", "--eval", bench.text,
                     "--eval-tokens", 1024, "--calibration-tokens", tokens, "--no-latency", "--timings", "--threads", row.threads, "-q",
                     "--allow-overlap"], env=dict(os.environ, TMPDIR=folder))
    phases = [line for line in found.output.splitlines() if re.match(r"[0-9.]+ s, [0-9]+ MB at most: ", line)]
    row.subject = f"{layers} layers, {tokens} tokens"
    row.ours = f"{found.seconds:.0f} s ({found.processor_seconds:.0f} s of processors), {found.peak / 1e9:.2f} GB"
    row.wanted = f"≤ {CALIBRATED_MEMORY / 1e9} GB" + (f", {bar.seconds} s" if bar.seconds else "")
    row.note = "; ".join(phases)
    row.figures = {"seconds": found.seconds, "processorSeconds": found.processor_seconds, "peak": found.peak, "phases": phases}
    judge(row, bar, (["too much memory"] if found.peak > CALIBRATED_MEMORY else [])
          + (["too slow"] if bar.seconds and found.seconds > bar.seconds else []))
    if bar.seconds is None and row.verdict == "for information":
        row.verdict = "pass"
