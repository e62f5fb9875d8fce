"""Writes types.gguf, aligned.gguf and the three parts of split.gguf with the `gguf` package: every tensor type that
compress reads, every type of metadata.

Byte i of each tensor is (7 i + 13 n) mod 256, n the tensor's length in bytes.
"""
import os
import numpy as np
import gguf
from gguf import GGMLQuantizationType as T, GGUFValueType as V

HERE = os.path.dirname(os.path.abspath(__file__))


def content(count):
    return np.array([(7 * i + 13 * count) % 256 for i in range(count)], dtype=np.uint8)


def add(writer, name, kind, shape):
    """shape: outermost first, in elements."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    row = shape[-1] // block * size if shape else size
    raw = content(int(np.prod(shape[:-1], dtype=np.int64)) * row).reshape(list(shape[:-1]) + [row])
    writer.add_tensor(name, raw, raw_dtype=kind)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


types = gguf.GGUFWriter(os.path.join(HERE, "types.gguf"), "llama")
for name, value, kind in [
    ("uint8", 200, V.UINT8), ("int8", -100, V.INT8), ("uint16", 60000, V.UINT16), ("int16", -30000, V.INT16),
    ("uint32", 4000000000, V.UINT32), ("int32", -2000000000, V.INT32), ("float32", 1.5e-5, V.FLOAT32),
    ("bool.true", True, V.BOOL), ("bool.false", False, V.BOOL), ("string", "héllo\n", V.STRING),
    ("uint64", 1 << 63, V.UINT64), ("int64", -(1 << 62), V.INT64), ("float64", 3.141592653589793, V.FLOAT64),
]:
    types.add_key_value("test." + name, value, kind)
types.add_key_value("test.strings", ["<s>", "", "▁a", "é"], V.ARRAY)
types.add_key_value("test.float32s", [0.0, -1.5, 1e30], V.ARRAY)
types.add_key_value("test.int32s", [1, -2, 3], V.ARRAY)
types.add_key_value("test.uint8s", [1, 2, 255], V.ARRAY, sub_type=V.UINT8)
types.add_key_value("test.bools", [True, False], V.ARRAY)
types.add_key_value("test.uint64s", [1 << 40, 7], V.ARRAY, sub_type=V.UINT64)
types.add_key_value("test.nested", [[1, 2], [3]], V.ARRAY)
for kind in [T.F32, T.F16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.IQ4_NL, T.I8, T.I16, T.I32, T.I64, T.F64, T.BF16]:
    add(types, kind.name.lower(), kind, [3, 64] if gguf.GGML_QUANT_SIZES[kind][0] > 1 else [3, 5])
for kind in [T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K, T.Q6_K, T.IQ4_XS]:
    add(types, kind.name.lower(), kind, [2, 256])
add(types, "four.dimensions", T.F32, [2, 1, 3, 4])
add(types, "vector", T.F32, [7])
finish(types)

aligned = gguf.GGUFWriter(os.path.join(HERE, "aligned.gguf"), "bert")
aligned.add_custom_alignment(64)
add(aligned, "a", T.F32, [1])
add(aligned, "b", T.Q8_0, [2, 32])
finish(aligned)

split = gguf.GGUFWriter(os.path.join(HERE, "split.gguf"), "llama", split_max_tensors=2)
split.add_uint32("llama.block_count", 5)
for number in range(5):
    add(split, f"blk.{number}.weight", T.F32, [2, number + 1])
finish(split)
