#!/usr/bin/env python3
"""Models that `compress` never saw, against `transformers` and llama.cpp.

For each folder that make_models.py made: perplexity by `transformers` in f32 on the chunks of `compress eval`; `convert` to
safetensors, loaded by `transformers`: the same logits; `convert` to GGUF, loaded by llama.cpp: the same perplexity; greedy
text; then `--int8` and `--int4`, artifacts verified and opened in llama.cpp.

Usage: unseen.py --compress PROGRAM --text TEXT FOLDER … [--context 128] [--tokens 4096]
"""
import argparse
import json
import os
import sys
import tempfile

import torch
from gguf import GGUFReader
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging

from peers import Failures, compress, compress_evaluation, llama_cpp_perplexity, table, unzstd

LANGUAGE = {"llama", "mistral", "qwen2", "qwen3"}


def encode(folder, text):
    """The ids of the text without special tokens, and BOS where the tokenizer adds one."""
    if os.path.exists(os.path.join(folder, "tokenizer.json")):
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(folder, "tokenizer.json"))
        with open(text, encoding="utf-8", newline="") as file:
            content = file.read()
        ids = tokenizer.backend_tokenizer.encode(content, add_special_tokens=False).ids
        added = tokenizer.backend_tokenizer.encode("a", add_special_tokens=True).ids
        plain = tokenizer.backend_tokenizer.encode("a", add_special_tokens=False).ids
        return ids, added[0] if len(added) > len(plain) else None
    import sentencepiece

    with open(text, encoding="utf-8", newline="") as file:
        return sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "tokenizer.model")).encode(file.read()), 1


def transformers_perplexity(model, ids, bos, context, tokens):
    ids = ([] if bos is None else [bos]) + ids
    loss, count = 0.0, 0
    for chunk in range(min(len(ids) // context, max(1, tokens // context))):
        row = ids[chunk * context : (chunk + 1) * context]
        if bos is not None:
            row[0] = bos
        with torch.no_grad():
            logits = model(torch.tensor([row])).logits[0].double()
        scores = torch.log_softmax(logits[context // 2 : -1], dim=-1)
        truth = torch.tensor(row[context // 2 + 1 :])
        loss -= scores[torch.arange(len(truth)), truth].sum().item()
        count += len(truth)
    return float(torch.tensor(loss / count).exp()), len(ids)


def language(options, folder, work, failures):
    name = os.path.basename(os.path.normpath(folder))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids, bos = encode(folder, options.text)
    theirs, count = transformers_perplexity(model, ids, bos, options.context, options.tokens)
    ours = compress_evaluation(options.compress, folder, options.text, options.context, options.tokens)
    mine = ours["metrics"]["perplexity"]["value"]
    failures.require(ours["method"]["textTokens"] == count, f"{name}: {ours['method']['textTokens']} tokens, not {count}")
    failures.require(abs(mine / theirs - 1) < 1e-3, f"{name}: perplexity {mine}, transformers {theirs}")
    row = [name, count, f"{mine:.4f}", f"{mine / theirs - 1:+.1e}"]

    back = os.path.join(work, "safetensors")
    compress(options.compress, "convert", folder, "-o", back, "--format", "safetensors", "-q")
    copy = AutoModelForCausalLM.from_pretrained(back, dtype=torch.float32, attn_implementation="eager").eval()
    sample = torch.tensor([ids[:64]])
    with torch.no_grad():
        first, second = model(sample).logits, copy(sample).logits
    difference = ((first - second).norm() / first.norm()).item()
    failures.require(difference < 1e-5, f"{name}: logits after safetensors differ by {difference}")
    row.append(f"{difference:.0e}")

    # Greedy text: the longest agreement of ids, as near ties may part later.
    prompt = ids[:24]
    with torch.no_grad():
        greedy = model.generate(torch.tensor([([] if bos is None else [bos]) + prompt]), max_new_tokens=16, do_sample=False)
    row.append(greedy_agreement(options, folder, prompt, bos, greedy[0].tolist()))

    gguf = os.path.join(work, "model.gguf")
    compress(options.compress, "convert", folder, "-o", gguf, "-q")
    row.append(in_llama_cpp(options, name, gguf, gguf, failures))
    for recipe in ["int8", "int4"]:
        row.append(compressed(options, name, folder, recipe, work, failures))
    return row


def greedy_agreement(options, folder, prompt, bos, greedy):
    if os.path.exists(os.path.join(folder, "tokenizer.json")):
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(folder, "tokenizer.json"))
        decode = lambda row: tokenizer.backend_tokenizer.decode(row, skip_special_tokens=True)
    else:
        import sentencepiece

        decode = sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "tokenizer.model")).decode
    text = decode(prompt)
    output = compress(options.compress, "generate", folder, "-p", text, "-n", 16, "--temperature", 0, "-q", check=False)
    if output.returncode != 0:
        return output.stderr.strip()[:40]
    expected = decode(greedy if bos is None else greedy[1:])
    found = output.stdout.rstrip("\n")
    return "same" if found.strip() == expected.strip() else f"{len(os.path.commonprefix([found, expected]))}/{len(expected)}"


def in_llama_cpp(options, name, plain, ours_of, failures, limit=0.005):
    ours = compress_evaluation(options.compress, ours_of, options.text, options.context, options.tokens)
    try:
        theirs = llama_cpp_perplexity(plain, options.text, options.context, options.tokens)
    except Exception as error:
        failures.require(False, f"{name}: llama.cpp: {error}")
        return "not loaded"
    failures.require(ours["method"]["textTokens"] == theirs["ids"],
                     f"{name}: {ours['method']['textTokens']} tokens, llama.cpp {theirs['ids']}")
    difference = ours["metrics"]["perplexity"]["value"] / theirs["perplexity"] - 1
    failures.require(abs(difference) < limit, f"{name}: perplexity differs from llama.cpp's by {difference:+.3%}")
    return f"{difference:+.3%}"


def compressed(options, name, folder, recipe, work, failures):
    run = os.path.join(work, recipe)
    compress(options.compress, f"--{recipe}", folder, "-o", run, "--no-latency", "--eval", options.text, "--context",
             options.context, "--eval-tokens", options.tokens, "-q")
    stage = os.path.join(run, f"1-{recipe}")
    artifact = next(os.path.join(stage, file) for file in os.listdir(stage) if file.endswith(".zst"))
    compress(options.compress, "verify", artifact, "-q")
    plain = os.path.join(work, recipe + ".gguf")
    unzstd(artifact, plain)
    with open(os.path.join(stage, "report.json")) as file:
        report = json.load(file)
    divergence = report["evaluation"]["metrics"]["divergence"]["mean"]["value"]
    return f"{in_llama_cpp(options, f'{name} {recipe}', plain, artifact, failures)} (KLD {divergence:.4f})"


def data_free(options, folder, work, failures):
    """An architecture that is not run: every tensor is there, names and shapes are kept, and the report says why."""
    name = os.path.basename(os.path.normpath(folder))
    cells = []
    for recipe in ["int8", "int4"]:
        run = os.path.join(work, recipe)
        compress(options.compress, f"--{recipe}", folder, "-o", run, "-q")
        stage = os.path.join(run, f"1-{recipe}")
        artifact = next(os.path.join(stage, file) for file in os.listdir(stage) if file.endswith(".zst"))
        compress(options.compress, "verify", artifact, "-q")
        plain = os.path.join(work, recipe + ".gguf")
        unzstd(artifact, plain)
        reader = GGUFReader(plain)
        cells.append(f"{len(reader.tensors)} tensors, {', '.join(sorted({t.tensor_type.name for t in reader.tensors}))}")
        with open(os.path.join(run, "report.json")) as file:
            notes = json.load(file)["notes"]
        failures.require(any("data-free" in note for note in notes), f"{name}: no note in the report")
    back = os.path.join(work, "safetensors")
    compress(options.compress, "convert", folder, "-o", back, "--format", "safetensors", "-q")
    try:
        first, second = AutoModel.from_pretrained(folder).state_dict(), AutoModel.from_pretrained(back).state_dict()
        same = all(torch.equal(first[key], second[key]) for key in first)
        failures.require(same, f"{name}: tensors differ after safetensors")
    except Exception as error:
        failures.require(False, f"{name}: {error}")
    return [name, "data-free", *cells]


def main():
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--compress", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=4096)
    options = parser.parse_args()
    failures, rows, others = Failures(), [], []
    for folder in options.folders:
        with open(os.path.join(folder, "config.json")) as file:
            kind = json.load(file)["model_type"]
        with tempfile.TemporaryDirectory() as work:
            try:
                if kind in LANGUAGE:
                    rows.append(language(options, folder, work, failures))
                elif kind != "bert":
                    others.append(data_free(options, folder, work, failures))
            except Exception as error:
                failures.require(False, f"{os.path.basename(folder)}: {error}")
    if rows:
        print(table(["model", "tokens", "perplexity", "to transformers", "safetensors logits", "greedy", "GGUF in llama.cpp",
                     "int8 in llama.cpp", "int4 in llama.cpp"], rows))
    if others:
        print(table(["model", "evaluation", "int8", "int4"], others))
    sys.stdout.flush()
    failures.finish()


if __name__ == "__main__":
    main()
