"""The bars, as data: one entry each. A ratio is our speed over the peer's; above 1 we are faster."""
from dataclasses import dataclass

FORMATS = ["Q4_K_M", "Q4_0", "Q8_0", "F16", "BF16"]


@dataclass
class Bar:
    name: str
    kind: str  # the function of rows.py that measures it
    subject: str  # a format, or what else the row is about
    limit: float | None = None  # the least ratio; None: for information
    seconds: float | None = None  # the most seconds, where no peer does the same
    fraction: float | None = None  # the least part of the machine's read bandwidth
    threads: bool = False  # one row for each number of threads
    slow: bool = False  # runs only where --only names it


BARS = [
    Bar("program start", "start", "--help", seconds=0.02),
    Bar("decode", "decode", "Q4_K_M", 1.25, fraction=0.85, threads=True),
    Bar("decode", "decode", "Q4_0", 1.25, fraction=0.85, threads=True),
    Bar("decode", "decode", "Q8_0", 1.25, fraction=0.85, threads=True),
    Bar("decode", "decode", "F16", 1.0, threads=True),
    Bar("decode", "decode", "BF16", threads=True),
    Bar("prefill 512", "prefill", "Q4_K_M", 2.0, threads=True),
    Bar("prefill 512", "prefill", "Q4_0", 2.0, threads=True),
    Bar("prefill 512", "prefill", "Q8_0", 2.0, threads=True),
    Bar("prefill 512", "prefill", "F16", threads=True),
    Bar("prefill 512", "prefill", "BF16", 1.2, threads=True),
    Bar("quantize F16", "quantize", "Q4_K", 4.0, threads=True),
    Bar("quantize F16", "quantize", "Q4_0", 1.0, threads=True),
    Bar("quantize F16", "quantize", "Q8_0", 1.0, threads=True),
    Bar("perplexity and KL divergence", "evaluation", "Q4_K_M", 1.5),
    Bar("pack", "pack", "Q4_K_M", 1.0),
    Bar("pack", "pack", "BF16", 1.0),
    Bar("unpack", "unpack", "Q4_K_M", 1.0),
    Bar("unpack", "unpack", "BF16", 1.0),
    Bar("start to first token, cold", "cold", "Q4_K_M", 1.0),
    Bar("start to first token, warm", "warm", "Q4_K_M", 1 / 1.5),
    Bar("calibrated int4", "calibrated", "22", seconds=600, slow=True),
    Bar("calibrated int4", "calibrated", "44", slow=True),
    Bar("calibrated int4", "calibrated", "88", slow=True),
]
CALIBRATION_TOKENS = 32768
CALIBRATED_MEMORY = 1.5e9  # bytes, with 32k tokens, whatever the number of layers
