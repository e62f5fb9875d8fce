"""The speed of `compress bench --training` in PyTorch: the same shapes, loss and optimizer.

    python Tests/Performance/training.py [--threads N] [--bf16] [--steps N]

Needs torch and transformers. Prints seconds a step (fastest and median), tokens a second and peak memory.
"""

import argparse
import resource
import statistics
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def model(layers, width, heads, key_heads, inner):
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=4096, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=key_heads, max_position_embeddings=256,
        tie_word_embeddings=True, use_cache=False))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    student, teacher = model(6, 384, 6, 3, 1024), model(12, 512, 8, 4, 1408).eval()
    matrices = [p for p in student.parameters() if p.dim() > 1]
    others = [p for p in student.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=1e-4,
        betas=(0.9, 0.95), fused=True)
    if options.compile:
        student.compile()
        teacher.compile()
    seconds = []
    for step in range(options.steps + 1):
        batch = torch.randint(0, 4096, (8, 256))
        begin = time.perf_counter()
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
        if step > 0:
            seconds.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads{', bf16' if options.bf16 else ''}: "
          f"{min(seconds):.3f} s a step (median {statistics.median(seconds):.3f}), "
          f"{2048 / min(seconds):.0f} tok/s, peak {peak:.0f} MiB")


main()
