"""Quantized safetensors in `transformers` with compressed-tensors: the same logits as the decoded weights?

    python transformers_logits.py --compress PROGRAM --text TEXT MODEL…

For every model and format: it is written in compressed-tensors layout, and decoded again by `compress` into a folder of
32-bit floats. `transformers` runs both; the logits may differ by 1e-3 of the largest. `compress eval` runs both, too, with
activations in 32-bit floats, and has to find no divergence at all. GPTQ folders are unpacked here by the layout's
definition and compared with the decoded weights, which have to be equal.
"""
import argparse
import json
import logging
import os
import pathlib
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from peers import Failures, compress

FORMATS = ["int4.g128", "int4.g64", "int4.g32", "int8.channel"]
TOLERANCE = 1e-3


def logits(folder, ids):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(ids).logits


def convert(program, source, target, *more):
    compress(program, "convert", source, "-o", target, "--format", "safetensors", "-q", *more)
    return target


def rounding_inputs(model, packed):
    """The model with the inputs of its quantized layers rounded to 8 bits, one scale a token, as the package has it."""
    quantized = {key[: -len(".weight_scale")] for key in load_file(packed / "model.safetensors") if "_scale" in key}

    def rounded(module, inputs):
        step = inputs[0].abs().amax(-1, keepdim=True) / 127.5
        return (torch.clamp(torch.round(inputs[0] / step), -128, 127) * step,)

    for name, module in model.named_modules():
        if name in quantized:
            module.register_forward_pre_hook(rounded)
    return model


def check_rounded(program, model, folder, text, failures):
    """W8A8: the package rounds activations by the definition; `compress` differs from it as max / 127 does from max / 127.5."""
    packed = convert(program, model, folder / "packed", "--to", "w8a8", "--for", "transformers")
    plain = convert(program, packed, folder / "plain", "--to", "f32", "--allow-requantize")
    vocabulary = json.loads((packed / "config.json").read_text())["vocab_size"]
    ids = torch.randint(3, vocabulary, (2, 96), generator=torch.Generator().manual_seed(1))
    found = logits(packed, ids)
    network = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32).eval()
    with torch.no_grad():
        floats = network(ids).logits
        expected = rounding_inputs(network, packed)(ids).logits
    size = float(floats.abs().max())
    error, rounding = (float((found - other).abs().max()) / size for other in (expected, floats))
    report = json.loads(compress(
        program, "eval", packed, "--baseline", plain, "--eval", text, "--eval-tokens", 2048, "--context", 128, "--json",
        "-q"))
    divergence = report["evaluation"]["metrics"]["divergence"]["mean"]["value"]
    print(f"{model}  w8a8          transformers {error:.1e} (rounded activations change {rounding:.1e})   "
          f"compress KLD {divergence:.1e} by rounded activations")
    failures.require(error < 1e-2, f"{model} as w8a8: logits differ by {error:.1e} of the largest")
    failures.require(divergence < 1e-2, f"{model} as w8a8: KL divergence {divergence} by rounded activations")


def check_transformers(program, model, name, folder, text, failures):
    packed = convert(program, model, folder / "packed", "--to", name, "--for", "transformers")
    plain = convert(program, packed, folder / "plain", "--to", "f32", "--allow-requantize")
    vocabulary = json.loads((packed / "config.json").read_text())["vocab_size"]
    ids = torch.randint(3, vocabulary, (2, 96), generator=torch.Generator().manual_seed(1))
    found, expected = logits(packed, ids), logits(plain, ids)
    error = float((found - expected).abs().max() / expected.abs().max())
    report = json.loads(compress(
        program, "eval", packed, "--baseline", plain, "--activations", "f32", "--eval", text, "--eval-tokens", 2048,
        "--context", 128, "--json", "-q"))
    divergence = report["evaluation"]["metrics"]["divergence"]["mean"]["value"]
    print(f"{model}  {name:13} transformers {error:.1e}   compress KLD {divergence:.1e}")
    failures.require(error < TOLERANCE, f"{model} as {name}: logits differ by {error:.1e} of the largest")
    failures.require(divergence == 0, f"{model} as {name}: KL divergence {divergence} from the decoded weights")


def unpack_gptq(tensors, module, bits):
    """x = scale · (code − (zero + 1)), words filled from the lowest bits."""
    words = tensors[f"{module}.qweight"].numpy().view(np.uint32)
    zeros = tensors[f"{module}.qzeros"].numpy().view(np.uint32)
    scales = tensors[f"{module}.scales"].numpy().astype(np.float32)
    order = tensors[f"{module}.g_idx"].numpy()
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    mask = np.uint32(2**bits - 1)
    codes = (words[:, None, :] >> shifts[None, :, None] & mask).reshape(-1, words.shape[1]).astype(np.float32)
    zero = (zeros[:, :, None] >> shifts & mask).reshape(zeros.shape[0], -1).astype(np.float32) + 1
    return (scales[order] * (codes - zero[order])).T


def check_gptq(program, model, name, folder, failures):
    packed = convert(program, model, folder / "gptq", "--to", name, "--layout", "gptq")
    plain = convert(program, packed, folder / "gptq-plain", "--to", "f32", "--allow-requantize")
    settings = json.loads((packed / "config.json").read_text())["quantization_config"]
    tensors = load_file(packed / "model.safetensors")
    decoded = load_file(plain / "model.safetensors")
    modules = [key[: -len(".qweight")] for key in tensors if key.endswith(".qweight")]
    for module in modules:
        same = np.array_equal(unpack_gptq(tensors, module, settings["bits"]), decoded[f"{module}.weight"].numpy())
        failures.require(same, f"{model} as GPTQ {name}: {module} differs")
    print(f"{model}  {name:13} GPTQ: {len(modules)} matrices unpacked by the definition")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compress", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("models", nargs="+")
    arguments = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    logging.getLogger("transformers").setLevel(logging.ERROR)
    failures = Failures()
    for model in arguments.models:
        for name in FORMATS:
            with tempfile.TemporaryDirectory() as folder:
                check_transformers(
                    arguments.compress, model, name, pathlib.Path(folder), arguments.text, failures)
        with tempfile.TemporaryDirectory() as folder:
            check_rounded(arguments.compress, model, pathlib.Path(folder), arguments.text, failures)
        # One group size for the whole model, or none.
        for name in ["int4.g32", "int8.channel"]:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    check_gptq(arguments.compress, model, name, pathlib.Path(folder), failures)
                except RuntimeError as error:
                    if "one group size" not in str(error):
                        raise
                    print(f"{model}  {name:13} GPTQ: rows of different groups, refused")
    failures.finish()


main()
