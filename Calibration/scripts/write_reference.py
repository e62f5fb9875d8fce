#!/usr/bin/env python3
"""Writes the files that are shipped of a trained reference model: model.bin, a PyTorch zip state dict, and training.json.

Usage: write_reference.py MODEL.safetensors REPORT.json OUTPUT_FOLDER
Needs only the standard library; the same weights and report give the same bytes on every machine.
"""
import hashlib
import json
import math
import struct
import sys
import zipfile
from pathlib import Path


STORAGES = {"BF16": b"BFloat16Storage", "F32": b"FloatStorage"}


def read_safetensors(path):
    """Names, shapes, types and bytes of the tensors of a safetensors file, in the order of their bytes."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    tensors = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in STORAGES:
            sys.exit(f"{path}: tensor '{name}' is of {entry['dtype']}, neither BF16 nor F32")
        first, last = (8 + length + offset for offset in entry["data_offsets"])
        tensors.append((first, name, entry["shape"], STORAGES[entry["dtype"]], data[first:last]))
    return [tensor[1:] for tensor in sorted(tensors)]


def text(string):
    return b"X" + struct.pack("<I", len(string.encode())) + string.encode()


def integer(number):
    return b"J" + struct.pack("<i", number)


def numbers(values):
    return b"(" + b"".join(map(integer, values)) + b"t"


def state_dict(tensors):
    """The pickle that torch.save writes of a dictionary of contiguous tensors, without its memo."""
    pickle = bytearray(b"\x80\x02}(")
    for place, (name, shape, storage, _) in enumerate(tensors):
        strides = [math.prod(shape[axis + 1:]) for axis in range(len(shape))]
        pickle += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        pickle += text("storage") + b"ctorch\n" + storage + b"\n" + text(str(place)) + text("cpu")
        pickle += integer(math.prod(shape)) + b"tQ" + integer(0) + numbers(shape) + numbers(strides)
        pickle += b"\x89ccollections\nOrderedDict\n)RtR"
    return bytes(pickle + b"u.")


def write_torch(path, tensors):
    """A zip file of stored parts whose bytes begin at multiples of 64, as PyTorch's do."""
    parts = [("data.pkl", state_dict(tensors)), ("byteorder", b"little")]
    parts += [(f"data/{place}", tensor[3]) for place, tensor in enumerate(tensors)] + [("version", b"3\n")]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, contents in parts:
            info = zipfile.ZipInfo("model/" + name, (1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            padding = -(archive.fp.tell() + 30 + len(info.filename) + 4) % 64
            info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
            archive.writestr(info, contents)


def training(report, tensors):
    """Settings and figures of the run; nothing that another machine would have otherwise, such as times."""
    stage = next(stage for stage in report["stages"] if stage.get("training"))
    found = stage["training"]
    best = next(point for point in found["curve"] if point["step"] == found["bestStep"])
    return {
        "engine": "compress, make reference",
        "seed": report["recipe"]["seed"],
        "steps": found["steps"],
        "best_step": found["bestStep"],
        "learning_rate": found["learningRate"],
        "text_tokens": found["tokens"],
        "times_through_text": round(found["epochs"], 4),
        "parameters": sum(math.prod(shape) for _, shape, _, _ in tensors),
        "held_out_tokens": found["heldOutTokens"],
        "held_out_loss_nats_per_token": round(best["heldOutLoss"], 4),
    }


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    tensors = read_safetensors(sys.argv[1])
    report = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    folder = Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    write_torch(folder / "model.bin", tensors)
    (folder / "training.json").write_text(json.dumps(training(report, tensors), indent=2) + "\n", encoding="utf-8")
    for name in ("model.bin", "training.json"):
        print(hashlib.sha256((folder / name).read_bytes()).hexdigest(), name)


if __name__ == "__main__":
    main()
