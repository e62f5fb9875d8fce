#!/usr/bin/env python3
"""An encoder's artifacts in llama.cpp: sentence embeddings there against `transformers`' and against ours by their effect.

Usage: embeddings.py --compress PROGRAM --pairs PAIRS.csv MODEL [--sentences 200]
PAIRS.csv has two sentences and a score a row (STS-B). For the baseline, int8 and int4 artifact: cosine of llama.cpp's embedding
to `transformers`' f32 one (mean over sentences, and the smallest), and Spearman of llama.cpp's cosines next to `compress eval`'s.
"""
import argparse
import csv
import json
import os
import sys
import tempfile

import numpy as np
import torch
from llama_cpp import LLAMA_POOLING_TYPE_CLS, LLAMA_POOLING_TYPE_MEAN, Llama
from transformers import AutoModel, AutoTokenizer

from peers import Failures, compress, silence, table, unzstd
from perplexity import artifacts


def pooling(folder):
    path = os.path.join(folder, "1_Pooling", "config.json")
    if os.path.exists(path):
        with open(path) as file:
            return "cls" if json.load(file).get("pooling_mode_cls_token") else "mean"
    return "mean"


def by_transformers(folder, sentences):
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    rows = []
    for sentence in sentences:
        batch = tokenizer(sentence, return_tensors="pt", truncation=True, max_length=model.config.max_position_embeddings)
        with torch.no_grad():
            hidden = model(**batch).last_hidden_state[0]
        rows.append((hidden[0] if pooling(folder) == "cls" else hidden.mean(dim=0)).numpy())
    return unit(np.stack(rows))


def by_llama_cpp(gguf, sentences, kind):
    mode = LLAMA_POOLING_TYPE_CLS if kind == "cls" else LLAMA_POOLING_TYPE_MEAN
    with silence():
        llama = Llama(gguf, embedding=True, pooling_type=mode, n_ctx=512, n_batch=512, n_ubatch=512, n_threads=2, verbose=False)
        rows = [llama.embed(sentence) for sentence in sentences]
        llama.close()
    return unit(np.asarray(rows, dtype=np.float64))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def ranks(values):
    order = np.argsort(values, kind="stable")
    result = np.empty(len(values))
    result[order] = np.arange(len(values))
    for value in np.unique(values):
        tied = values == value
        result[tied] = result[tied].mean()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--compress", required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--sentences", type=int, default=200)
    options = parser.parse_args()
    with open(options.pairs, encoding="utf-8", newline="") as file:
        pairs = []
        for row in csv.reader(file):
            try:
                pairs.append((row[0], row[1], float(row[2])))
            except ValueError:
                continue  # the head line
    pairs = pairs[: max(3, options.sentences // 2)]
    sentences = [sentence for pair in pairs for sentence in pair[:2]]
    reference, failures, rows = by_transformers(options.model, sentences), Failures(), []
    with tempfile.TemporaryDirectory() as folder:
        subset = os.path.join(folder, "pairs.csv")
        with open(subset, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(pairs)
        for stage, artifact in artifacts(options.compress, options.model, folder):
            plain = os.path.join(folder, stage + ".gguf")
            unzstd(artifact, plain)
            theirs = by_llama_cpp(plain, sentences, pooling(options.model))
            cosines = (theirs * reference).sum(axis=1)
            spearman = np.corrcoef(ranks((theirs[0::2] * theirs[1::2]).sum(axis=1)),
                                   ranks(np.array([pair[2] for pair in pairs])))[0, 1]
            ours = json.loads(compress(options.compress, "eval", artifact, "--baseline", options.model, "--eval", subset,
                                       "--json", "-q"))["evaluation"]["metrics"]
            mine, own = ours["correlation"]["spearman"]["value"], ours["similarity"]
            failures.require(abs(mine - spearman) < 0.01, f"{stage}: Spearman {mine} here, {spearman} in llama.cpp")
            if stage == "baseline":
                failures.require(cosines.min() > 0.9999, f"baseline: cosine {cosines.min()} to transformers")
            rows.append([stage, f"{own['mean']['value']:.5f}", f"{cosines.mean():.5f}", f"{cosines.min():.5f}", f"{mine:.4f}",
                         f"{spearman:.4f}"])
    print(table(["artifact", "cosine here", "in llama.cpp", "smallest", "Spearman here", "in llama.cpp"], rows))
    sys.stdout.flush()
    failures.finish()


if __name__ == "__main__":
    main()
