#!/usr/bin/env python3
"""Trains the reference model: a small Llama-architecture model on the text of generate_text.py.

Writes config.json, tokenizer.model and model.bin (a PyTorch state dict, bf16) into the output folder, and training.json with
the settings and losses. Needs torch, numpy and sentencepiece (a maker's tool: nothing of it is needed to use `compress`).

Usage: train.py TRAINING.txt OUTPUT_FOLDER [--minutes 40] [--threads 4] [--seed 7]
"""
import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import sentencepiece as spm
import torch
import torch.nn.functional as F
from torch import nn

HIDDEN, LAYERS, HEADS, KV_HEADS, FFN, VOCABULARY, CONTEXT = 256, 3, 8, 4, 512, 512, 256
HEAD = HIDDEN // HEADS


def rotary(length):
    frequency = 10000.0 ** (-torch.arange(0, HEAD, 2).float() / HEAD)
    angle = torch.outer(torch.arange(length).float(), frequency)
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(HIDDEN))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = Norm(), Norm()
        self.self_attn = nn.ModuleDict({
            "q_proj": nn.Linear(HIDDEN, HIDDEN, bias=False), "k_proj": nn.Linear(HIDDEN, KV_HEADS * HEAD, bias=False),
            "v_proj": nn.Linear(HIDDEN, KV_HEADS * HEAD, bias=False), "o_proj": nn.Linear(HIDDEN, HIDDEN, bias=False)})
        self.mlp = nn.ModuleDict({
            "gate_proj": nn.Linear(HIDDEN, FFN, bias=False), "up_proj": nn.Linear(HIDDEN, FFN, bias=False),
            "down_proj": nn.Linear(FFN, HIDDEN, bias=False)})

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        h = self.input_layernorm(x)
        q = self.self_attn["q_proj"](h).view(b, t, HEADS, HEAD).transpose(1, 2)
        k = self.self_attn["k_proj"](h).view(b, t, KV_HEADS, HEAD).transpose(1, 2)
        v = self.self_attn["v_proj"](h).view(b, t, KV_HEADS, HEAD).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = k.repeat_interleave(HEADS // KV_HEADS, 1), v.repeat_interleave(HEADS // KV_HEADS, 1)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.self_attn["o_proj"](a.transpose(1, 2).reshape(b, t, HIDDEN))
        h = self.post_attention_layernorm(x)
        return x + self.mlp["down_proj"](F.silu(self.mlp["gate_proj"](h)) * self.mlp["up_proj"](h))


class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.ModuleDict({
            "embed_tokens": nn.Embedding(VOCABULARY, HIDDEN), "layers": nn.ModuleList(Block() for _ in range(LAYERS)),
            "norm": Norm()})
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)
        cos, sin = rotary(CONTEXT)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids):
        x = self.model["embed_tokens"](ids)
        for block in self.model["layers"]:
            x = block(x, self.cos[: ids.shape[1]], self.sin[: ids.shape[1]])
        return self.model["norm"](x) @ self.model["embed_tokens"].weight.T


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("text")
    parser.add_argument("output")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    out = Path(options.output)
    out.mkdir(parents=True, exist_ok=True)
    spm.SentencePieceTrainer.train(
        input=options.text, model_prefix=str(out / "tokenizer"), vocab_size=VOCABULARY, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", split_digits=True, add_dummy_prefix=True,
        remove_extra_whitespaces=False, input_sentence_size=200000, shuffle_input_sentence=False,
        bos_id=1, eos_id=2, unk_id=0, pad_id=-1, num_threads=1)
    (out / "tokenizer.vocab").unlink()
    tokenizer = spm.SentencePieceProcessor(model_file=str(out / "tokenizer.model"))
    cache = Path(options.text + ".ids.npy")
    if cache.exists():
        ids = np.load(cache)
    else:
        documents = open(options.text, encoding="utf-8").read().split("\n\n")
        ids = np.array([i for d in documents for i in [1] + tokenizer.encode(d + "\n\n")], dtype=np.uint16)
        np.save(cache, ids)
    held, train = ids[:100_000], ids[100_000:]
    print(f"{len(ids)} tokens", flush=True)

    model, rng = Llama(), np.random.default_rng(options.seed)
    peak, warmup, batch = 3e-3, 100, 16
    decay = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}], lr=peak, betas=(0.9, 0.95))
    start, step, seen, progress = time.time(), 0, 0, 0.0
    while progress < 1:
        progress = (time.time() - start) / (options.minutes * 60)
        rate = peak * min(1, (step + 1) / warmup) * max(0.02, 0.5 * (1 + math.cos(math.pi * min(1, progress))))
        for group in optimizer.param_groups:
            group["lr"] = rate
        places = rng.integers(0, len(train) - CONTEXT - 1, batch)
        window = torch.from_numpy(np.stack([train[p : p + CONTEXT + 1] for p in places]).astype(np.int64))
        logits = model(window[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, seen = step + 1, seen + batch * CONTEXT
        if step % 100 == 0:
            print(f"step {step} tokens {seen} loss {loss.item():.4f} lr {rate:.5f} {time.time() - start:.0f}s", flush=True)

    with torch.no_grad():
        losses = [F.cross_entropy(model(w[:, :-1]).flatten(0, 1), w[:, 1:].flatten()).item()
                  for w in torch.from_numpy(held[: 99_000].astype(np.int64)).unfold(0, CONTEXT + 1, CONTEXT).split(16)]
    state = {k: v.to(torch.bfloat16) for k, v in model.state_dict().items()}
    torch.save(state, out / "model.bin")
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": FFN,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD,
        "vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2,
        "attention_bias": False, "mlp_bias": False, "torch_dtype": "bfloat16"}
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "training.json").write_text(json.dumps({
        "seed": options.seed, "minutes": options.minutes, "steps": step, "tokens": seen, "parameters": sum(
            p.numel() for p in model.parameters()), "held_out_loss_nats_per_token": sum(losses) / len(losses)}, indent=2) + "\n")
    print("held-out loss", sum(losses) / len(losses), flush=True)


if __name__ == "__main__":
    main()
