"""Golden bytes for the codecs, made by the tools that define the formats.

    pip install gguf torch numpy && python make_codec_fixtures.py

decode-F.bytes, decode-F.f32   random and extreme blocks of format F, and what gguf (F8: PyTorch) reads there
encode-input.f32               rows of 256 weights: random and special
encode-F.bytes                 what gguf writes for them, for the formats whose encoding is exact
"""
import pathlib
import warnings

import gguf
import numpy as np
import torch

FOLDER = pathlib.Path(__file__).parent
warnings.filterwarnings("ignore")
# Where the half-precision scales lie in a block.
SCALES = dict(
    Q4_0=[0], Q4_1=[0, 2], Q5_0=[0], Q5_1=[0, 2], Q8_0=[0], Q2_K=[80, 82], Q3_K=[108], Q4_K=[0, 2],
    Q5_K=[0, 2], Q6_K=[208], IQ4_NL=[0], IQ4_XS=[0])
# 0, −0, ±∞, NaN, ±largest, smallest subnormal, largest subnormal, smallest normal
EXTREMES = [0x0000, 0x8000, 0x7C00, 0xFC00, 0x7E01, 0x7BFF, 0xFBFF, 0x0001, 0x03FF, 0x0400]


def save(name, array):
    (FOLDER / name).write_bytes(np.ascontiguousarray(array).tobytes())


def decode_blocks(name, random):
    kind = gguf.GGMLQuantizationType[name]
    block, size = gguf.GGML_QUANT_SIZES[kind]
    count = 24 if block == 32 else 6
    data = random.integers(0, 256, (count, size), dtype=np.uint8)
    data[0], data[1] = 0, 255
    for row in range(2, count):  # ordinary scales, then extreme ones
        for place, offset in enumerate(SCALES[name]):
            if row < count - (10 if block == 32 else 2):
                value = np.float16(random.normal()).view(np.uint16)
            else:
                value = np.uint16(EXTREMES[(3 * row + place) % len(EXTREMES)])
            data[row, offset : offset + 2] = np.frombuffer(value.tobytes(), np.uint8)
    save(f"decode-{name.lower()}.bytes", data)
    save(f"decode-{name.lower()}.f32", gguf.quants.dequantize(data, kind).astype("<f4"))


def decode_floats(random):
    halves = np.concatenate([np.array(EXTREMES + [0x7F81, 0xFFC1]), random.integers(0, 65536, 244)]).astype("<u2")
    for name in ("F16", "BF16"):
        values = gguf.quants.dequantize(halves.view(np.uint8).reshape(1, -1), gguf.GGMLQuantizationType[name])
        save(f"decode-{name.lower()}.bytes", halves)
        save(f"decode-{name.lower()}.f32", values.astype("<f4"))
    singles = np.concatenate([np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e-45, 3.4e38]), random.normal(size=57)])
    save("decode-f32.bytes", singles.astype("<f4"))
    save("decode-f32.f32", singles.astype("<f4"))
    doubles = np.concatenate([singles, np.array([1e300, -1e300, 1e-300, 1 + 2**-24, 1 + 3 * 2**-24])])
    save("decode-f64.bytes", doubles.astype("<f8"))
    save("decode-f64.f32", doubles.astype("<f4"))
    everything = torch.arange(256, dtype=torch.uint8)
    for name, kind in (("f8_e4m3", torch.float8_e4m3fn), ("f8_e5m2", torch.float8_e5m2)):
        save(f"decode-{name}.bytes", everything.numpy())
        save(f"decode-{name}.f32", everything.view(kind).float().numpy())


def halves_of(random, count):
    """Ordinary scales, and behind them the extreme ones."""
    scales = random.normal(size=count).astype(np.float16)
    extreme = np.array(EXTREMES, np.uint16).view(np.float16)[: count // 2]
    scales[count - len(extreme) :] = extreme
    return scales


def decode_groups(random):
    """int4.g…: no tool defines these bytes but docs/Formats.md; what they stand for is numpy's arithmetic on the parts."""
    for group in (32, 64, 128):
        scales = halves_of(random, 12)
        codes = random.integers(0, 16, (12, group // 32, 32), dtype=np.uint8)
        nibbles = codes[..., :16] | codes[..., 16:] << 4
        data = np.concatenate([scales.view(np.uint8).reshape(12, 2), nibbles.reshape(12, -1)], axis=1)
        values = scales.astype("<f4")[:, None] * (codes.reshape(12, group).astype("<f4") - 8)
        save(f"decode-int4.g{group}.bytes", data)
        save(f"decode-int4.g{group}.f32", values.astype("<f4"))


def decode_rows(random):
    """One row of 77 weights: a scale and signed codes; the uniform formats have the columns' scales behind it."""
    for name, kind, top in (("int8.channel", "i1", 127), ("uniform8", "i1", 127), ("uniform16", "<i2", 32639)):
        scale = np.array([0.0123], np.float16)
        codes = random.integers(-top, top + 1, 77).astype(kind)
        data = scale.tobytes() + codes.tobytes()
        values = scale.astype("<f4") * codes.astype("<f4")
        if name != "int8.channel":
            columns = halves_of(random, 77)
            data += columns.tobytes()
            values = values * columns.astype("<f4")
        save(f"decode-{name}.bytes", np.frombuffer(data, np.uint8))
        save(f"decode-{name}.f32", values.astype("<f4"))


def encode(random):
    rows = np.zeros((10, 256), np.float32)
    rows[1] = -0.0
    rows[2, 77] = -3.25  # one weight
    rows[3] = 0.7  # all the same
    rows[4] = -np.abs(random.normal(size=256))
    rows[5] = random.normal(size=256) * 1e-30  # the scale is zero in half precision
    rows[6] = (np.arange(256) - 128) / 2  # halves between codes
    rows[7] = random.normal(size=256) * 1e4
    rows[8] = random.standard_cauchy(size=256).clip(-6e4, 6e4)  # outliers
    rows[9] = random.normal(size=256) * 0.02
    save("encode-input.f32", rows.astype("<f4"))
    for name in ("Q8_0", "F16", "BF16"):
        data = gguf.quants.quantize(rows, gguf.GGMLQuantizationType[name])
        save(f"encode-{name.lower()}.bytes", data)


def main():
    random = np.random.default_rng(20240601)
    for name in SCALES:
        decode_blocks(name, random)
    decode_floats(random)
    encode(random)
    random = np.random.default_rng(20261127)
    decode_groups(random)
    decode_rows(random)


main()
