"""Makes tiny random models of every variant that the project runs, with what `transformers` computes for them in f32.

Run with `python make_models.py` beside this file (torch, transformers, safetensors). Seeded: the same versions write
the same bytes. Each folder of `models/` holds `config.json`, `model.safetensors` and `reference.safetensors`
(`input_ids`, and `logits` or `embeddings`).
"""

import json
import os
import shutil

import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config,
    Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models")
SMALL = dict(
    vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2)


def rope(kind, **more):
    return {"rope_type": kind, "rope_theta": 10000.0, **more}


def variant(**changes):
    return {**SMALL, **changes}


# name -> (model class, configuration, stored type)
LANGUAGE = {
    "llama-tied": (LlamaForCausalLM, LlamaConfig(**variant(num_key_value_heads=4, tie_word_embeddings=True)),
                   torch.float32),
    "llama-bias": (LlamaForCausalLM, LlamaConfig(**variant(
        attention_bias=True, mlp_bias=True, tie_word_embeddings=False)), torch.bfloat16),
    "llama-mqa": (LlamaForCausalLM, LlamaConfig(**variant(
        num_key_value_heads=1, tie_word_embeddings=False)), torch.float16),
    "llama-head-dim": (LlamaForCausalLM, LlamaConfig(**variant(
        head_dim=12, num_key_value_heads=2, tie_word_embeddings=True)), torch.bfloat16),
    "llama-linear": (LlamaForCausalLM, LlamaConfig(**variant(
        tie_word_embeddings=True, rope_parameters=rope("linear", factor=4.0))), torch.bfloat16),
    "llama-llama3": (LlamaForCausalLM, LlamaConfig(**variant(
        tie_word_embeddings=True, head_dim=16, rope_parameters=rope(
            "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=32))), torch.bfloat16),
    "llama-yarn": (LlamaForCausalLM, LlamaConfig(**variant(
        tie_word_embeddings=True, head_dim=16, rope_parameters=rope(
            "yarn", factor=4.0, original_max_position_embeddings=16))), torch.bfloat16),
    "mistral": (MistralForCausalLM, MistralConfig(**variant(
        sliding_window=7, tie_word_embeddings=False)), torch.bfloat16),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**variant(
        tie_word_embeddings=True, rope_parameters=rope("default", rope_theta=1000000.0))), torch.bfloat16),
    "qwen2-window": (Qwen2ForCausalLM, Qwen2Config(**variant(
        tie_word_embeddings=True, use_sliding_window=True, sliding_window=5, max_window_layers=1)),
        torch.bfloat16),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**variant(
        head_dim=16, tie_word_embeddings=False, rope_parameters=rope("default", rope_theta=1000000.0))),
        torch.bfloat16),
}


def randomize(model, generator):
    """Weights that make every part matter: wide matrices, norms and biases away from one and zero."""
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() > 1:
            parameter.data = noise * 0.25
        elif name.endswith("bias"):
            parameter.data = noise * 0.2
        else:
            parameter.data = 1 + noise * 0.2


def stored(model, dtype):
    """The state dict in `dtype`; the model itself is rounded to it, so references see the stored weights."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype).to(torch.float32)
    tensors, seen = {}, {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() in seen:
            continue
        seen[tensor.data_ptr()] = name
        tensors[name] = tensor.to(dtype).contiguous()
    return tensors


def write(folder, config, architecture, tensors, reference, extra=None):
    path = os.path.join(HERE, folder)
    os.makedirs(path)
    data = config.to_diff_dict()
    data["model_type"] = config.model_type
    data["architectures"] = [architecture]
    data.pop("transformers_version", None)
    data.pop("dtype", None)
    for name, value in {"config.json": data, **(extra or {})}.items():
        os.makedirs(os.path.dirname(os.path.join(path, name)), exist_ok=True)
        with open(os.path.join(path, name), "w") as file:
            json.dump(value, file, indent=1, sort_keys=True)
            file.write("\n")
    save_file(tensors, os.path.join(path, "model.safetensors"), metadata={"format": "pt"})
    save_file(reference, os.path.join(path, "reference.safetensors"))


def make_language(name, seed):
    cls, config, dtype = LANGUAGE[name]
    generator = torch.Generator().manual_seed(seed)
    config._attn_implementation = "eager"
    model = cls(config).float().eval()
    randomize(model, generator)
    model.tie_weights()
    tensors = stored(model, dtype)
    ids = torch.randint(3, config.vocab_size, (1, 24), generator=generator)
    with torch.no_grad():
        logits = model(ids).logits[0].float().contiguous()
    write(name, config, cls.__name__, tensors, {"input_ids": ids[0].contiguous(), "logits": logits})


def make_bert(name, seed, pooling, normalize, prefix):
    config = BertConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=32, type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-12)
    config._attn_implementation = "eager"
    generator = torch.Generator().manual_seed(seed)
    model = BertModel(config, add_pooling_layer=pooling == "cls").float().eval()
    randomize(model, generator)
    tensors = {prefix + key: value for key, value in stored(model, torch.float16).items()}
    lengths = [5, 11, 1, 20]
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(1, config.vocab_size, (length,), generator=generator)
        mask[row, :length] = 1
    with torch.no_grad():
        hidden = model(ids, attention_mask=mask).last_hidden_state
    weights = mask.unsqueeze(-1).float()
    pooled = hidden[:, 0] if pooling == "cls" else (hidden * weights).sum(1) / weights.sum(1)
    if normalize:
        pooled = torch.nn.functional.normalize(pooled, dim=-1)
    extra = {"1_Pooling/config.json": {
        "word_embedding_dimension": 32, "pooling_mode_cls_token": pooling == "cls",
        "pooling_mode_mean_tokens": pooling == "mean", "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False}}
    modules = [("Transformer", ""), ("Pooling", "1_Pooling")] + ([("Normalize", "2_Normalize")] if normalize else [])
    extra["modules.json"] = [
        {"idx": place, "name": str(place), "path": path, "type": "sentence_transformers.models." + kind}
        for place, (kind, path) in enumerate(modules)]
    write(name, config, "BertModel", tensors,
          {"input_ids": ids, "attention_mask": mask, "embeddings": pooled.contiguous()}, extra)


if __name__ == "__main__":
    shutil.rmtree(HERE, ignore_errors=True)
    for place, name in enumerate(LANGUAGE):
        make_language(name, 100 + place)
    make_bert("bert-mean", 200, "mean", True, "")
    make_bert("bert-cls", 201, "cls", False, "bert.")
