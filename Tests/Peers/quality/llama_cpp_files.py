"""llama.cpp's files, made by its own programs: an importance matrix from the calibration text, and quantized models."""
import os
import re
import subprocess


class LlamaCpp:
    name = "llama.cpp"

    def __init__(self, programs, work, chunks=400):
        self.programs, self.work, self.chunks = programs, work, chunks
        self.notes = {}  # file: the types that it stores, and what llama.cpp said of fallbacks

    def run(self, program, *arguments):
        result = subprocess.run([os.path.join(self.programs, program), *map(str, arguments)], capture_output=True)
        said = (result.stdout + result.stderr).decode("utf-8", errors="replace")
        if result.returncode != 0:
            raise RuntimeError(f"{program} exits with {result.returncode}: {' '.join(said.splitlines()[-1:])}")
        return said

    def importance(self, subject):
        path = os.path.join(self.work, f"{subject.name}-imatrix.gguf")
        if not os.path.exists(path):
            # One thread: llama.cpp waits in busy loops, which stall where other work shares the cores.
            self.run("llama-imatrix", "-m", subject.base, "-f", subject.calibration, "-c", subject.context, "-b", 512, "-o", path,
                     "--chunks", self.chunks, "--no-ppl", "-t", 1)
        return path

    def file(self, subject, name):
        """The model in a type such as `Q4_K_M`, or `Q4_K_M+im`: with the importance matrix."""
        kind, _, importance = name.partition("+")
        path = os.path.join(self.work, f"{subject.name}-{name}.gguf")
        if not os.path.exists(path):
            options = ["--imatrix", self.importance(subject)] if importance else []
            said = self.run("llama-quantize", *options, subject.base, path + ".part", kind, 1)
            os.rename(path + ".part", path)
            match = re.search(r"(\d+) of (\d+) tensor\(s\) required fallback", said)
            self.notes[path] = match.group(0) if match else ""
        return path

    def divergence(self, base, model, text, context, tokens):
        """Mean KL divergence by llama.cpp's own program, and its error."""
        logits, chunks = os.path.join(self.work, "logits.bin"), tokens // context
        common = ["-f", text, "-c", context, "-b", 512, "--chunks", chunks, "-t", 1, "--kl-divergence-base", logits]
        try:
            self.run("llama-perplexity", "-m", base, *common)
            for _ in range(5):  # its log loses the last lines now and then
                said = self.run("llama-perplexity", "-m", model, *common, "--kl-divergence")
                match = re.search(r"Mean\s+KLD:\s+([0-9.e-]+)\s+±\s+([0-9.e-]+)", said)
                if match:
                    return float(match.group(1)), float(match.group(2))
            raise RuntimeError("llama-perplexity prints no divergence")
        finally:
            if os.path.exists(logits):
                os.remove(logits)


def types(path):
    """Tensor types of a GGUF file: {name: count}."""
    from gguf import GGUFReader

    counts = {}
    for tensor in GGUFReader(path).tensors:
        counts[tensor.tensor_type.name] = counts.get(tensor.tensor_type.name, 0) + 1
    return counts
