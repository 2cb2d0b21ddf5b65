"""What compare says of a run, computed again with numpy and scipy alone.

Usage: compare_check.py RUN. Reads scores/*.parquet and results/*.parquet and
prints JSON: for each model the mean, Wilson's interval and the cost of a right
answer, for each model against the first the difference, its Agresti-Min
interval, McNemar's exact p, the Holm-adjusted one, and the smallest gap that the
exact test finds four times out of five.
"""
import glob
import json
import sys

import numpy as np
import pyarrow.parquet as pq
from scipy import stats

run = sys.argv[1]
z = stats.norm.ppf(0.975)

scores = pq.read_table(run + "/scores/number.parquet").to_pandas()
results = pq.ParquetDataset(sorted(glob.glob(run + "/results/*.parquet"))).read(["row", "model", "cost_nano_usd"]).to_pandas()
order = list(dict.fromkeys(scores["model"]))
wide = scores.pivot(index="row", columns="model", values="value")
cost = results.pivot(index="row", columns="model", values="cost_nano_usd")

models = []
for name in order:
    s = wide[name].to_numpy()
    c = cost[name].to_numpy() / 1e9
    n, k = len(s), int(s.sum())
    low, high = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    ratio = c.sum() / s.sum()
    ratio_se = np.sqrt(n / (n - 1) * ((c - ratio * s) ** 2).sum()) / s.sum()
    models.append({"label": name, "right": k, "n": n, "mean": s.mean(), "se": s.std(ddof=1) / np.sqrt(n), "lower": low, "upper": high,
                   "per_correct": ratio, "per_correct_se": ratio_se, "cost_nano_usd": int(cost[name].sum())})


def power(n, share, gap):
    """Of McNemar's exact test at 5 %, where a share of n items differs."""
    share = max(share, gap)
    k = np.arange(1, n + 1)
    most = stats.binom.ppf(0.025, k, 0.5)
    most = np.where(2 * stats.binom.cdf(most, k, 0.5) <= 0.05, most, most - 1)
    q = (1 - gap / share) / 2
    found = np.where(most >= 0, stats.binom.cdf(most, k, q) + stats.binom.sf(k - most - 1, k, q), 0)
    return (stats.binom.pmf(k, n, share) * found).sum()


def smallest_gap(n, share):
    low, high = 0.0, 1.0
    while high - low > 1e-6:
        mid = (low + high) / 2
        low, high = (low, mid) if power(n, share, mid) >= 0.8 else (mid, high)
    return high


deltas = []
for name in order[1:]:
    a, b = wide[name].to_numpy(), wide[order[0]].to_numpy()
    d = a - b
    n, win, loss = len(d), int((d > 0).sum()), int((d < 0).sum())
    p = stats.binomtest(min(win, loss), win + loss, 0.5).pvalue if win + loss else 1.0
    total = n + 2
    centre = (win - loss) / total
    half = z * np.sqrt((win + loss + 1) - (win - loss) ** 2 / total) / total
    deltas.append({"label": name, "delta": d.mean(), "se": d.std(ddof=1) / np.sqrt(n), "p": p, "win": win, "loss": loss, "tie": n - win - loss,
                   "lower": centre - half, "upper": centre + half, "detectable": smallest_gap(n, (win + loss) / n)})

adjusted = 0.0
for rank, i in enumerate(sorted(range(len(deltas)), key=lambda i: deltas[i]["p"])):
    adjusted = max(adjusted, min(1.0, (len(deltas) - rank) * deltas[i]["p"]))
    deltas[i]["adjusted"] = adjusted

json.dump({"models": models, "deltas": deltas}, sys.stdout)
