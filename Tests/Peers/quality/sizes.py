"""Bytes of files, as stored and after `zstd -19`: what an artifact is compared with."""
import os

import zstandard


def packed(path, level=19):
    """Bytes of a file after `zstd -LEVEL`."""
    with open(path, "rb") as file:
        return len(zstandard.ZstdCompressor(level=level, write_checksum=True).compress(file.read()))


def sides(subject):
    """Bytes that a safetensors artifact owes: the configuration and the tokenizer, which a GGUF file holds inside, packed."""
    return sum(packed(path) for path in subject.sides)
