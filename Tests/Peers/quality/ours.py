"""Runs of our program: one artifact each."""
import glob
import hashlib
import os
import shutil
import sys
import time

from measuring import compress

# `{calibration}`, `{development}` and `{bytes}` stand for the subject's texts and the bytes that an artifact may have.
CALIBRATED = ["--calibration", "{calibration}"]


class Ours:
    def __init__(self, program, work):
        self.program, self.work, self.known, self.seconds = program, work, {}, {}

    def artifact(self, subject, options, threads=None, fresh=False, allowed=(0,)):
        """The artifact of `compress OPTIONS MODEL`. The run may look at the development text."""
        options = list(map(str, options))
        key = hashlib.sha256("\0".join([subject.name, *options, str(threads)]).encode()).hexdigest()[:12]
        if key in self.known and not fresh:
            return self.known[key]
        folder = os.path.join(self.work, "ours", f"{subject.name}-{key}")
        shutil.rmtree(folder, ignore_errors=True)
        more = list(subject.options) if "--calibration" in options else []
        more += [] if subject.encoder else ["--context", subject.context]
        if not any(option in options for option in ["--max-kld", "--min-agreement", "--max-ppl-increase", "--eval-tokens"]):
            more += ["--eval-tokens", 1024]
        if threads:
            more += ["--threads", threads]
        began = time.time()
        result = compress(self.program, *options, subject.source, "--eval", subject.development, "-o", folder, "--no-latency", "-q",
                          *more, check=False)
        if result.returncode not in allowed:
            said = (result.stderr.strip() or result.stdout.strip()).splitlines()
            raise RuntimeError(f"compress {' '.join(options)}: exit {result.returncode}: {said[0] if said else ''}")
        stages = sorted(glob.glob(os.path.join(folder, "*-*", "*.zst")), key=lambda path: int(stage_number(path)))
        if not stages:
            raise RuntimeError(f"compress {' '.join(options)}: no artifact in {folder}")
        self.known[key], self.seconds[stages[-1]] = stages[-1], time.time() - began
        for path in stages[:-1]:
            os.remove(path)
        return stages[-1]


def stage_number(path):
    return os.path.basename(os.path.dirname(path)).partition("-")[0]


def filled(options, subject, size=None):
    """Options with the subject's values in them."""
    values = {"calibration": subject.calibration, "development": subject.development}
    if size is not None:
        values["bytes"] = f"{size / 1e6:.6f}MB"
    return [option.format(**values) for option in options]


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if sys.version_info >= (3, 11) else hashlib.sha256(file.read()).hexdigest()
