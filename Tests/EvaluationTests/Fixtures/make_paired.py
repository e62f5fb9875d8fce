"""Makes paired.json: paired tests by scipy and statsmodels.

Run: python make_paired.py   (numpy 2, scipy 1, statsmodels 0.14; deterministic)
"""

import json
import pathlib

import numpy as np
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

generator = np.random.default_rng(7)


def equal_blocks():
    """Blocks of one size: the paired t test of block means."""
    a = generator.normal(3, 1, size=24)
    b = a + generator.normal(0.05, 0.2, size=24)
    test = stats.ttest_rel(b, a)
    low, high = test.confidence_interval(0.95)
    boot = stats.bootstrap(
        ((b - a),), np.mean, n_resamples=50000, method="percentile", random_state=1)
    return {
        "first": a.tolist(), "second": b.tolist(), "probability": float(test.pvalue),
        "low": float(low), "high": float(high),
        "standardError": float(np.std(b - a, ddof=1) / np.sqrt(24)),
        "bootstrapLow": float(boot.confidence_interval.low), "bootstrapHigh": float(boot.confidence_interval.high),
    }


def unequal_blocks():
    """Blocks of several sizes: the mean with cluster-robust errors of statsmodels, G / (G - 1) being its correction."""
    sizes = generator.integers(3, 30, size=17)
    groups = np.repeat(np.arange(17), sizes)
    values = generator.normal(0, 1, size=17)[groups] + generator.normal(0.3, 1, size=len(groups))
    fit = sm.OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": True, "df_correction": True},
        use_t=True)
    low, high = fit.conf_int()[0]
    return {
        "sums": [float(values[groups == g].sum()) for g in range(17)], "counts": sizes.tolist(),
        "mean": float(fit.params[0]), "standardError": float(fit.bse[0]),
        "probability": float(fit.pvalues[0]), "low": float(low), "high": float(high),
    }


tables = [[0, 0], [1, 0], [5, 5], [3, 12], [20, 41], [150, 90], [700, 640], [0, 30]]
probabilities = [0.04, 0.001, 0.2, 0.013, 0.013, 0.9, 0.0004, 0.049]
document = {
    "equal": equal_blocks(),
    "unequal": unequal_blocks(),
    "mcnemar": [
        {"lost": b, "gained": c, "probability": float(mcnemar([[9, b], [c, 9]], exact=True).pvalue)}
        for b, c in tables
    ],
    "probabilities": probabilities,
    "holm": multipletests(probabilities, method="holm")[1].tolist(),
}
path = pathlib.Path(__file__).with_name("paired.json")
path.write_text(json.dumps(document, indent=1) + "\n")
