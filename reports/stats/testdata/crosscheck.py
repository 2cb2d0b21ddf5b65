"""Computes statistics with numpy and scipy and compares them with ours.

Reads from standard input a JSON list of {"name", "in", "out"}: a statistic, its
arguments and what the Go code made of them. Prints one line for each number
that differs and exits with 1 if there are any; exits with 77 when numpy or
scipy is missing.
"""

import itertools
import json
import math
import sys

try:
    import numpy as np
    from scipy import optimize, stats
except ImportError as missing:
    print(missing)
    sys.exit(77)


def t_interval(x, level=0.95):
    x = np.asarray(x)
    lower, upper = stats.t.interval(level, len(x) - 1, loc=x.mean(), scale=stats.sem(x))
    return {"mean": x.mean(), "se": stats.sem(x), "lower": lower, "upper": upper}


def wilson(k, n, level=0.95):
    v = stats.binomtest(k, n).proportion_ci(level, "wilson")
    return {"lower": v.low, "upper": v.high}


def clustered(x, labels, level=0.95):
    # The sandwich estimator of a regression on a constant, written as matrices.
    x, labels = np.asarray(x), np.asarray(labels)
    ones = np.ones((len(x), 1))
    residuals = x - x.mean()
    bread = np.linalg.inv(ones.T @ ones)
    meat = np.zeros((1, 1))
    groups = np.unique(labels)
    for g in groups:
        score = ones[labels == g].T @ residuals[labels == g]
        meat += np.outer(score, score)
    c = len(groups)
    se = math.sqrt((bread @ meat @ bread)[0, 0] * c / (c - 1))
    half = stats.t.ppf(0.5 + level / 2, c - 1) * se
    return {"se": se, "lower": x.mean() - half, "upper": x.mean() + half}


def agresti_min(a_only, b_only, n, level=0.95):
    # Wald's interval of a 2x2 table with half an observation more in each
    # cell; how the concordant items split does not matter.
    b, c, total = a_only + 0.5, b_only + 0.5, n + 2
    delta = (b - c) / total
    half = stats.norm.ppf(0.5 + level / 2) * math.sqrt((b + c) / total - delta**2) / math.sqrt(total)
    return {"lower": max(-1, delta - half), "upper": min(1, delta + half)}


def mcnemar(a_only, b_only):
    n = a_only + b_only
    return {"p": stats.binomtest(a_only, n, 0.5).pvalue if n else 1.0}


def sign_flip(d):
    d = np.asarray([v for v in d if v != 0])
    signs = np.array(list(itertools.product([1, -1], repeat=len(d))))
    sums = np.abs((signs * d).sum(axis=1))
    return {"p": float(np.mean(sums >= abs(d.sum()) - 1e-9))}


def sign_flip_random(d):
    r = stats.permutation_test((np.asarray(d),), np.sum, permutation_type="samples", n_resamples=20_000, random_state=1)
    return {"p": r.pvalue}


def holm(p):
    order = np.argsort(p, kind="stable")
    scaled = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(scaled))
    return {"adjusted": adjusted.tolist()}


def repeats(scores):
    x = np.asarray(scores)
    means, k = x.mean(axis=1), x.shape[1]
    within = x.var(axis=1, ddof=1).mean()
    between = max(0, means.var(ddof=1) - within / k)
    return {"mean": means.mean(), "se": stats.sem(means), "within": within, "between": between,
            "removable": min(1, within / k / means.var(ddof=1))}


def ratio(cost, score):
    # The delta method: gradient of sum(c)/sum(s) and the covariance of the means.
    c, s = np.asarray(cost), np.asarray(score)
    gradient = np.array([1 / s.mean(), -c.mean() / s.mean() ** 2])
    covariance = np.cov(np.vstack([c, s])) / len(c)
    return {"ratio": c.sum() / s.sum(), "se": math.sqrt(gradient @ covariance @ gradient)}


def bradley_terry(points):
    w = np.asarray(points)
    m = len(w)

    def loss(free):
        s = np.append(free, -free.sum())
        return float((w * np.logaddexp(0, s[None, :] - s[:, None])).sum())

    free = optimize.minimize(loss, np.zeros(m - 1), tol=1e-14, options={"gtol": 1e-10}).x
    s = np.append(free, -free.sum())
    return {"ratings": (1000 + 400 / math.log(10) * s).tolist()}


def power(delta, var, target, alpha):
    z = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(target)
    return {"items": math.ceil(z**2 * var / delta**2), "gap": z * math.sqrt(var)}


def bootstrap_mean(x):
    r = stats.bootstrap((np.asarray(x),), np.mean, n_resamples=20_000, method="percentile", random_state=1)
    return {"lower": r.confidence_interval.low, "upper": r.confidence_interval.high}


def bootstrap_ratio(cost, score):
    r = stats.bootstrap((np.asarray(cost), np.asarray(score)), lambda c, s: c.sum() / s.sum(), vectorized=False,
                        paired=True, n_resamples=2_000, method="percentile", random_state=1)
    return {"lower": r.confidence_interval.low, "upper": r.confidence_interval.high}


REFERENCE = {
    "t_interval": t_interval, "wilson": wilson, "clustered": clustered, "agresti_min": agresti_min,
    "mcnemar": mcnemar, "sign_flip": sign_flip, "sign_flip_random": sign_flip_random, "holm": holm,
    "repeats": repeats, "ratio": ratio, "bradley_terry": bradley_terry, "power": power,
    "bootstrap_mean": bootstrap_mean, "bootstrap_ratio": bootstrap_ratio,
    "normal_quantile": lambda p: {"q": stats.norm.ppf(p)},
    "t_quantile": lambda p, df: {"q": stats.t.ppf(p, df)},
    "percentile": lambda x, q: {"value": np.percentile(x, 100 * q)},
    "pass_at_k": lambda n, c, k: {"value": 1 - math.comb(n - c, k) / math.comb(n, k)},
    "pass_hat_k": lambda n, c, k: {"value": math.comb(c, k) / math.comb(n, k)},
    "win_rate": lambda w, t, l: {"rate": np.mean([1] * w + [0.5] * t + [0] * l), "se": stats.sem([1] * w + [0.5] * t + [0] * l)},
    "sum": lambda x: {"sum": math.fsum(x)},
}


def differences(case):
    want = REFERENCE[case["name"]](**case["in"])
    for key, reference in want.items():
        ours = case["out"][key]
        tolerance = case.get("tol", 1e-9)
        for r, o in zip(np.atleast_1d(reference), np.atleast_1d(ours), strict=True):
            if not abs(r - o) <= tolerance * max(1, abs(r)):
                yield f"{case['name']}({json.dumps(case['in'])[:200]}): {key} is {o!r}, reference {r!r}"


if __name__ == "__main__":
    cases = json.load(sys.stdin)
    found = [line for case in cases for line in differences(case)]
    print("\n".join(found) if found else f"{len(cases)} cases agree")
    sys.exit(1 if found else 0)
