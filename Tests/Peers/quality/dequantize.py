"""Quantized files back to floats, by gguf's decoder and by the definitions of the packed layouts: weight-only figures need
nothing of ours then."""
import json
import os
import shutil

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, dequantize


def gguf(source, target):
    """A GGUF file with every tensor in F32, the metadata as they were."""
    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = GGUFWriter(target, architecture)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in ["general.architecture", "general.file_type"]:
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
    for tensor in reader.tensors:
        shape = [int(size) for size in reversed(tensor.shape)]
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
        writer.add_tensor(tensor.name, values, raw_dtype=GGMLQuantizationType.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def nibbles(words, bits, axis):
    """Unsigned codes of int32 words, element i at bits i * bits, along an axis."""
    words = np.moveaxis(words.view(np.uint32), axis, -1)
    shifts = np.arange(32 // bits, dtype=np.uint32) * bits
    codes = (words[..., None] >> shifts) & ((1 << bits) - 1)
    return np.moveaxis(codes.reshape(*words.shape[:-1], -1), -1, axis).astype(np.int32)


def packed_matrix(tensors, name, bits=4):
    """The matrix of a compressed-tensors `pack-quantized` layer: x = scale * (q - zero), codes stored as q + 2^(bits-1)."""
    rows, columns = (int(size) for size in tensors[name + ".weight_shape"])
    codes = nibbles(tensors[name + ".weight_packed"], bits, 1)[:, :columns] - (1 << (bits - 1))
    scales = tensors[name + ".weight_scale"].astype(np.float32)
    zeros = np.zeros_like(scales)
    if name + ".weight_zero_point" in tensors:
        zeros = (nibbles(tensors[name + ".weight_zero_point"], bits, 0)[:rows] - (1 << (bits - 1))).astype(np.float32)
    groups = np.arange(columns) // -(-columns // scales.shape[1])
    if name + ".weight_g_idx" in tensors:
        groups = tensors[name + ".weight_g_idx"]
    return (codes - zeros[:, groups]) * scales[:, groups]


def gptq_matrix(tensors, name, bits=4, added=1):
    """The matrix of a GPTQ layer, [out, in]: x = scale * (q - zero); version 1 stores zeros less one."""
    codes = nibbles(tensors[name + ".qweight"], bits, 0)
    zeros = nibbles(tensors[name + ".qzeros"], bits, 1) + added
    scales = tensors[name + ".scales"].astype(np.float32)
    groups = tensors[name + ".g_idx"] if name + ".g_idx" in tensors else np.arange(len(codes)) * len(scales) // len(codes)
    return ((codes - zeros[groups]) * scales[groups]).T


def folder(source, target, sides):
    """A Hugging Face folder of packed layers as one of F32 tensors. `sides` are tokenizer files to copy."""
    from safetensors.numpy import save_file

    tensors, results = load(os.path.join(source, "model.safetensors")), {}
    for name, values in tensors.items():
        stem, _, kind = name.rpartition(".")
        if kind == "weight_packed":
            results[stem + ".weight"] = packed_matrix(tensors, stem)
        elif kind == "qweight":
            results[stem + ".weight"] = gptq_matrix(tensors, stem)
        elif kind in ["weight", "bias"]:
            results[name] = values
    os.makedirs(target, exist_ok=True)
    save_file({name: np.ascontiguousarray(values, np.float32) for name, values in results.items()},
              os.path.join(target, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(source, "config.json")) as file:
        configuration = json.load(file)
    configuration.pop("quantization_config", None)
    configuration["dtype"] = "float32"
    with open(os.path.join(target, "config.json"), "w") as file:
        json.dump(configuration, file)
    for path in sides:
        if os.path.basename(path) != "config.json":
            shutil.copy(path, target)


def load(path):
    """All tensors of a safetensors file; BF16 becomes F32, which NumPy has no type for."""
    types = {"F32": np.float32, "F16": np.float16, "I32": np.int32, "I64": np.int64, "U8": np.uint8, "I8": np.int8}
    with open(path, "rb") as file:
        content = file.read()
    length = int.from_bytes(content[:8], "little")
    results = {}
    for name, entry in json.loads(content[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        first, last = (8 + length + offset for offset in entry["data_offsets"])
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(content[first:last], np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(content[first:last], types[entry["dtype"]])
        results[name] = values.reshape(entry["shape"])
    return results
