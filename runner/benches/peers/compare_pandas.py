"""The peer of `fidelio compare`: the same reduction in pandas and SciPy, as an engineer would write it.

    python3 compare_pandas.py REAL_RUN SIM_RUN      (needs pandas and scipy)

Reads both runs' request and token tables, and prints P50, P90, P95, P99 of TTFT, ITL, TPOT, E2E and
normalised E2E, with Kolmogorov-Smirnov D and Wasserstein-1. It checks nothing and writes no file.
"""

import sys

import pandas as pd
from scipy.stats import ks_2samp, wasserstein_distance

LEVELS = [0.50, 0.90, 0.95, 0.99]


def metrics(run):
    requests = pd.read_csv(f"{run}/request_metrics.csv")
    tokens = pd.read_csv(f"{run}/token_metrics.csv").sort_values(["request_id", "token_index"])
    gaps = tokens.groupby("request_id", sort=False)["token_time_ns"].diff().dropna()
    ttft = requests["first_token_time_ns"] - requests["arrival_time_ns"]
    e2e = requests["completion_time_ns"] - requests["arrival_time_ns"]
    count = requests["num_decode_tokens_actual"]
    tpot = (requests["completion_time_ns"] - requests["first_token_time_ns"]) / (count - 1)
    return {"ttft": ttft, "itl": gaps, "tpot": tpot, "e2e": e2e, "normalised_e2e": e2e / count}


def main():
    real, sim = (metrics(run) for run in sys.argv[1:3])
    for name in real:
        a, b = real[name], sim[name]
        print(name, a.quantile(LEVELS).tolist(), b.quantile(LEVELS).tolist(),
              ks_2samp(a, b, method="asymp").statistic, wasserstein_distance(a, b))


if __name__ == "__main__":
    main()
