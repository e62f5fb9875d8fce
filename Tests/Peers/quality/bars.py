"""The bars, as data: one entry each. What a row of the table says follows from these fields."""
from dataclasses import dataclass

from ours import CALIBRATED

LANGUAGE = ["reference", "books-7m", "stories260K"]


@dataclass
class Bar:
    name: str
    subjects: list
    ours: list  # options of `compress`
    peers: list  # the best of them counts
    limit: float  # the most that our divergence may be of the peer's
    activations: str = "int8"  # or f32: weights alone are measured
    # What our bytes must not exceed: "file": our plain file and our artifact the peer's plain file; "packed": our artifact the
    # peer's file after `zstd -19`; a number: our artifact so many bits a weight; "": nothing. `{bytes}` in `ours` is that limit
    # less what a safetensors artifact owes for tokenizer and configuration (for "file" as for "packed").
    size: str | float = "file"
    only_known: bool = False  # a peer for information: the row has no verdict


BARS = [
    Bar("GGUF int4", LANGUAGE, ["--int4", *CALIBRATED], ["Q4_K_M+im"], 0.6),
    Bar("GGUF int4, weights alone", LANGUAGE, ["--int4", *CALIBRATED], ["Q4_K_M+im"], 0.6, activations="f32", only_known=True),
    Bar("GGUF of mixed types", LANGUAGE, ["--target-size", "{bytes}", "--format", "gguf", *CALIBRATED], ["Q4_K_M+im"],
        0.6),
    Bar("GGUF int8, weights alone", LANGUAGE, ["--int8", *CALIBRATED], ["Q8_0"], 0.7, activations="f32"),
    Bar("GGUF int8", LANGUAGE, ["--int8", *CALIBRATED], ["Q8_0"], 1.0),
    Bar("int4.g128 safetensors", ["reference", "books-7m"], ["--int4", "--format", "safetensors", *CALIBRATED],
        ["GPTQ g128", "AWQ g128", "AutoRound g128"], 1.0, activations="f32", size=""),
    Bar("shipping, bytes of packed Q4_K_M+im", LANGUAGE, ["--target-size", "{bytes}", "--format", "safetensors", *CALIBRATED],
        ["Q4_K_M+im"], 0.35, size="packed"),
    Bar("shipping, 3.8 bits", ["books-7m"], ["--target-size", "{bytes}", "--format", "safetensors", *CALIBRATED], ["Q4_K_M+im"], 1.0,
        size=3.8),
    Bar("shipping, 2.7 bits", ["books-7m"], ["--target-size", "{bytes}", "--format", "safetensors", *CALIBRATED], ["Q2_K"], 0.6,
        size=2.7),
    Bar("shipping, 2.7 bits", ["books-7m"], ["--target-size", "{bytes}", "--format", "safetensors", *CALIBRATED], ["Q2_K+im"], 0.6,
        size=2.7, only_known=True),
]


@dataclass
class SpearmanBar:
    name: str
    subjects: list
    ours: list
    peers: list
    limit: float  # the most that Spearman may fall below F32's


SPEARMAN = [SpearmanBar("int4, Spearman", ["minilm-l6-v2"], ["--int4", *CALIBRATED], ["Q4_K_M"], 0.002)]


@dataclass
class TargetBar:
    name: str
    subjects: list  # taken in turn
    kind: str  # "size" or "kld"
    count: int
    needed: int
    lowest: float  # bits a weight, or divergence
    highest: float


TARGETS = [
    TargetBar("--target-size and --target-bpw", ["books-7m", "stories260K", "reference"], "size", 20, 20, 2, 8),
    TargetBar("--max-kld", ["books-7m", "stories260K", "reference"], "kld", 20, 19, 0.003, 0.1),
]
SLACK = 0.005  # how far below a target size an artifact may be

# The same bytes on any number of threads, and the same perplexity in llama.cpp.
SAME_BYTES = [("stories260K", ["--int4", *CALIBRATED]), ("reference", ["--int4", *CALIBRATED]),
              ("stories260K", ["--target-bpw", "3.8", "--format", "safetensors", *CALIBRATED]),
              ("books-7m", ["--target-bpw", "3.8", "--format", "safetensors", *CALIBRATED])]
THREADS = [1, 2, 4]
IN_LLAMA_CPP = [(name, options) for name in LANGUAGE
                for options in [["--int4", *CALIBRATED], ["--int8", *CALIBRATED]]]
PERPLEXITY_LIMIT = 0.005
