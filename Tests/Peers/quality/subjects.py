"""The models that the bars are measured on, and the three texts that each needs.

calibration  what our program and every peer calibrate on
development  what our program may look at while it searches (its `--eval`): no figure is taken on it
test         what all figures are taken on; nobody sees it before
"""
import csv
import os
from dataclasses import dataclass, field


@dataclass
class Subject:
    name: str
    source: str  # what `compress` gets
    calibration: str
    development: str
    test: str
    encoder: bool = False
    context: int = 256
    sides: list = field(default_factory=list)  # configuration and tokenizer files that a GGUF file holds inside
    base: str = ""  # the F32 GGUF file that llama.cpp gets and that everything is compared with
    parameters: int = 0
    options: list = field(default_factory=list)  # what our program needs to be told of this model and its texts


def available(data, root, work):
    """The subjects whose files exist, and a line for each that is missing. Texts are cut into `work`."""
    models, text = os.path.join(data or "", "models"), os.path.join(data or "", "text")
    reference = os.path.join(root, "Calibration", "reference")
    makers = {
        "reference": lambda: language(
            work, "reference", os.path.join(reference, "model.bin"), os.path.join(root, "Calibration", "calibration.txt"),
            halves(os.path.join(root, "Calibration", "evaluation.txt"), work, "reference"), reference),
        "books-7m": lambda: language(
            work, "books-7m", os.path.join(models, "books-7m"), os.path.join(text, "books-calibration.txt"),
            halves(os.path.join(text, "books-valid.txt"), work, "books"), os.path.join(models, "books-7m")),
        "stories260K": lambda: stories(work, os.path.join(models, "stories260K", "derived-hf"),
                                       os.path.join(text, "tinystories-val.txt")),
        "minilm-l6-v2": lambda: sentences(work, os.path.join(models, "minilm-l6-v2"), text),
    }
    found, missing = [], []
    for name, make in makers.items():
        try:
            found.append(make())
        except FileNotFoundError as error:
            missing.append(f"{name}: {error.filename} is not there")
    return found, missing


def language(work, name, source, calibration, texts, folder):
    for path in [source, calibration]:
        os.stat(path)
    sides = [os.path.join(folder, file) for file in ["config.json", "tokenizer.model", "tokenizer_config.json"]]
    sides = [path for path in sides if os.path.exists(path)]
    return Subject(name, source, calibration, texts[1], texts[0], sides=sides)


def stories(work, source, text):
    os.stat(source)
    first, calibration = halves(text, work, "stories")
    subject = language(work, "stories260K", source, calibration, halves(first, work, "stories-first"), source)
    subject.options = ["--allow-overlap"]  # generated stories: 1.7 % of the runs of 13 words are in both halves
    return subject


def sentences(work, source, text):
    """STS-B: the last thousand training pairs are the development text, the sentences of the others, which are in none of these
    pairs, the calibration text, one a line; the development pairs are the test."""
    train, test = os.path.join(text, "stsb-en-train.csv"), os.path.join(text, "stsb-en-dev.csv")
    for path in [source, test]:
        os.stat(path)
    with open(train, encoding="utf-8", newline="") as file:
        pairs = [[*(" ".join(sentence.split()) for sentence in row[:2]), row[2]] for row in csv.reader(file)]
    calibration, development = os.path.join(work, "stsb-train.txt"), os.path.join(work, "stsb-train.csv")
    with open(development, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(pairs[-1000:])
    known = {sentence for pair in pairs[-1000:] for sentence in pair[:2]}
    with open(calibration, "w", encoding="utf-8") as file:
        file.writelines(sentence + "\n" for pair in pairs[:-1000] for sentence in pair[:2] if sentence not in known)
    sides = [os.path.join(source, file) for file in ["config.json", "vocab.txt"]]
    return Subject("minilm-l6-v2", source, calibration, development, test, encoder=True, sides=sides)


def halves(path, work, name):
    """Two files: a text cut in the middle, at the end of a line."""
    with open(path, "rb") as file:
        content = file.read()
    middle = content.find(b"\n", len(content) // 2) + 1
    results = []
    for part, half in [("1", content[:middle]), ("2", content[middle:])]:
        results.append(os.path.join(work, f"{name}-{part}.txt"))
        with open(results[-1], "wb") as file:
            file.write(half)
    return results
