"""Ratio of two mean divergences on the same chunks, with its standard error."""
import math
from dataclasses import dataclass


@dataclass
class Ratio:
    value: float
    error: float  # one sigma

    def text(self):
        return f"{self.value:.3f} ± {self.error:.3f}"


def mean(chunks):
    """KL divergence a token of [(tokens, sum of KL divergence, loss of the baseline)] and its standard error over chunks."""
    tokens, total = sum(chunk[0] for chunk in chunks), sum(chunk[1] for chunk in chunks)
    value = total / tokens
    residues = [chunk[1] - value * chunk[0] for chunk in chunks]
    return value, spread(residues) / tokens


def paired(ours, theirs):
    """Ours over theirs. Chunks are the blocks: tokens of a chunk hang together. By the delta method, the error of a ratio of
    sums is that of the sum of a - r b, over the sum of b."""
    same = len(ours) == len(theirs) and all(
        a[0] == b[0] and abs(a[2] - b[2]) <= 1e-4 * abs(b[2]) for a, b in zip(ours, theirs))
    if not same:  # the baseline's loss tells whether the tokens were the same
        raise RuntimeError("the two sides were not measured on the same tokens")
    below = sum(chunk[1] for chunk in theirs)
    value = sum(chunk[1] for chunk in ours) / below
    return Ratio(value, spread([a[1] - value * b[1] for a, b in zip(ours, theirs)]) / below)


def spread(values):
    """Standard error of a sum of independent terms."""
    count = len(values)
    if count < 2:
        return float("nan")
    center = sum(values) / count
    return math.sqrt(count / (count - 1) * sum((value - center) ** 2 for value in values))
