#!/usr/bin/env python3
"""GGUF files by llama.cpp's own quantizer: encoding error of ours against theirs, type by type, and their files read here.

Usage: llama_files.py --compress PROGRAM --text TEXT F32.gguf … [--context 256] [--tokens 8192]
1. `compress convert --to TYPE` and llama_model_quantize(pure), each against the f32 weights: squared errors over all tensors
   that both stored in that type. Ours must not be above theirs.
2. Files of llama_model_quantize's mixed types: perplexity by `compress eval` and by llama.cpp within 0.5 %.
"""
import argparse
import ctypes
import os
import sys
import tempfile

import llama_cpp
import numpy as np
from gguf import GGUFReader, dequantize

from peers import Failures, compress, compress_evaluation, llama_cpp_perplexity, silence, table

# Types of one tensor, by the number of ggml and of the file type that asks for it.
PURE = {"q8_0": (8, 7), "q4_0": (2, 2), "q4_1": (3, 3), "q5_0": (6, 8), "q5_1": (7, 9), "q4_k": (12, 14), "q5_k": (13, 16),
        "q6_k": (14, 18), "iq4_nl": (20, 25)}
MIXED = {"Q4_0": 2, "Q4_1": 3, "Q5_0": 8, "Q5_1": 9, "Q8_0": 7, "Q2_K": 10, "Q3_K_M": 12, "Q4_K_M": 15, "Q5_K_M": 17,
         "Q6_K": 18, "IQ4_NL": 25, "IQ4_XS": 30, "BF16": 32, "F16": 1}


def quantize(source, target, file_type, kind=None):
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype, parameters.nthread = file_type, 2
    if kind is not None:
        parameters.pure, parameters.token_embedding_type, parameters.output_tensor_type = True, kind, kind
    with silence():
        status = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters))
    if status != 0:
        raise RuntimeError(f"llama_model_quantize: {status}")


def tensors(path):
    return {tensor.name: tensor for tensor in GGUFReader(path).tensors}


def values(tensor):
    return dequantize(tensor.data, tensor.tensor_type).astype(np.float64).reshape(-1)


def errors(source, ours, theirs, kind):
    """Squared errors of ours and theirs over the tensors that both have in the type, their number, and the worst ratio."""
    first, second, total, worst, count = tensors(ours), tensors(theirs), [0.0, 0.0], 0.0, 0
    for name, original in tensors(source).items():
        pair = [first.get(name), second.get(name)]
        if any(tensor is None or tensor.tensor_type.value != kind for tensor in pair):
            continue
        reference = values(original)
        squared = [float(np.square(values(tensor) - reference).sum()) for tensor in pair]
        total = [total[0] + squared[0], total[1] + squared[1]]
        worst, count = max(worst, squared[0] / max(squared[1], 1e-30)), count + 1
    return total, count, worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--compress", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=8192)
    options = parser.parse_args()
    failures, ratios, read = Failures(), [], []
    for model in options.models:
        name = os.path.basename(model)
        with tempfile.TemporaryDirectory() as folder:
            for type_name, (kind, file_type) in PURE.items():
                ours, theirs = (os.path.join(folder, f"{type_name}-{side}.gguf") for side in ["ours", "theirs"])
                compress(options.compress, "convert", model, "-o", ours, "--to", type_name, "-q")
                try:
                    quantize(model, theirs, file_type, kind)
                except RuntimeError as error:
                    ratios.append([name, type_name, "–", str(error), ""])
                    continue
                (mine, other), count, worst = errors(model, ours, theirs, kind)
                if count == 0:
                    ratios.append([name, type_name, 0, "no tensor in it", ""])
                    continue
                ratios.append([name, type_name, count, f"{mine / other:.4f}", f"{worst:.4f}"])
                failures.require(mine <= other * 1.00001, f"{name} {type_name}: error {mine / other:.4f} of llama.cpp's")
            for type_name, file_type in MIXED.items():
                file = os.path.join(folder, f"{type_name}.gguf")
                try:
                    quantize(model, file, file_type)
                    kinds = sorted({tensor.tensor_type.name for tensor in tensors(file).values()})
                    mine = compress_evaluation(options.compress, file, options.text, options.context, options.tokens)
                    mine = mine["metrics"]["perplexity"]["value"]
                    theirs = llama_cpp_perplexity(file, options.text, options.context, options.tokens)["perplexity"]
                except RuntimeError as error:
                    failures.require(False, f"{name} {type_name}: {error}")
                    continue
                read.append([name, type_name, " ".join(kinds), f"{mine:.4f}", f"{theirs:.4f}", f"{mine / theirs - 1:+.3%}"])
                failures.require(abs(mine / theirs - 1) < 0.005, f"{name} {type_name}: {mine} here, {theirs} in llama.cpp")
    print(table(["model", "type", "tensors", "error / llama.cpp's", "worst tensor"], ratios))
    print(table(["model", "file of llama.cpp", "types in it", "compress eval", "llama.cpp", "difference"], read))
    sys.stdout.flush()
    failures.finish()


if __name__ == "__main__":
    main()
