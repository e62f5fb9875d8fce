"""Makes perplexity.json: the losses of stories260K by transformers in 32-bit floats, under llama.cpp's chunk rule.

Run: python make_perplexity.py DATA   (DATA holds models/stories260K and text/tinystories-val.txt)
"""

import json
import pathlib
import sys

import sentencepiece
import torch
import transformers

data = pathlib.Path(sys.argv[1])
context, count = 128, 6
torch.set_num_threads(1)
tokenizer = sentencepiece.SentencePieceProcessor(str(data / "models/stories260K/tok512.model"))
text = (data / "text/tinystories-val.txt").read_text()[:20000]
tokens = [tokenizer.bos_id()] + tokenizer.encode(text)
model = transformers.AutoModelForCausalLM.from_pretrained(
    data / "models/stories260K/derived-hf", dtype=torch.float32
).eval()
chunks, losses = [], []
for index in range(count):
    chunk = tokens[index * context : (index + 1) * context]
    chunk[0] = tokenizer.bos_id()
    with torch.no_grad():
        logits = model(torch.tensor([chunk])).logits[0].double()
    first = context // 2
    loss = torch.nn.functional.cross_entropy(
        logits[first : context - 1], torch.tensor(chunk[first + 1 :]), reduction="sum"
    )
    chunks.append(chunk)
    losses.append(loss.item())
scored = count * (context - 1 - context // 2)
document = {
    "context": context,
    "chunks": chunks,
    "losses": losses,
    "perplexity": float(torch.tensor(sum(losses) / scored, dtype=torch.float64).exp()),
}
path = pathlib.Path(__file__).with_name("perplexity.json")
path.write_text(json.dumps(document) + "\n")
print(document["perplexity"])
