"""Makes the checkpoints beside this script with torch itself, and expected.json with what a reader must find.

Run: python make_torch.py (needs torch; the values are seeded, the ZIP layout depends on the version of torch).
"""
import collections
import io
import json
import os
import struct
import zipfile

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
FORMATS = {
    torch.float64: "f64", torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16",
    torch.float8_e4m3fn: "f8_e4m3", torch.float8_e5m2: "f8_e5m2",
    torch.int64: "i64", torch.int32: "i32", torch.int16: "i16", torch.int8: "i8",
    torch.uint64: "u64", torch.uint32: "u32", torch.uint16: "u16", torch.uint8: "u8", torch.bool: "bool",
}
expected = {}


def raw(tensor):
    """The bytes of a tensor: contiguous, little endian."""
    flat = tensor.detach().contiguous().clone()
    return bytes(flat.untyped_storage())


def record(file, tensors, aliases=None, **more):
    expected[file] = {
        "tensors": [
            {"name": n, "shape": list(t.shape), "format": FORMATS[t.dtype], "bytes": raw(t).hex()}
            for n, t in tensors.items()
        ],
        "aliases": aliases or {},
        **more,
    }


def save(file, value, **options):
    torch.save(value, os.path.join(HERE, file), **options)


def numbers(*shape):
    return torch.randn(*shape, generator=generator)


def repack(source, target, compression, change=lambda name, data: data):
    """Writes the entries of one archive into another, by Python's own writer: no zip64, no padding."""
    with zipfile.ZipFile(os.path.join(HERE, source)) as archive:
        with zipfile.ZipFile(os.path.join(HERE, target), "w", compression) as output:
            for info in archive.infolist():
                output.writestr(
                    zipfile.ZipInfo(info.filename), change(info.filename, archive.read(info)), compression)


generator = torch.Generator().manual_seed(20)

# Every element type; f8 and the wider unsigned ones are in untyped storages.
dtypes = {}
for dtype, name in FORMATS.items():
    if dtype.is_floating_point:
        dtypes[name] = (numbers(2, 3) * 3).to(dtype)
    elif dtype == torch.bool:
        dtypes[name] = numbers(2, 3) > 0
    else:
        dtypes[name] = torch.randint(0, 100, (2, 3), generator=generator).to(dtype)
dtypes["i64"][0, 0] = -2
save("dtypes.bin", dtypes)
record("dtypes.bin", dtypes)
# torch writes untyped storages into legacy files too, and cannot read them back.
classic = {n: t for n, t in dtypes.items() if not n.startswith("f8") and n not in ("u16", "u32", "u64")}
save("dtypes-legacy.bin", classic, _use_new_zipfile_serialization=False)
record("dtypes-legacy.bin", classic)

# The same file as a big-endian machine would write it.
sizes = {}
with zipfile.ZipFile(os.path.join(HERE, "dtypes.bin")) as archive:
    for place, tensor in enumerate(dtypes.values()):
        sizes[f"dtypes/data/{place}"] = tensor.element_size()


def big(name, data):
    if name == "dtypes/byteorder":
        return b"big"
    if name in sizes:
        size = sizes[name]
        return b"".join(data[i:i + size][::-1] for i in range(0, len(data), size))
    return data


repack("dtypes.bin", "dtypes-big.bin", zipfile.ZIP_STORED, big)
record("dtypes-big.bin", dtypes)
repack("dtypes.bin", "dtypes-deflated.bin", zipfile.ZIP_DEFLATED)

# Views of shared storages.
base = numbers(4, 6)
cube = numbers(2, 3, 4)
views = collections.OrderedDict()
views["base"] = base
views["tied"] = base
views["same.view"] = base[:]
views["transposed"] = base.t()
views["rows"] = base[1:3]
views["columns"] = base[:, 1:4]
views["every.second"] = base[::2, ::3]
views["permuted"] = cube.permute(2, 0, 1)
views["swapped.middle"] = cube.transpose(0, 1)
views["expanded"] = base[0].expand(3, 6)
views["expanded.inside"] = cube[:, :1, :].expand(2, 5, 4)
views["scalar"] = torch.tensor(2.5)
views["element"] = base[2, 3]
views["empty"] = torch.zeros(0, 4)
views["empty.too"] = torch.zeros(0, 4)
views["ones.between"] = base.t().unsqueeze(1)
views["half.transposed"] = numbers(3, 2).half().t()
views["bytes.transposed"] = torch.arange(6, dtype=torch.uint8).view(2, 3).t()
views["double.transposed"] = torch.arange(6, dtype=torch.float64).view(2, 3).t()
aliases = {"tied": "base", "same.view": "base"}
kept = {n: t for n, t in views.items() if n not in aliases}
for file, options in {
    "views.bin": {}, "views-legacy.bin": {"_use_new_zipfile_serialization": False},
    "views-protocol4.bin": {"pickle_protocol": 4}, "views-protocol5.bin": {"pickle_protocol": 5},
    "views-legacy-protocol4.bin": {"pickle_protocol": 4, "_use_new_zipfile_serialization": False},
}.items():
    save(file, views, **options)
    record(file, kept, aliases)

# A whole module's state dict: OrderedDict with _metadata, tied parameters.
module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
for parameter in module.parameters():
    parameter.data = numbers(*parameter.shape)
save("module.bin", module.state_dict())
record("module.bin", module.state_dict())
repack("module.bin", "module-zip32.bin", zipfile.ZIP_STORED)
record("module-zip32.bin", module.state_dict())

# Parameters, with and without attributes, and a tensor with attributes.
plain = torch.nn.Parameter(numbers(2))
marked = torch.nn.Parameter(numbers(3))
marked.mark = {"note": 1}
tagged = numbers(2, 2)
tagged.tag = "x"
save("parameters.pt", {"plain": plain, "marked": marked, "tagged": tagged})
record("parameters.pt", {"plain": plain, "marked": marked, "tagged": tagged})

# Training checkpoints.
inner = {"layers.0.weight": numbers(2, 2), "norm.weight": numbers(2)}
arguments = {"dim": 2, "n_layers": 1, "norm_eps": 1e-5, "name": "tiny", "flags": [True, None]}
save("training.pt", {
    "model": {"_orig_mod.module." + n: t for n, t in inner.items()},
    "optimizer": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": numbers(2, 2)}}, "param_groups": [{"lr": 0.1}]},
    "model_args": arguments, "iter_num": 10, "best_val_loss": torch.tensor(1.5), "seen": {1, 2}, "raw": b"ab",
    "device": torch.device("cpu"), "dtype": torch.float16, "shape": torch.Size([1, 2]), "big": 1 << 80,
})
record("training.pt", inner, configuration=arguments,
       notes=["'optimizer' left out: 2 tensors", "'best_val_loss' left out: 1 tensor"])
save("wrapped.pt", {"epoch": 3, "state_dict": {"module": {"module." + n: t for n, t in inner.items()}}})
record("wrapped.pt", inner)
save("nested.pt", {
    "encoder": {"layers": [{"weight": inner["norm.weight"]}, {"weight": inner["layers.0.weight"]}], "rate": 0.1},
    "pair": (numbers(1), "text"), "optimizer": {"state": numbers(1)},
})
loaded = torch.load(os.path.join(HERE, "nested.pt"))
record("nested.pt", {
    "encoder.layers.0.weight": inner["norm.weight"], "encoder.layers.1.weight": inner["layers.0.weight"],
    "pair.0": loaded["pair"][0],
}, notes=["'optimizer' left out: 1 tensor"])
save("list.pt", [numbers(2), numbers(1)])
record("list.pt", {str(i): t for i, t in enumerate(torch.load(os.path.join(HERE, "list.pt")))})
save("bare.pt", base)
record("bare.pt", {"tensor": base})

# Not checkpoints of weights.
save("complex.bin", {"frequencies": torch.complex(numbers(2), numbers(2))})


class Doubler(torch.nn.Module):
    def forward(self, x):
        return x * 2


torch.jit.save(torch.jit.script(Doubler()), os.path.join(HERE, "script.pt"))
save("program.pt", {"call": os.system})

for name in expected:  # The script checks itself: torch must read what a reader is expected to read.
    torch.load(os.path.join(HERE, name), weights_only=False)
with open(os.path.join(HERE, "expected.json"), "w") as output:
    json.dump(expected, output, indent=1)
