"""What llama.cpp's own encoders reach on real matrices: llama-errors.json.

    pip install llama-cpp-python gguf torch safetensors && python make_llama_errors.py MODELS_FOLDER

For each matrix the first rows, at most 65,536 weights, are encoded by ggml_quantize_chunk, without an
importance matrix and with an invented one. Stored: without, the sum of squared errors, and the sum weighted as
llama.cpp weighs them: by a + |x|, a the root mean square of each 32 (q4_k, q5_k), by |x| (q2_k), by x² (the
others); with, the sum weighted by the importance.
"""
import ctypes
import json
import pathlib
import sys

import gguf
import llama_cpp
import numpy as np
from safetensors import safe_open

TYPES = "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS".split()
FILES = [
    "stories260K/derived-hf/model.safetensors", "books-7m/model.safetensors",
    "minilm-l6-v2/model.safetensors"]
LIBRARY = ctypes.CDLL(str(pathlib.Path(llama_cpp.__file__).parent / "lib/libggml-base.so"))
LIBRARY.ggml_quantize_chunk.restype = ctypes.c_size_t
LIBRARY.ggml_quantize_chunk.argtypes = [
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
    ctypes.c_void_p]


def weights(name, x):
    if name in ("Q4_K", "Q5_K"):
        groups = x.reshape(-1, 32)
        return (np.sqrt((groups**2).mean(1, keepdims=True)) + np.abs(groups)).reshape(x.shape)
    return np.abs(x) if name == "Q2_K" else x * x


def importance(columns):
    return (((1 + 37 * np.arange(columns) % 101) / 101) ** 3).astype(np.float32)


def encode(x, kind, weights):
    block, size = gguf.GGML_QUANT_SIZES[kind]
    data = np.empty((x.shape[0], x.shape[1] // block * size), np.uint8)
    LIBRARY.ggml_quantize_chunk(
        int(kind), x.ctypes.data, data.ctypes.data, 0, x.shape[0], x.shape[1],
        None if weights is None else weights.ctypes.data)
    return (gguf.quants.dequantize(data, kind).astype(np.float64) - x.astype(np.float64)) ** 2


def errors(x):
    result = {}
    columns = importance(x.shape[1])
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        if x.shape[1] % gguf.GGML_QUANT_SIZES[kind][0]:
            continue
        plain = encode(x, kind, None)
        sums = plain.sum(), (weights(name, x.astype(np.float64)) * plain).sum()
        weighted = (encode(x, kind, columns) * columns.astype(np.float64)).sum()
        result[name.lower()] = [float(f"{value:.9g}") for value in (*sums, weighted)]
    return result


def main():
    models = pathlib.Path(sys.argv[1])
    table = {}
    for file in FILES:
        table[file] = {}
        with safe_open(models / file, framework="pt") as tensors:
            for name in sorted(tensors.keys()):
                tensor = tensors.get_tensor(name)
                if tensor.ndim == 2 and tensor.is_floating_point() and tensor.shape[1] % 32 == 0:
                    rows = max(1, 65536 // tensor.shape[1])
                    x = np.ascontiguousarray(tensor.float().numpy()[:rows])
                    table[file][name] = {"rows": x.shape[0], "columns": x.shape[1], **errors(x)}
    lines = []
    for file, tensors in table.items():
        inside = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in tensors.items())
        lines.append(f"{json.dumps(file)}: {{\n{inside}\n}}")
    path = pathlib.Path(__file__).parent / "llama-errors.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


main()
