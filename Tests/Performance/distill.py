"""Distillation as PyTorch users write it, to compare with `compress --distill` in the same time from the same start.

    compress unpack START.zst …; python Tests/Performance/distill.py TEACHER STUDENT TEXT OUT --minutes 4 [--bf16]

TEACHER and STUDENT are Hugging Face folders (the student cut by `compress --prune-structure`), TEXT a file. Forward KL, AdamW with
the defaults of `compress`, batches of 8 × 512 tokens, cosine by the clock. Writes the last student into OUT.
"""

import argparse
import math
import shutil
import time

import sentencepiece
import torch
from transformers import AutoModelForCausalLM


def main():
    parser = argparse.ArgumentParser()
    for name in ["teacher", "student", "text", "out"]:
        parser.add_argument(name)
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    teacher = AutoModelForCausalLM.from_pretrained(options.teacher, dtype=torch.float32).eval()
    student = AutoModelForCausalLM.from_pretrained(options.student, dtype=torch.float32)
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=options.teacher + "/tokenizer.model")
    ids = tokenizer.encode(open(options.text, encoding="utf-8").read())
    bos = tokenizer.bos_id()
    rows = torch.tensor([[bos] + ids[i:i + 511] for i in range(0, len(ids) - 511, 511)])
    matrices = [p for p in student.parameters() if p.dim() > 1]
    others = [p for p in student.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=options.rate,
        betas=(0.9, 0.95), fused=True)
    begin, step, order = time.perf_counter(), 0, []
    while (done := (time.perf_counter() - begin) / (60 * options.minutes)) < 1:
        if len(order) < 8:
            order = torch.randperm(len(rows)).tolist()
        batch, order = rows[order[:8]], order[8:]
        rate = options.rate * min(1, (step + 1) / 20) * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            with torch.no_grad():
                goal = teacher(batch).logits
            logits = student(batch).logits
        loss = torch.nn.functional.kl_div(
            logits.float().log_softmax(-1).flatten(0, 1), goal.float().log_softmax(-1).flatten(0, 1),
            log_target=True, reduction="batchmean")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        step += 1
    print(f"{step} steps, loss {loss.item():.4f}")
    student.to(torch.bfloat16).save_pretrained(options.out)
    for name in ["tokenizer.model", "tokenizer_config.json"]:
        shutil.copy(f"{options.teacher}/{name}", options.out)


main()
