"""Makes classification.json: accuracy, precision, recall and F1 by scikit-learn.

Run: python make_classification.py   (numpy 2, scikit-learn 1.9; deterministic)
"""

import json
import pathlib

import numpy as np
from sklearn import metrics

generator = np.random.default_rng(11)
cases = []
for classes, rows, right in [(2, 60, 0.8), (2, 9, 0.3), (3, 200, 0.6), (7, 90, 0.4), (4, 5, 0.5)]:
    truth = generator.integers(0, classes, size=rows)
    guess = np.where(generator.random(rows) < right, truth, generator.integers(0, classes, size=rows))
    labels = list(range(classes))
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        truth, guess, labels=labels, zero_division=0)
    cases.append({
        "classes": classes, "truth": truth.tolist(), "predicted": guess.tolist(),
        "confusion": metrics.confusion_matrix(truth, guess, labels=labels).tolist(),
        "accuracy": float(metrics.accuracy_score(truth, guess)),
        "precision": precision.tolist(), "recall": recall.tolist(), "f1": f1.tolist(),
        "macroF1": float(metrics.f1_score(truth, guess, labels=labels, average="macro", zero_division=0)),
        "binaryF1": float(metrics.f1_score(truth, guess, zero_division=0)) if classes == 2 else None,
    })
place = pathlib.Path(__file__).resolve().parent / "classification.json"
place.write_text(json.dumps({"cases": cases}, indent=1) + "\n")
