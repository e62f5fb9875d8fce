"""Makes the tasks: python3 generate_tasks.py FOLDER (default: ../tasks).

choice.jsonl and words.jsonl from evaluation.txt: a sentence of the text is cut in two. To choose from: its own second half and
three of other sentences. To find: its last word. places.csv and pairs.tsv from documents of seeds of their own: a sentence cut before
its first at, in, near or on, which is the label; two sentences of one story or of two. Seeded; equal texts give equal files.
"""
import csv
import json
import pathlib
import random
import re
import sys

import generate_text

here = pathlib.Path(__file__).resolve().parent.parent
folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "tasks"
text = (here / "evaluation.txt").read_text()
random = random.Random(7)
sentences = []
for paragraph in text.split("\n"):
    parts = re.findall(r"[A-Z][^.!?\"]{40,160}[.!?]", paragraph)
    for before, sentence in zip([""] + parts, parts):
        sentences.append((before, sentence))
random.shuffle(sentences)
choice, words, seen = [], [], set()
ends = [" ".join(s.split()[len(s.split()) // 2:]) for _, s in sentences]
for place, (before, sentence) in enumerate(sentences):
    if sentence in seen:
        continue
    seen.add(sentence)
    parts = sentence.split()
    start = " ".join(parts[:len(parts) // 2])
    prompt = (before + " " if before else "") + start
    own = " " + ends[place]
    if len(choice) < 400:
        others = []
        while len(others) < 3:
            other = " " + random.choice(ends)
            if other != own and other not in others and abs(len(other) - len(own)) < 25:
                others.append(other)
        answer = random.randrange(4)
        choices = others[:answer] + [own] + others[answer:]
        choice.append({"prompt": prompt, "choices": choices, "answer": answer})
    elif len(words) < 400:
        last = re.sub(r"[.!?]$", "", parts[-1])
        # A word that was read before can be known; an invented one cannot.
        if len(last) > 3 and re.search(r"\b" + re.escape(last) + r"\b", before + " " + " ".join(parts[:-1])):
            words.append({"prompt": (before + " " if before else "") + " ".join(parts[:-1]), "completion": " " + last})
    else:
        break
folder.mkdir(exist_ok=True)
for name, items in [("choice", choice), ("words", words)]:
    lines = [json.dumps(item, ensure_ascii=False) + "\n" for item in items]
    (folder / f"{name}.jsonl").write_text("".join(lines))
    print(name, len(items))

# Documents that no text has: seeds behind those of the evaluation text.
seed = 4_000_000_000
places = {word: [] for word in ["at", "in", "near", "on"]}
stories = []
while any(len(found) < 75 for found in places.values()) or len(stories) < 400:
    document = generate_text.Writer(seed, "evaluation").document()
    seed += 1
    for paragraph in document.split("\n"):
        parts = [part.strip() for part in re.findall(r"[^.!?]+[.!?]\"?", paragraph)]
        for before, sentence in zip(parts, parts[1:]):
            cut = re.match(r"(\w+ \w+ [^\"]*?) (at|in|near|on) the ", sentence)
            if cut and len(places[cut[2]]) < 75:
                places[cut[2]].append((f"{before} {cut[1]}", cut[2]))
        if re.match(r"\w+ was an? \w+ who ", paragraph) and len(parts) > 4 and len(stories) < 400:
            stories.append(parts)
rows = [row for found in places.values() for row in found]
random.shuffle(rows)
pairs = []
for place in range(0, 400, 2):
    first, other = stories[place], stories[place + 1]
    pairs.append((first[0], random.choice(first[1:]), "same"))
    pairs.append((other[0], random.choice(first[1:]), "other"))
for name, separator, head, contents in [
        ("places.csv", ",", ["text", "label"], rows),
        ("pairs.tsv", "\t", ["sentence1", "sentence2", "label"], pairs)]:
    with open(folder / name, "w", newline="") as file:
        writer = csv.writer(file, delimiter=separator, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(contents)
    print(name, len(contents))
