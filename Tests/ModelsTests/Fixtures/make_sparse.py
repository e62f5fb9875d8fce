"""Stores a small pruned matrix as the compressed-tensors package does: `packed/sparse-bitmask.safetensors`.

Run with `python make_sparse.py` beside this file (torch, safetensors, compressed-tensors 0.10.2: versions from 0.13 on have no sparse
layouts). Holds `dense.bf16` and `dense.i8`, and the parts of both, made by the package.
"""

import os

import torch
from compressed_tensors.compressors.sparse_compressors.sparse_bitmask import BitmaskCompressor
from compressed_tensors.config import BitmaskConfig
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))

torch.manual_seed(5)
dense = torch.randn(6, 21)
dense[torch.rand(6, 21) < 0.55] = 0
dense[2] = 0
tensors = {"dense.bf16": dense.to(torch.bfloat16), "dense.i8": (dense * 40).round().clamp(-127, 127).to(torch.int8)}
compressor = BitmaskCompressor(BitmaskConfig())
for kind in ("bf16", "i8"):
    tensors |= compressor.compress_weight(kind, tensors[f"dense.{kind}"])
save_file(tensors, os.path.join(HERE, "packed", "sparse-bitmask.safetensors"))
