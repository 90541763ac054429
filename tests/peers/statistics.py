"""Writes tests/fixtures/statistics/peers.json: what NumPy and SciPy say of a few fixed samples.

Run from the repository's root, with any NumPy >= 2 and SciPy >= 1.11: python3 tests/peers/statistics.py
The tests read the file; nobody needs Python to run them. Samples are whole nanoseconds.
"""

import json
import pathlib

import numpy as np
import scipy
from scipy import stats

FRACTIONS = [0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0]


def sample(rng, law, size):
    if law == "lognormal":
        return np.round(1e8 * np.exp(rng.standard_normal(size))).astype(np.int64)
    if law == "ties":
        return rng.integers(1, 20, size) * 1_000_000
    return np.round(rng.exponential(3e7, size)).astype(np.int64) + 17


def main():
    rng = np.random.default_rng(20260801)
    cases = []
    for law, size_a, size_b in [
        ("lognormal", 100, 100),
        ("lognormal", 257, 100),
        ("ties", 80, 120),
        ("exponential", 1000, 999),
        ("lognormal", 2, 3),
    ]:
        a, b = sample(rng, law, size_a), sample(rng, law, size_b)
        cases.append(
            {
                "law": law,
                "a": a.tolist(),
                "b": b.tolist(),
                "quantiles_a": np.quantile(a, FRACTIONS).tolist(),
                "ks": float(stats.ks_2samp(a, b).statistic),
                "wasserstein": float(stats.wasserstein_distance(a, b)),
            }
        )
    resamples = []
    for size, tokens in [(60, 1), (40, 5)]:
        values = [sample(rng, "lognormal", int(rng.integers(1, tokens + 1))) for _ in range(size)]
        draws = [rng.integers(0, size, size).tolist() for _ in range(5)]
        pooled = [np.concatenate([values[index] for index in draw]) for draw in draws]
        resamples.append(
            {
                "requests": [value.tolist() for value in values],
                "indices": draws,
                "quantiles": [np.quantile(pool, FRACTIONS).tolist() for pool in pooled],
                "means": [float(pool.mean()) for pool in pooled],
            }
        )
    pairs = rng.integers(0, 30, (200, 2))
    document = {
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "fractions": FRACTIONS,
        "cases": cases,
        "resamples": resamples,
        "kendall": {"a": pairs[:, 0].tolist(), "b": pairs[:, 1].tolist(), "tau": float(stats.kendalltau(*pairs.T)[0])},
        "normal": [[p, float(stats.norm.ppf(p))] for p in [1e-9, 1e-4, 0.025, 0.3, 0.5, 0.8, 0.975, 0.999999]],
        "student": [
            [p, f, float(stats.t.ppf(p, f))] for p in [0.9, 0.975, 0.995] for f in [1, 2, 3, 4, 5.5, 8, 20, 99, 1000]
        ],
    }
    path = pathlib.Path("tests/fixtures/statistics/peers.json")
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
