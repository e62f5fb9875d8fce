"""Makes statistics.json: quantiles and correlations by numpy, for values with ties.

Run: python make_statistics.py   (numpy 2.4; deterministic)
"""

import json
import pathlib

import numpy as np


def ranks(values):
    """Average ranks, by counting: rank = (number below) + (number equal + 1) / 2."""
    values = np.asarray(values)
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


generator = np.random.default_rng(20)
x = np.round(generator.normal(size=41), 2)
y = np.round(0.6 * x + generator.normal(size=41), 1)  # rounded: many ties
levels = [0, 0.01, 0.25, 0.5, 0.95, 0.999, 1]
document = {
    "x": x.tolist(),
    "y": y.tolist(),
    "levels": levels,
    "quantiles": np.quantile(x, levels).tolist(),
    "pearson": float(np.corrcoef(x, y)[0, 1]),
    "spearman": float(np.corrcoef(ranks(x), ranks(y))[0, 1]),
}
path = pathlib.Path(__file__).with_name("statistics.json")
path.write_text(json.dumps(document, indent=1) + "\n")
