"""Makes a tiny llama quantized by the compressed-tensors package, with what `transformers` computes for it in f32.

Run with `python make_packed.py [NAME…]` beside this file (torch, transformers, safetensors, compressed-tensors). Seeded: the same
versions write the same bytes. Each folder of `packed/` holds `config.json`, `model.safetensors` and
`reference.safetensors` (`input_ids`, `logits`).
"""

import json
import os
import shutil
import sys

import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "packed")
# name -> (bits, group, layout, stored type of the scales); w8a8 rounds activations, too
VARIANTS = {
    "int4-g32": (4, 32, "pack-quantized", torch.bfloat16),
    "int4-channel": (4, None, "pack-quantized", torch.float16),
    "int8-g32": (8, 32, "pack-quantized", torch.float32),
    "int8-channel": (8, None, "int-quantized", torch.float32),
    "w8a8": (8, None, "int-quantized", torch.float32),
}


def model():
    torch.manual_seed(20261127)
    config = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
        tie_word_embeddings=True)
    result = LlamaForCausalLM(config).eval()
    for parameter in result.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.15)
    return result


def scale_of(weight, bits, group):
    groups = weight.reshape(weight.shape[0], -1, group or weight.shape[1])
    return groups.abs().amax(-1) / (2 ** (bits - 1) - 0.5)


def by_token(network, tensors, ids):
    """Logits with each layer's inputs rounded to max / 127 a token, as vLLM's kernels do; the package has max / 127.5."""
    def rounded(module, inputs):
        step = inputs[0].abs().amax(-1, keepdim=True) / 127
        return (torch.round(inputs[0] / step) * step,)
    for name, module in network.named_modules():
        if f"{name}.weight_scale" in tensors:
            module.weight.data = tensors[f"{name}.weight"].float() * tensors[f"{name}.weight_scale"].half().float()
            module.register_forward_pre_hook(rounded)
    with torch.no_grad():
        return network(ids).logits


def make(name, bits, group, layout, dtype):
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    weights = QuantizationArgs(
        num_bits=bits, type="int", symmetric=True, strategy="group" if group else "channel", group_size=group)
    activations = QuantizationArgs(num_bits=8, type="int", symmetric=True, strategy="token", dynamic=True)
    scheme = QuantizationScheme(
        targets=["Linear"], weights=weights, format=layout, input_activations=activations if name == "w8a8" else None)
    compressor = BaseCompressor.get_value_from_registry(layout)
    network = model()
    tensors = {}
    for key, value in network.state_dict().items():
        if key == "lm_head.weight":
            continue
        if ".layers." not in key or value.ndim != 2:
            tensors[key] = value
            continue
        state = {"weight": value, "weight_scale": scale_of(value, bits, group).to(dtype).float()}
        packed = compressor.compress(state, scheme)
        module = key[: -len(".weight")]
        for part, tensor in packed.items():
            tensors[f"{module}.{part}"] = (tensor.to(dtype) if part == "weight_scale" else tensor).contiguous()
    save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    config = network.config.to_dict()
    config["architectures"] = ["LlamaForCausalLM"]
    config["quantization_config"] = {
        "quant_method": "compressed-tensors", "format": layout, "quantization_status": "compressed",
        "ignore": ["lm_head"], "config_groups": {"group_0": json.loads(scheme.model_dump_json())}}
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file, indent=1, sort_keys=True)
    ids = torch.randint(0, 64, (2, 12), generator=torch.Generator().manual_seed(5))
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = loaded(ids).logits
    reference = {"input_ids": ids, "logits": logits.reshape(-1, 64).contiguous()}
    if name == "w8a8":
        reference["logits_token"] = by_token(network, tensors, ids).reshape(-1, 64).contiguous()
    save_file(reference, os.path.join(folder, "reference.safetensors"))


for variant in sys.argv[1:] or VARIANTS:
    make(variant, *VARIANTS[variant])
