"""Writes types.safetensors with the `safetensors` package (0.8.0): every data type that compress reads.

Byte i of each tensor is (7 i + 13 n) mod 256, n the tensor's length in bytes; bools are i mod 2.
"""
import os
import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = {
    "f64": (torch.float64, 8), "f32": (torch.float32, 4), "f16": (torch.float16, 2), "bf16": (torch.bfloat16, 2),
    "f8_e4m3": (torch.float8_e4m3fn, 1), "f8_e5m2": (torch.float8_e5m2, 1),
    "i64": (torch.int64, 8), "i32": (torch.int32, 4), "i16": (torch.int16, 2), "i8": (torch.int8, 1),
    "u64": (torch.uint64, 8), "u32": (torch.uint32, 4), "u16": (torch.uint16, 2), "u8": (torch.uint8, 1),
}


def tensor(dtype, size, shape):
    count = size
    for n in shape:
        count *= n
    raw = torch.tensor([(7 * i + 13 * count) % 256 for i in range(count)], dtype=torch.uint8)
    return raw.view(dtype).reshape(shape) if count else torch.zeros(shape, dtype=dtype)


tensors = {name: tensor(dtype, size, [2, 3]) for name, (dtype, size) in TYPES.items()}
tensors["bool"] = torch.tensor([i % 2 == 1 for i in range(5)])
tensors["scalar"] = tensor(torch.float32, 4, [])
tensors["empty"] = tensor(torch.float32, 4, [0, 3])
tensors["layer.0.\"quoted\" é"] = tensor(torch.float16, 2, [1, 1, 2, 3])
save_file(tensors, os.path.join(HERE, "types.safetensors"), {"format": "pt"})
