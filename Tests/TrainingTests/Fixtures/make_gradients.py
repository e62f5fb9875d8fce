"""Gradients by PyTorch of the tiny models of ModelsTests, for the losses that students learn by.

Run with `python make_gradients.py` beside this file (torch, transformers, safetensors). Seeded: the same versions write the
same bytes. For each model `NAME.safetensors` holds `documents` (tokens, −1 fills rows up), `teacher` (the logits that stand
for a teacher's, one row a token of all documents), and for each loss its value and the gradient of some tensors.
"""

import os

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, BertModel

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "..", "ModelsTests", "Fixtures", "models")
NAMES = ["llama-tied", "llama-bias", "llama-mqa", "llama-yarn", "qwen2-window", "qwen3"]
LENGTHS = [9, 1, 14]
TEMPERATURE = 2.0


def losses(student, teacher, targets):
    p, logp = (teacher / TEMPERATURE).softmax(-1), (teacher / TEMPERATURE).log_softmax(-1)
    q, logq = (student / TEMPERATURE).softmax(-1), (student / TEMPERATURE).log_softmax(-1)
    m = 0.3 * p + 0.7 * q
    square = TEMPERATURE ** 2
    valid = targets >= 0
    return {
        "forward-kl": square * (p * (logp - logq)).sum(-1).mean(),
        "reverse-kl": square * (q * (logq - logp)).sum(-1).mean(),
        "jsd": square * (0.3 * (p * (logp - m.log())).sum(-1) + 0.7 * (q * (logq - m.log())).sum(-1)).mean(),
        "cross-entropy": torch.nn.functional.cross_entropy(student[valid], targets[valid]),
    }


def main():
    for name in NAMES:
        torch.manual_seed(hash_of(name))
        model = AutoModelForCausalLM.from_pretrained(
            os.path.join(MODELS, name), dtype=torch.float32, attn_implementation="eager")
        documents = [torch.randint(0, 64, (n,)) for n in LENGTHS]
        teacher = torch.randn(sum(LENGTHS), 64) * 2
        targets = torch.cat([torch.cat([d[1:], torch.tensor([-1])]) for d in documents])
        padded = torch.full((len(LENGTHS), max(LENGTHS)), -1)
        for row, document in zip(padded, documents):
            row[: len(document)] = document
        out = {"documents": padded.to(torch.int32), "teacher": teacher}
        for kind in ["forward-kl", "reverse-kl", "jsd", "cross-entropy"]:
            model.zero_grad()
            logits = torch.cat([model(document[None]).logits[0] for document in documents])
            loss = losses(logits, teacher, targets)[kind]
            loss.backward()
            out[f"{kind}.loss"] = loss.detach().reshape(1)
            for key, value in model.named_parameters():
                # All tensors for the default loss; a few show that the others' gradients go the same way back.
                if kind == "forward-kl" or "0.self_attn.q_proj" in key or key == "model.norm.weight":
                    out[f"{kind}.{key}"] = value.grad.clone()
        save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(HERE, f"{name}.safetensors"))


def encoder(name):
    """The embedding loss of documents of an encoder: 1 − cosine, squared error of states, squared error of cosines."""
    torch.manual_seed(hash_of(name))
    model = BertModel.from_pretrained(
        os.path.join(MODELS, name), dtype=torch.float32, attn_implementation="eager", add_pooling_layer=False).eval()
    # No padding tokens, whose embedding PyTorch gives no gradient.
    documents = [torch.randint(1, 64, (n,)) for n in [9, 4, 14]]
    teacher = [torch.randn(len(d), 32) for d in documents]
    states = [model(document[None]).last_hidden_state[0] for document in documents]
    own = torch.nn.functional.normalize(torch.stack([x.mean(0) for x in states]), dim=-1)
    goal = torch.nn.functional.normalize(torch.stack([x.mean(0) for x in teacher]), dim=-1)
    loss = (1 - (own * goal).sum(-1)).mean()
    loss = loss + torch.stack([((x - y) ** 2).mean() for x, y in zip(states, teacher)]).mean()
    pairs = (own @ own.T - goal @ goal.T) ** 2
    loss = loss + (pairs.sum() - pairs.diagonal().sum()) / 6
    loss.backward()
    padded = torch.full((3, 14), -1)
    for row, document in zip(padded, documents):
        row[: len(document)] = document
    out = {"documents": padded.to(torch.int32), "teacher": torch.cat(teacher), "loss": loss.detach().reshape(1)}
    for key, value in model.named_parameters():
        if value.grad is not None:
            out["gradient." + key] = value.grad
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(HERE, f"{name}.safetensors"))


def hash_of(name):
    return sum((i + 1) * b for i, b in enumerate(name.encode()))


main()
encoder("bert-mean")
