"""Magnitude, Wanda and SparseGPT as their papers define them, on a Hugging Face folder: what `compress --prune` is measured against.

Wanda: arXiv 2306.11695, algorithm 1. SparseGPT: arXiv 2301.00774, algorithm 1, with mask selection in blocks of 128 columns
(B_s = 128; for n:m patterns, groups of m columns) and 1 % dampening. Both walk through the blocks in order; a block's layers are
pruned for the inputs that the unpruned block gets from the pruned blocks before it, and the next block sees the pruned one's outputs.
Linear layers of blocks only. Sequences of 512 tokens at even distances over the calibration text, as `compress` takes them; or the
documents of a .jsonl file, each by itself.

    reference.py MODEL TEXT METHOD SPARSITY OUTPUT [TOKENS]
        METHOD    magnitude, wanda, sparsegpt
        SPARSITY  0.5, 2:4, 4:8 …
"""
import json
import os
import shutil
import sys

import sentencepiece
import torch
from transformers import AutoModelForCausalLM

BLOCK = 128
DAMPENING = 0.01


def pattern(text):
    """(share, n dropped, m): m is 0 for unstructured sparsity."""
    if ":" in text:
        n, m = map(int, text.split(":"))
        return 1 - n / m, m - n, m
    return float(text), 0, 0


def lowest(scores, count):
    """A mask of the `count` lowest scores of each row, ties by index."""
    order = torch.sort(scores, dim=1, stable=True).indices
    mask = torch.zeros_like(scores, dtype=torch.bool)
    mask.scatter_(1, order[:, :count], True)
    return mask


def lowest_of_groups(scores, drop, m):
    rows, columns = scores.shape
    return lowest(scores.reshape(rows * columns // m, m), drop).reshape(rows, columns)


def magnitude(weight, share, drop, m):
    if m:
        return weight.masked_fill(lowest_of_groups(weight.abs(), drop, m), 0)
    count = round(share * weight.numel())
    return weight.masked_fill(lowest(weight.abs().reshape(1, -1), count).reshape(weight.shape), 0)


def wanda(weight, gram, share, drop, m):
    scores = weight.abs() * gram.diagonal().clamp_min(0).sqrt()
    mask = lowest_of_groups(scores, drop, m) if m else lowest(scores, int(share * weight.shape[1]))
    return weight.masked_fill(mask, 0)


def sparsegpt(weight, gram, share, drop, m):
    weight = weight.double().clone()
    gram = gram.double().clone()
    columns = weight.shape[1]
    dead = gram.diagonal() == 0
    gram[dead, dead] = 1
    weight[:, dead] = 0
    gram += DAMPENING * gram.diagonal().mean() * torch.eye(columns, dtype=gram.dtype)
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(gram)), upper=True)
    for start in range(0, columns, BLOCK):
        end = min(start + BLOCK, columns)
        part, factor = weight[:, start:end].clone(), upper[start:end, start:end]
        errors = torch.zeros_like(part)
        mask = torch.zeros_like(part, dtype=torch.bool)
        if not m:
            scores = part**2 / factor.diagonal() ** 2
            count = int(share * scores.numel())
            threshold = torch.sort(scores.flatten()).values[count]
            mask = scores < threshold if count else mask
        for i in range(end - start):
            if m and i % m == 0:
                scores = part[:, i:i + m] ** 2 / factor.diagonal()[i:i + m] ** 2
                mask[:, i:i + m] = lowest(scores, drop)
            kept = part[:, i].masked_fill(mask[:, i], 0)
            errors[:, i] = (part[:, i] - kept) / factor[i, i]
            part[:, i:] -= errors[:, i:i + 1] * factor[i:i + 1, i:]
            part[:, i] = kept
        weight[:, start:end] = part
        weight[:, end:] -= errors @ upper[start:end, end:]
    return weight.float()


def sequences(folder, path, tokens, length):
    pieces = sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "tokenizer.model"))
    settings = os.path.join(folder, "tokenizer_config.json")
    adds = json.load(open(settings)).get("add_bos_token", True) if os.path.exists(settings) else True
    bos = [pieces.bos_id()] if adds else []
    text = open(path, encoding="utf-8").read()
    if path.endswith(".jsonl"):
        return documents(text.split("\n"), pieces, tokens, length, bos)
    ids = pieces.encode(text)
    step = length - len(bos)
    cut = [bos + ids[i:i + step] for i in range(0, len(ids) - step + 1, step)]
    count = min(len(cut), tokens // length)
    return [torch.tensor(cut[i * len(cut) // count]) for i in range(count)]


def documents(lines, pieces, tokens, length, bos):
    """Documents of a .jsonl file at even distances, each a sequence of at most `length`."""
    cut = [(bos + pieces.encode(json.loads(line)["text"]))[:length] for line in lines if line.strip()]
    count = min(len(cut), max(1, tokens * len(cut) // sum(map(len, cut))))
    return [torch.tensor(cut[i * len(cut) // count]) for i in range(count)]


@torch.no_grad()
def prune(model, batch, method, share, drop, m):
    blocks = model.model.layers
    states = []

    class Stop(Exception):
        pass

    def catch(module, args, kwargs):
        states.append((args[0], {k: v for k, v in kwargs.items() if k != "past_key_values"}))
        raise Stop

    handle = blocks[0].register_forward_pre_hook(catch, with_kwargs=True)
    for row in batch:
        try:
            model(row[None], use_cache=False)
        except Stop:
            pass
    handle.remove()
    hidden, options = [s[0] for s in states], [s[1] for s in states]
    for index, block in enumerate(blocks):
        layers = {n: l for n, l in block.named_modules() if isinstance(l, torch.nn.Linear)}
        grams = {n: torch.zeros(l.in_features, l.in_features) for n, l in layers.items()}

        def hook(name):
            def add(_, inputs):
                x = inputs[0].reshape(-1, inputs[0].shape[-1])
                grams[name] += x.T @ x
            return add

        hooks = [l.register_forward_pre_hook(hook(n)) for n, l in layers.items()]
        run = lambda x, own: (lambda y: y[0] if isinstance(y, tuple) else y)(block(x, **own))
        for x, own in zip(hidden, options):
            run(x, own)
        for h in hooks:
            h.remove()
        for name, layer in layers.items():
            w = layer.weight.data.float()
            if method == "magnitude":
                new = magnitude(w, share, drop, m)
            elif method == "wanda":
                new = wanda(w, grams[name], share, drop, m)
            else:
                new = sparsegpt(w, grams[name], share, drop, m)
            layer.weight.data = new.to(layer.weight.dtype)
        hidden = [run(x, own) for x, own in zip(hidden, options)]


def main():
    path, text, method, sparsity, output = sys.argv[1:6]
    tokens = int(sys.argv[6]) if len(sys.argv) > 6 else 32768
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    length = min(512, model.config.max_position_embeddings)
    prune(model, sequences(path, text, tokens, length), method, *pattern(sparsity))
    model.save_pretrained(output)
    for name in ["tokenizer.model", "tokenizer_config.json"]:
        if os.path.exists(os.path.join(path, name)):
            shutil.copy(os.path.join(path, name), output)


if __name__ == "__main__":
    main()
