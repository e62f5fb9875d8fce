#!/usr/bin/env python3
"""Quantizes a Hugging Face folder to 4 bits in groups of 128 with a peer in PyTorch, on the CPU. Run by a Python of its own,
which has torch-requirements.txt.

Usage: torch_peer.py gptq|awq|autoround FOLDER TEXT OUTPUT [--context 256] [--samples 400] [--iterations 200]
The text becomes one row of tokens, cut into samples of `context` without overlap, the first `samples` of them used.
"""
import argparse
import os
import shutil

import sentencepiece
import torch
from transformers import AutoModelForCausalLM


def samples(folder, text, context, count):
    """Token rows by SentencePiece itself: no question of which flavour a wrapper takes it for."""
    with open(text, encoding="utf-8") as file:
        content = file.read()
    processor = sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "tokenizer.model"))
    ids = processor.encode(content[: count * context * 12])
    rows = [ids[start : start + context] for start in range(0, len(ids) - context + 1, context)][:count]
    if len(rows) < count:
        print(f"the text has {len(rows)} samples only")
    return torch.tensor(rows)


def by_llm_compressor(method, model, rows, output):
    from llmcompressor import oneshot
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier

    if method == "gptq":
        recipe = [GPTQModifier(targets="Linear", scheme="W4A16", ignore=["lm_head"])]  # its defaults: static act-order, 1 % ridge
    else:
        recipe = [AWQModifier(), QuantizationModifier(targets="Linear", scheme="W4A16_ASYM", ignore=["lm_head"])]
    torch.Tensor.pin_memory = lambda self, *_: self  # AWQ asks for it, and there is no accelerator to pin memory for
    batches = torch.utils.data.DataLoader(Rows(rows), batch_size=8, shuffle=False)
    # It asks for a tokenizer where it gets data, even where these are tokens already, and does not use it.
    oneshot(model=model, dataset=batches, processor=object(), recipe=recipe, num_calibration_samples=len(rows),
            max_seq_length=rows.shape[1])
    model.save_pretrained(output, save_compressed=True)


class Rows(torch.utils.data.Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return {"input_ids": self.rows[index], "attention_mask": torch.ones_like(self.rows[index])}


def by_auto_round(model, rows, output, iterations):
    from auto_round import AutoRound
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    # It insists on a tokenizer, and does not use it where it gets tokens.
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>")))
    batch = [{"input_ids": row[None], "attention_mask": torch.ones_like(row)[None]} for row in rows]
    rounder = AutoRound(model, tokenizer=tokenizer, bits=4, group_size=128, sym=True, iters=iterations, seqlen=rows.shape[1],
                        nsamples=len(rows), batch_size=8, dataset=batch, device_map="cpu", enable_torch_compile=False)
    rounder.quantize_and_save(output_dir=output, format="auto_gptq")
    for folder in [os.path.join(output, name) for name in os.listdir(output)]:  # it makes a folder of its own inside
        if os.path.isdir(folder):
            for name in os.listdir(folder):
                os.replace(os.path.join(folder, name), os.path.join(output, name))
            os.rmdir(folder)


def narrow(output):
    """Stores F32 tensors as BF16 where no value changes: the peers compute in F32, and leave what they don't quantize so."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = os.path.join(output, "model.safetensors")
    with safe_open(path, "pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    for name, values in tensors.items():
        if values.dtype == torch.float32 and torch.equal(values.bfloat16().float(), values):
            tensors[name] = values.bfloat16()
    save_file(tensors, path, metadata=metadata)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("method", choices=["gptq", "awq", "autoround"])
    parser.add_argument("folder")
    parser.add_argument("text")
    parser.add_argument("output")
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--iterations", type=int, default=200)
    options = parser.parse_args()
    torch.manual_seed(0)
    rows = samples(options.folder, options.text, options.context, options.samples)
    model = AutoModelForCausalLM.from_pretrained(options.folder, dtype=torch.float32)
    if options.method == "autoround":
        by_auto_round(model, rows, options.output, options.iterations)
    else:
        by_llm_compressor(options.method, model, rows, options.output)
    narrow(options.output)
    if not os.path.exists(os.path.join(options.output, "tokenizer.model")):
        shutil.copy(os.path.join(options.folder, "tokenizer.model"), options.output)


if __name__ == "__main__":
    main()
