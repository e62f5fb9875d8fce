#!/usr/bin/env python3
"""Checks the shipped files against manifest.json, and makes the two texts and the tasks again to compare them byte for byte.

Usage: check_texts.py [--training]     (--training also makes the 40 MB training text, about a minute, and checks its hash)
Needs only the standard library. Exits with 1 when anything differs.
"""
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import generate_text

ROOT = Path(__file__).resolve().parent.parent


def generated(entry):
    """The text of a manifest entry, and the seeds that it took."""
    kind, size = entry["generator"]["kind"], entry["generator"]["bytes"]
    syllables = "evaluation" if kind == "evaluation" else "training"
    seed, made, digest = generate_text.BASE[kind], 0, hashlib.sha256()
    while made < size:
        text = (generate_text.Writer(seed, syllables).document() + "\n\n").encode()
        digest.update(text)
        made, seed = made + len(text), seed + 1
    return {"bytes": made, "sha256": digest.hexdigest(), "seeds": [generate_text.BASE[kind], seed - 1]}


def main():
    manifest = json.loads((ROOT / "manifest.json").read_text(encoding="utf-8"))
    failures = []
    for name, entry in sorted(manifest["files"].items()):
        contents = (ROOT / name).read_bytes()
        if len(contents) != entry["bytes"] or hashlib.sha256(contents).hexdigest() != entry["sha256"]:
            failures.append(f"{name} is not the file of the manifest")
    texts = {name: entry for name, entry in manifest["files"].items() if "generator" in entry}
    if "--training" in sys.argv[1:]:
        texts["the training text"] = manifest["training_text"]
    spans = []
    for name, entry in texts.items():
        again = generated(entry)
        for key, value in again.items():
            stated = entry["generator"][key] if key == "seeds" else entry[key]
            if stated != value:
                failures.append(f"{name}: {key} is {stated} in the manifest, making it again gives {value}")
        print(f"{name}: {again['bytes']} bytes from seeds {again['seeds'][0]} to {again['seeds'][1]}")
    for entry in [manifest["training_text"], *(e for e in manifest["files"].values() if "generator" in e)]:
        spans.append(entry["generator"]["seeds"])
    spans.sort()
    if any(left[1] >= right[0] for left, right in zip(spans, spans[1:])):
        failures.append(f"seed ranges overlap: {spans}")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(ROOT / "scripts" / "generate_tasks.py"), folder], check=True)
        for made in sorted(Path(folder).iterdir()):
            if made.read_bytes() != (ROOT / "tasks" / made.name).read_bytes():
                failures.append(f"tasks/{made.name} is not what generate_tasks.py makes of the evaluation text")
            print(f"tasks/{made.name}: {made.stat().st_size} bytes")
    for failure in failures:
        print("FAILED:", failure, file=sys.stderr)
    print("all as in the manifest" if not failures else f"{len(failures)} differences")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
