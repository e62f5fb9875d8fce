"""Makes tasks/choice.jsonl and tasks/words.jsonl from evaluation.txt: python3 generate_tasks.py FOLDER (default: ../tasks).

A sentence of the text is cut in two. To choose from: its own second half and three of other sentences. To find: its last
word. Seeded; equal texts give equal files.
"""
import json
import pathlib
import random
import re
import sys

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
