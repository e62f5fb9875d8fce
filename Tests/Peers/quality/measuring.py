"""Quality of files by `compress eval`, one way for both sides."""
import json
import os
import sys
from dataclasses import dataclass

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import beginning, compress, llama_cpp_perplexity, unzstd  # noqa: E402, F401

import dequantize  # noqa: E402
import ratios  # noqa: E402
import sizes  # noqa: E402


@dataclass
class Measurement:
    file: str
    bytes: int  # of the plain file
    packed: int  # as it ships: the artifact, or the plain file after `zstd -19`
    chunks: list  # [(tokens, sum of KL divergence, loss of the baseline)]
    value: float  # mean KL divergence of a token; Spearman where the model is an encoder
    error: float


class Measuring:
    def __init__(self, program, work, tokens):
        self.program, self.work, self.tokens = program, work, tokens
        self.by_flag = "--activations" in compress(program, "help", "eval")
        self.known = {}

    def divergence(self, subject, file, activations="int8", text=None, tokens=None, **size):
        """Mean KL divergence to the F32 model on the subject's test text; `file` is a GGUF file, a folder or an artifact."""
        key = (file, activations, text, tokens)
        if key not in self.known:
            scored, more = file, []
            if activations == "f32" and self.by_flag:
                more = ["--activations", "f32"]
            elif activations == "f32" and not os.path.isdir(file):
                scored = self.floats(file)
            output = compress(self.program, "eval", scored, "--baseline", subject.base, "--eval", text or subject.test, "--context",
                              subject.context, "--eval-tokens", tokens or self.tokens, "--json", "-q", *more)
            chunks = json.loads(output)["evaluation"]["metrics"]["chunks"]
            self.known[key] = [(chunk["tokens"], chunk["divergence"], chunk["baselineLoss"]) for chunk in chunks]
        chunks = self.known[key]
        return Measurement(file, *self.size(file, **size), chunks, *ratios.mean(chunks))

    def spearman(self, subject, file, **size):
        output = compress(self.program, "eval", file, "--baseline", subject.base, "--eval", subject.test, "--json", "-q")
        found = json.loads(output)["evaluation"]["metrics"]["correlation"]
        change = found.get("spearmanChange") or {}
        spearman = found["spearman"]["value"]
        difference = change.get("value", spearman - (found.get("baselineSpearman") or {}).get("value", spearman))
        return Measurement(file, *self.size(file, **size), [], difference, change.get("standardError") or float("nan"))

    def perplexity(self, subject, file):
        output = compress(self.program, "eval", file, "--eval", subject.test, "--context", subject.context, "--eval-tokens",
                          self.tokens, "--json", "-q")
        return json.loads(output)["evaluation"]["metrics"]["perplexity"]["value"]

    def size(self, file, sides=0):
        """Bytes plain and packed. `sides` is added to the packed ones: what a safetensors artifact owes."""
        if os.path.isdir(file):
            file = os.path.join(file, "model.safetensors")
        if ("size", file) not in self.known:
            packed = os.path.getsize(file) if file.endswith(".zst") else sizes.packed(file)
            plain = os.path.getsize(self.plain(file)) if file.endswith(".zst") else os.path.getsize(file)
            self.known["size", file] = plain, packed
        plain, packed = self.known["size", file]
        return plain, packed + sides

    def plain(self, artifact):
        target = artifact[: -len(".zst")]
        if not os.path.exists(target):
            unzstd(artifact, target)
        return target

    def floats(self, file):
        """A GGUF file's weights in F32: what is measured on it is weight-only."""
        source = self.plain(file) if file.endswith(".zst") else file
        if not source.endswith(".gguf"):
            raise RuntimeError("the program has no --activations, and only GGUF files are dequantized here")
        target = source[: -len(".gguf")] + ".f32.gguf"
        if not os.path.exists(target):
            dequantize.gguf(source, target)
        return target
