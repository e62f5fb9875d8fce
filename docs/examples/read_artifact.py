#!/usr/bin/env python3
"""Reads an artifact of `compress` without `compress`: lists its tensors, verifies the Merkle root, extracts one tensor.

Usage: read_artifact.py FILE.zst [TENSOR OUTPUT]
Needs `zstandard`; everything else is in docs/Formats.md. Exits with 1 when a check fails.
"""
import hashlib
import json
import struct
import sys

import zstandard


def check(holds, complaint):
    if not holds:
        sys.exit(complaint)


def seek_table(file):
    """The frames before the table as (place, packed bytes, decoded place, decoded bytes)."""
    count, descriptor, magic = struct.unpack("<IBI", file[-9:])
    check(magic == 0x8F92EAB1 and descriptor & 0x7C == 0, "no seek table")
    width = 12 if descriptor & 0x80 else 8
    start = len(file) - 9 - count * width - 8
    check(struct.unpack("<II", file[start:start + 8]) == (0x184D2A5E, count * width + 9), "damaged seek table")
    frames, packed, decoded = [], 0, 0
    for place in range(start + 8, len(file) - 9, width):
        size, content = struct.unpack("<II", file[place:place + 8])
        frames.append((packed, size, decoded, content))
        packed, decoded = packed + size, decoded + content
    check(packed == start, "the frames do not end where the table starts")
    return frames


def manifest(file, frames):
    """The JSON in the last frame before the seek table."""
    place, size, _, _ = frames[-1]
    frame = file[place:place + size]
    magic, rest = struct.unpack("<II", frame[:8])
    check(magic == 0x184D2A50 and rest == size - 8 and frame[8:28] == b"compress manifest 1\n", "no manifest")
    text = frame[93:]
    check(frame[28:93] == hashlib.sha256(text).hexdigest().encode() + b"\n", "damaged manifest")
    return json.loads(text)


def decoded(file, frames, offset, count):
    """`count` bytes of the standard file from `offset` on; only the frames that hold them are decoded."""
    pieces, start = [], None
    for place, size, first, content in frames:
        if first < offset + count and offset < first + content:
            start = first if start is None else start
            pieces.append(zstandard.ZstdDecompressor().decompress(file[place:place + size], max_output_size=content))
    return b"".join(pieces)[offset - (start or 0):][:count]


def merkle_root(tensors):
    def text(value):
        return struct.pack("<I", len(value.encode())) + value.encode()

    level = [hashlib.sha256(b"\0" + text(t["name"]) + text(t["format"]) + bytes.fromhex(t["sha256"])).digest()
             for t in tensors] or [hashlib.sha256().digest()]
    while len(level) > 1:
        pairs = [level[i:i + 2] for i in range(0, len(level), 2)]
        level = [hashlib.sha256(b"\1" + p[0] + p[1]).digest() if len(p) == 2 else p[0] for p in pairs]
    return level[0].hex()


def main(path, name=None, output=None):
    file = open(path, "rb").read()
    frames = seek_table(file)
    about = manifest(file, frames)
    wrong = [] if merkle_root(about["tensors"]) == about["merkle_root"] else ["the Merkle root"]
    for tensor in about["tensors"]:
        try:
            data = decoded(file, frames, tensor["offset"], tensor["count"])
        except zstandard.ZstdError:
            data = b""
        if hashlib.sha256(data).hexdigest() != tensor["sha256"]:
            wrong.append(tensor["name"])
        print(f"{tensor['name']:28} {tensor['format']:7} {str(tensor['shape']):14} {tensor['count']:>9} bytes")
        if tensor["name"] == name:
            open(output, "wb").write(data)
            name = None
    print(f"{about['container']}, {len(frames)} frames, {about['decoded_size']} bytes, root {about['merkle_root']}")
    wrong += [f"no tensor '{name}'"] if name else []
    print("damaged: " + ", ".join(wrong) if wrong else "verified: Merkle root and every tensor's SHA-256")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) in (2, 4) else __doc__)
