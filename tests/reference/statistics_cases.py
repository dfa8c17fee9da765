#!/usr/bin/env python3
"""Tests, intervals and effect sizes by SciPy and statsmodels: tests/data/statistics_cases.json.

What those do not have (clusters; sign flips drawn by our generator) is computed here with NumPy. With --write the file is
written anew; without, it is made anew and compared.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from fixture_file import keep
from numpy.typing import NDArray
from scipy import special, stats
from statsmodels.stats.contingency_tables import mcnemar  # type: ignore[import-untyped]
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]
from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]
from statsmodels.stats.weightstats import ttost_paired  # type: ignore[import-untyped]

FILE = Path(__file__).resolve().parents[1] / "data" / "statistics_cases.json"
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Case = dict[str, Any]
bootstrap: Any = stats.bootstrap  # whose types say less than it can
wilcoxon: Any = stats.wilcoxon
ROUNDING = 1e-12  # as in bootstrap.cpp and permutation.cpp


def samples() -> dict[str, Floats]:
    """Differences as an evaluation gives them, and hard ones."""
    draw = np.random.default_rng(20260602)
    return {
        "one": np.array([0.7]),
        "two": np.array([0.4, -0.1]),
        "three": np.array([1.0, 2.0, 4.0]),
        "normal 9": draw.normal(0.3, 1.0, 9),
        "normal 14": draw.normal(0.4, 0.7, 14),
        "normal 20": draw.normal(-0.2, 1.0, 20),
        "normal 45": draw.normal(0.3, 1.0, 45),
        "normal 120": draw.normal(0.2, 1.0, 120),
        "null 33": draw.normal(0.0, 1.0, 33),
        "large effect": draw.normal(3.0, 0.5, 12),
        "skewed": draw.exponential(1.0, 18) - 0.6,
        "heavy tails": draw.standard_cauchy(17),
        "tiny scale": draw.normal(1e-9, 1e-8, 11),
        "large scale": draw.normal(3e7, 1e8, 11),
        "all positive": draw.uniform(0.1, 1.0, 10),
        "symmetric": np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0]),
        "halves with ties": np.round(draw.normal(0.3, 1.0, 13) * 2) / 2,
        "thirds": draw.integers(-3, 4, 12) / 3,
        "wins and losses": draw.choice([-1.0, 1.0], 12),
        "accuracies": draw.choice([-1.0, 0.0, 0.0, 1.0, 1.0], 12),
        "accuracies 40": draw.choice([-1.0, 0.0, 0.0, 1.0], 40),
        "thirds 60": draw.integers(-2, 4, 60) / 3,
        "mostly zero": np.array([0.0, 0.0, 0.0, 0.0, 0.5, 0.0, -0.25, 0.0, 0.0, 1.0]),
        "decimals that cancel": np.array([0.1, 0.2, -0.3, 0.4, -0.4, 0.7, -0.1, -0.6]),
    }


def words(seed: int, count: int) -> NDArray[np.uint64]:
    """The first words of std::mt19937(seed)."""
    generator = np.random.MT19937()
    generator._legacy_seeding(seed)  # seeded by one number, as in C++
    return np.asarray(generator.random_raw(count), dtype=np.uint64)


def drawn_indices(seed: int, resamples: int, n: int) -> Integers:
    return ((words(seed, resamples * n) * np.uint64(n)) >> np.uint64(32)).astype(np.int64).reshape(resamples, n)


def drawn_signs(seed: int, draws: int, n: int) -> Integers:
    bits = (words(seed, -(-draws * n // 32))[:, None] >> np.arange(32, dtype=np.uint64)) & np.uint64(1)
    return 1 - 2 * bits.ravel()[: draws * n].astype(np.int64).reshape(draws, n)


def by_cluster(d: Floats, clusters: list[int]) -> tuple[Floats, Floats]:
    """Sums and counts of the clusters in the order of first appearance."""
    names = list(dict.fromkeys(clusters))
    sums = np.array([sum(x for x, c in zip(d, clusters, strict=True) if c == name) for name in names])
    return sums, np.array([float(clusters.count(name)) for name in names])


def clustered_interval(d: Floats, clusters: list[int], indices: Integers, confidence: float) -> Case:
    """Percentile and BCa intervals of the mean of d, whole clusters drawn: our reference for what SciPy does not have."""
    sums, counts = by_cluster(d, clusters)
    mean = sums.sum() / counts.sum()
    means = sums[indices].sum(axis=1) / counts[indices].sum(axis=1)
    tail = (1 - confidence) / 2
    case: Case = {"mean": mean, "percentile": [float(q) for q in np.quantile(means, [tail, 1 - tail])], "bca": None}
    rounding = ROUNDING * np.abs(sums / counts).max()
    jackknife = (sums.sum() - sums) / (counts.sum() - counts)
    influence = jackknife.mean() - jackknife
    bias = stats.norm.ppf(((means < mean - rounding).mean() + (means <= mean + rounding).mean()) / 2)
    if np.abs(influence).max() > rounding and np.isfinite(bias):
        skew = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
        z = bias + stats.norm.ppf([tail, 1 - tail])
        case["bca"] = [float(q) for q in np.quantile(means, stats.norm.cdf(bias + z / (1 - skew * z)))]
    return case


def scipy_interval(d: Floats, indices_seed: int, resamples: int, confidence: float) -> Case:
    case: Case = {"mean": float(d.mean())}
    for name, method in (("percentile", "percentile"), ("bca", "BCa")):
        rng = np.random.default_rng(indices_seed)
        result = bootstrap((d,), np.mean, n_resamples=resamples, confidence_level=confidence, method=method, rng=rng)
        case[name] = [float(result.confidence_interval.low), float(result.confidence_interval.high)]
    return case


def cluster_names(n: int, most: int, seed: int) -> list[int]:
    """Clusters of 1 to `most` neighbours with names in no order, and one that comes back at the end."""
    draw = np.random.default_rng(seed)
    names: list[int] = []
    while len(names) < n:
        names += [int(draw.integers(1000))] * int(draw.integers(1, most + 1))
    names = names[:n]
    names[-1] = names[0]
    return names


def bootstrap_cases() -> list[Case]:
    cases: list[Case] = []
    for number, (name, d) in enumerate(samples().items()):
        if len(d) < 2 or len(d) > 20:
            continue
        indices = np.random.default_rng(number).integers(0, len(d), (150, len(d)))
        confidence = (0.95, 0.9, 0.99)[number % 3]
        given = {"name": f"SciPy: {name}", "differences": d.tolist(), "clusters": [], "indices": indices.ravel().tolist(), "confidence": confidence}
        expected = scipy_interval(d, number, 150, confidence)
        if name not in ("thirds", "decimals that cancel", "halves with ties", "accuracies"):  # rounded ties, which SciPy does not see
            ours = clustered_interval(d, list(range(len(d))), indices, confidence)
            assert np.allclose([*ours["percentile"], *ours["bca"]], [*expected["percentile"], *expected["bca"]], rtol=1e-12, atol=0), name
        else:
            expected = clustered_interval(d, list(range(len(d))), indices, confidence)
            given["name"] = f"ties: {name}"
        cases.append(given | expected)
    for number, (name, d) in enumerate(samples().items()):
        if len(d) < 9:
            continue
        clusters = cluster_names(len(d), 2 + number % 3, number)
        n = len(set(clusters))
        indices = drawn_indices(number, 400, n)
        case = {"name": f"clusters: {name}", "differences": d.tolist(), "clusters": clusters, "seed": number, "resamples": 400, "confidence": 0.95}
        cases.append(case | clustered_interval(d, clusters, indices, 0.95))
    same = np.full(6, 0.1)
    cases.append(
        {"name": "all alike", "differences": same.tolist(), "clusters": [1, 1, 2, 2, 2, 3], "seed": 7, "resamples": 50, "confidence": 0.95}
        | clustered_interval(same, [1, 1, 2, 2, 2, 3], drawn_indices(7, 50, 3), 0.95)
    )
    one_sided = np.array([0.0, 5.0])
    cases.append(
        {"name": "all resamples below", "differences": one_sided.tolist(), "clusters": [], "indices": [0, 0] * 9, "confidence": 0.95}
        | clustered_interval(one_sided, [0, 1], np.zeros((9, 2), dtype=np.int64), 0.95)
    )
    return cases


def permutation_case(name: str, d: Floats, clusters: list[int], seed: int) -> Case:
    sums, _ = by_cluster(d, clusters or list(range(len(d))))
    case: Case = {"name": name, "differences": d.tolist(), "clusters": clusters, "seed": seed, "draws": 2000, "mean": float(d.mean())}
    moving = sums[sums != 0]
    if len(moving) < 2:  # SciPy wants two
        return case | {"exact": True, "p": 1.0}
    if len(moving) <= 20:
        values = sums if len(sums) <= 20 else moving
        if "cancel" in name:  # SciPy takes rounding of the observed sum, 0, for a difference: give it whole numbers
            values = np.round(values * 10)
        result = stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=2**20, vectorized=True, batch=2**14)
        return case | {"exact": True, "p": float(result.pvalue)}
    flipped = np.abs((drawn_signs(seed, 2000, len(moving)) * moving).sum(axis=1))
    far = int((flipped >= abs(sums.sum()) - ROUNDING * np.abs(sums).sum()).sum())
    return case | {"exact": False, "p": (1 + far) / 2001}


def permutation_cases() -> list[Case]:
    cases = []
    for number, (name, d) in enumerate(samples().items()):
        cases.append(permutation_case(name, d, [], number))
        if len(d) >= 9:
            cases.append(permutation_case(f"clusters: {name}", d, cluster_names(len(d), 3, number), number))
    cases.append(permutation_case("all zero", np.zeros(5), [], 1))
    return cases


def wilcoxon_case(name: str, d: Floats, zeros: str) -> Case:
    def ranks_positive(values: Floats, axis: int = -1) -> Any:
        return (ranks * (values > 0)).sum(axis=axis)

    kept = d if zeros == "pratt" else d[d != 0]
    ranks = stats.rankdata(np.abs(kept))
    case: Case = {"name": f"{name}, {zeros}", "differences": d.tolist(), "zeros": zeros, "exact_p": None}
    normal = wilcoxon(d, zero_method=zeros, method="asymptotic", correction=False)
    case |= {"statistic": float(normal.statistic), "z": float(normal.zstatistic), "normal_p": float(normal.pvalue)}
    ties = len(np.unique(np.abs(kept))) < len(kept) or bool((kept == 0).any())
    if not ties and len(kept) <= 50:
        case["exact_p"] = float(wilcoxon(kept, method="exact").pvalue)
    elif len(kept) <= 13:
        case["exact_p"] = float(stats.permutation_test((kept,), ranks_positive, permutation_type="samples", n_resamples=2**14).pvalue)
    return case


def wilcoxon_cases() -> list[Case]:
    return [wilcoxon_case(name, d, zeros) for name, d in samples().items() for zeros in ("pratt", "wilcox") if zeros == "pratt" or (d == 0).any()]


def holm_cases() -> list[Case]:
    draw = np.random.default_rng(5)
    lists = {
        "none": [],
        "one": [0.03],
        "two": [0.04, 0.01],
        "ties": [0.01, 0.01, 0.04, 0.04, 0.02],
        "ends": [0.0, 1.0, 0.5],
        "held up by a smaller one": [0.01, 0.0101, 0.0102],
        "large": [0.9, 0.8, 0.7],
        "random 12": draw.uniform(0, 0.2, 12).tolist(),
        "random 40": (draw.uniform(0, 1, 40) ** 3).tolist(),
    }
    return [{"name": name, "p": p, "adjusted": multipletests(p, method="holm")[1].tolist() if p else []} for name, p in lists.items()]


def friedman_cases() -> list[Case]:
    draw = np.random.default_rng(11)
    tables = {
        "one block": np.array([[1.0, 3.0, 2.0]]),
        "two blocks": np.array([[1.0, 3.0, 2.0], [2.0, 3.0, 1.0]]),
        "same order": np.tile(np.arange(4.0), (9, 1)),
        "normal 12 x 3": draw.normal(0, 1, (12, 3)),
        "normal 120 x 10": draw.normal(0, 1, (120, 10)),
        "shifted 120 x 5": draw.normal(0, 1, (120, 5)) + np.arange(5) * 0.2,
        "far apart 120 x 4": draw.normal(0, 1, (120, 4)) + np.arange(4) * 2.0,
        "ties 40 x 6": draw.integers(0, 4, (40, 6)).astype(float),
        "mostly ties 30 x 4": (draw.uniform(0, 1, (30, 4)) < 0.1).astype(float),
        "thirds 60 x 7": draw.integers(0, 4, (60, 7)) / 3,
    }
    cases = []
    for name, blocks in tables.items():
        test: Any = stats.friedmanchisquare(*blocks.T)
        ranks = stats.rankdata(blocks, axis=1).mean(axis=0)
        cases.append({"name": name, "blocks": blocks.tolist(), "statistic": float(test.statistic), "p": float(test.pvalue), "mean_ranks": ranks.tolist()})
    return cases


def effect_cases() -> list[Case]:
    cases = []
    for name, d in samples().items():
        spread = len(d) > 1 and len(set(d.tolist())) > 1
        ranks = stats.rankdata(np.abs(d[d != 0]))
        signs = np.sign(d[d != 0])
        cases.append(
            {
                "name": name,
                "differences": d.tolist(),
                "mean": float(d.mean()),
                "d_z": float(stats.ttest_1samp(d, 0).statistic / np.sqrt(len(d))) if spread else None,
                "rank_biserial": float((ranks * signs).sum() / ranks.sum()),
                "wins": int((d > 0).sum()),
                "ties": int((d == 0).sum()),
                "losses": int((d < 0).sum()),
            }
        )
    return cases


def cliff_cases() -> list[Case]:
    chosen = list(samples().items())
    cases = []
    for (name_a, a), (name_b, b) in zip(chosen, chosen[7:] + chosen[:7], strict=True):
        u = stats.mannwhitneyu(a, b).statistic
        cases.append({"name": f"{name_a} and {name_b}", "a": a.tolist(), "b": b.tolist(), "delta": float(2 * u / (len(a) * len(b)) - 1)})
    return cases[::2]


def equivalence_cases() -> list[Case]:
    cases = []
    for number, (name, d) in enumerate(samples().items()):
        if len(d) < 2:
            continue
        scale = float(np.abs(d).max())
        low, high = ((-0.3, 0.3), (-1.0, 0.2), (0.1, 0.5))[number % 3]
        low, high = low * scale, high * scale
        p, above, below = ttost_paired(d, np.zeros(len(d)), low, high)
        alpha = (0.05, 0.01)[number % 2]
        interval = stats.ttest_1samp(d, 0).confidence_interval(1 - 2 * alpha)
        case = {"name": name, "differences": d.tolist(), "margin": [low, high], "alpha": alpha, "p": float(p), "p_above": float(above[1]), "p_below": float(below[1])}
        cases.append(case | {"interval": [float(interval.low), float(interval.high)]})
    return cases


def mcnemar_cases() -> list[Case]:
    pairs = [(0, 0), (1, 0), (0, 1), (3, 3), (0, 5), (0, 6), (2, 10), (10, 2), (7, 8), (25, 40), (0, 60), (100, 130), (400, 520)]
    return [{"name": f"{a} and {b}", "only": [a, b], "p": float(mcnemar([[9, a], [b, 9]], exact=True).pvalue) if a + b else 1.0} for a, b in pairs]


def proportion_cases() -> list[Case]:
    cases = []
    for successes, trials in [(0, 1), (1, 1), (0, 8), (8, 8), (1, 8), (3, 8), (0, 300), (1, 300), (150, 300), (299, 300), (7, 1000), (5, 20000)]:
        for confidence in (0.95, 0.99):
            case: Case = {"name": f"{successes} of {trials}, {confidence}", "successes": successes, "trials": trials, "confidence": confidence}
            for name, method in (("clopper_pearson", "beta"), ("wilson", "wilson")):
                case[name] = [float(bound) for bound in proportion_confint(successes, trials, 1 - confidence, method)]
            cases.append(case)
    return cases


def divergence_cases() -> list[Case]:
    draw = np.random.default_rng(8)
    cases = []
    for name, size, scale, apart in [("two tokens", 2, 1.0, 1.0), ("near", 60, 4.0, 1e-3), ("far", 60, 6.0, 5.0), ("peaked", 30, 8.0, 3.0)]:
        p = draw.normal(0, scale, size).astype(np.float32).astype(np.float64)
        q = (p + draw.normal(0, apart, size)).astype(np.float32).astype(np.float64)
        cases.append({"name": name, "p": p.tolist(), "q": q.tolist(), "kl": float(stats.entropy(special.softmax(p), special.softmax(q)))})
    return cases


def make() -> dict[str, list[Case]]:
    return {
        "bootstrap": bootstrap_cases(),
        "permutation": permutation_cases(),
        "wilcoxon": wilcoxon_cases(),
        "holm": holm_cases(),
        "friedman": friedman_cases(),
        "effect": effect_cases(),
        "cliff": cliff_cases(),
        "equivalence": equivalence_cases(),
        "mcnemar": mcnemar_cases(),
        "proportion": proportion_cases(),
        "divergence": divergence_cases(),
    }


if __name__ == "__main__":
    sys.exit(keep(FILE, make(), write="--write" in sys.argv))
