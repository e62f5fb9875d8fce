"""Makes zstd files as other programs write them: foreign.gguf, foreign.safetensors and *.zst of them.

Needs gguf, safetensors, numpy, zstandard. The seek tables follow zstd's
contrib/seekable_format/zstd_seekable_compression_format.md, version 0.1.0.
"""
import os
import struct

import numpy as np
import zstandard
from gguf import GGUFWriter
from safetensors.numpy import save_file

here = os.path.dirname(os.path.abspath(__file__))
random = np.random.default_rng(7)
tensors = {
    "a.weight": random.standard_normal((24, 40)).astype(np.float32),
    "b.weight": np.zeros((3, 64), np.float32),
    "c.bias": random.standard_normal(17).astype(np.float16),
}


def path(name):
    return os.path.join(here, name)


def write(name, contents):
    with open(path(name), "wb") as file:
        file.write(contents)


def frame(data, **parameters):
    return zstandard.ZstdCompressor(level=5, **parameters).compress(data)


def streamed(data):
    """A frame without its size, as a program writes that reads from a pipe."""
    compressor = zstandard.ZstdCompressor(level=5).compressobj()
    return compressor.compress(data) + compressor.flush()


def skippable(number, contents):
    return struct.pack("<II", 0x184D2A50 + number, len(contents)) + contents


def seekable(entries):
    """entries: (frame, decoded size, checksum or None)"""
    table = b""
    for packed, decoded, checksum in entries:
        table += struct.pack("<II", len(packed), decoded)
        if checksum is not None:
            table += struct.pack("<I", checksum)
    flag = 0x80 if entries[0][2] is not None else 0
    table += struct.pack("<IBI", len(entries), flag, 0x8F92EAB1)
    return b"".join(entry[0] for entry in entries) + skippable(14, table)


def pieces(data, size):
    return [data[place : place + size] for place in range(0, len(data), size)]


save_file(tensors, path("foreign.safetensors"), {"format": "pt"})
writer = GGUFWriter(path("foreign.gguf"), "llama")
writer.add_string("general.description", "x" * 3000)
for name, tensor in tensors.items():
    writer.add_tensor(name, tensor)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

with open(path("foreign.gguf"), "rb") as file:
    gguf = file.read()
with open(path("foreign.safetensors"), "rb") as file:
    safetensors = file.read()

# Frames that know nothing of tensors, with sizes and checksums; XXH64's low half ends such a frame.
checked = [frame(piece, write_checksum=True) for piece in pieces(safetensors, 1000)]
write(
    "checked.safetensors.zst",
    seekable(
        [
            (packed, len(piece), struct.unpack("<I", packed[-4:])[0])
            for packed, piece in zip(checked, pieces(safetensors, 1000))
        ]
    ),
)
# Frames without sizes or checksums, and other people's skippable frames at the front, between, and at the end.
entries = [(skippable(3, b"not ours"), 0, None)]
for piece in pieces(gguf, 1500):
    entries.append((streamed(piece), len(piece), None))
    entries.append((skippable(0, b""), 0, None))
write("unsized.gguf.zst", seekable(entries))
# What `zstd` makes of a file, and `cat a | zstd` of two halves.
write("plain.gguf.zst", frame(gguf, write_checksum=True))
write("streamed.safetensors.zst", streamed(safetensors[:777]) + skippable(9, b"?") + streamed(safetensors[777:]))
