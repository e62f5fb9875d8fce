"""Rows of the table: one bar on one model, ours beside a peer's."""
import os
from dataclasses import asdict, dataclass, field

import ratios
import sizes
from measuring import Measurement
from ours import filled


@dataclass
class Row:
    bar: str
    model: str
    verdict: str  # pass, FAIL, for information, not run
    peer: str = ""
    ours: dict = field(default_factory=dict)
    theirs: dict = field(default_factory=dict)
    ratio: float | None = None
    error: float | None = None
    limit: float | None = None
    note: str = ""
    seconds: float | None = None

    def cells(self):
        def side(values):
            if not values:
                return ["–", "–"]
            return [f"{values['bytes']:,} / {values['packed']:,}", f"{values['value']:.6f} ± {values['error']:.6f}"]

        ratio = "–" if self.ratio is None else f"{self.ratio:.3f}" + ("" if self.error is None else f" ± {self.error:.3f}")
        limit = "–" if self.limit is None else f"{self.limit:g}"
        return [self.bar, self.model, self.peer, *side(self.theirs), *side(self.ours), ratio, limit, self.verdict, self.note]


HEADER = ["bar", "model", "peer", "peer: bytes / zstd -19", "KLD", "ours: bytes plain / as shipped", "KLD", "ratio", "bar at most",
          "verdict", "note"]


class Bench:
    """Everything that rows need: the peers, our runs, and the measuring."""

    def __init__(self, measuring, ours, llama, torch):
        self.measuring, self.ours, self.llama, self.torch = measuring, ours, llama, torch

    def peer(self, subject, name, activations):
        if "g128" in name:
            packed, floats = self.torch.file(subject, name)
            found = self.measuring.divergence(subject, floats, activations)
            found.file, found.bytes, found.packed = packed, *self.measuring.size(packed, sizes.sides(subject))
            return found
        file = self.llama.file(subject, name)
        return self.measuring.divergence(subject, file, activations)

    def best_peer(self, subject, bar, row):
        """The peer with the least divergence of those that run here; the others become the row's note."""
        found, notes = {}, []
        for name in bar.peers:
            try:
                found[name] = self.peer(subject, name, bar.activations)
            except RuntimeError as error:
                notes.append(str(error))
        if len(found) > 1:
            notes += [f"{name} {value.value:.6f}, {value.bytes:,} bytes" for name, value in found.items()]
        row.note = "; ".join(notes)
        if not found:
            raise RuntimeError("no peer: " + row.note)
        row.peer = min(found, key=lambda name: found[name].value)
        return found[row.peer]


def divergence_row(bench, bar, subject):
    row = Row(bar.name, subject.name, "not run", limit=bar.limit)
    try:
        theirs = bench.best_peer(subject, bar, row)
        row.theirs = stripped(theirs)
        owed = sizes.sides(subject) if "safetensors" in bar.ours else 0
        budget = allowed(bar, subject, theirs)
        options = filled(bar.ours, subject, (budget or theirs.packed) - owed)
        artifact = bench.ours.artifact(subject, options)
        row.seconds = bench.ours.seconds[artifact]
        ours = bench.measuring.divergence(subject, artifact, bar.activations, sides=owed)
        row.ours = stripped(ours)
        ratio = ratios.paired(ours.chunks, theirs.chunks)
        row.ratio, row.error = ratio.value, ratio.error
        reasons = [] if ratio.value <= bar.limit else [f"{ratio.value / bar.limit:.2f} of the bar"]
        if bar.size == "file" and max(ours.bytes, ours.packed) > theirs.bytes:
            reasons.append(f"{max(ours.bytes, ours.packed) - theirs.bytes:,} bytes more than the peer's file")
        if budget and ours.packed > budget:
            reasons.append(f"{ours.packed - budget:,} bytes more than {budget:,} as shipped")
        if abs(ratio.value - bar.limit) < 2 * ratio.error:
            row.note = "; ".join(filter(None, [row.note, "within two standard errors of the bar"]))
        row.verdict = "for information" if bar.only_known else "FAIL" if reasons else "pass"
        row.note = "; ".join(filter(None, [row.note, *reasons]))
    except RuntimeError as error:
        row.verdict, row.note = "not run", str(error)[:300]
    return row


def allowed(bar, subject, theirs):
    """Bytes that our artifact, everything counted, may have."""
    if bar.size == "packed":
        return theirs.packed
    if isinstance(bar.size, (int, float)):
        return int(bar.size * subject.parameters / 8)
    return None


def spearman_row(bench, bar, subject):
    row = Row(bar.name, subject.name, "not run", limit=bar.limit)
    try:
        for name in bar.peers:
            try:
                row.peer, row.theirs = name, stripped(bench.measuring.spearman(subject, bench.llama.file(subject, name)))
            except RuntimeError as error:
                row.note = str(error)[:300]
        artifact = bench.ours.artifact(subject, filled(bar.ours, subject))
        row.seconds = bench.ours.seconds[artifact]
        ours = bench.measuring.spearman(subject, artifact)
        row.ours = stripped(ours)
        row.verdict = "pass" if -ours.value <= bar.limit else "FAIL"
        row.note = "; ".join(filter(None, [row.note, "the figures are changes of Spearman from F32"]))
    except RuntimeError as error:
        row.note = str(error)[:300]
    return row


def stripped(measurement: Measurement):
    values = asdict(measurement)
    values.pop("chunks")
    values["file"] = os.path.basename(values["file"])
    return values
