"""The tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bench.python.iterations import Comparison, Timing
from bench.python.peers import PEERS
from bench.python.results import Results
from bench.python.scaling import Growth


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table."""
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None) -> str:
    """Return two significant digits, or all before the point."""
    if value is None or not np.isfinite(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 99.5 else f"{value:#.2g}".removesuffix(".")


def machine(results: Results) -> str:
    """Return the machine, the versions, and DGEMM."""
    told, versions = results.machine, results.machine["versions"]
    names = ", ".join(f"{name} {version}" for name, version in versions.items() if version != "not installed")
    missing = ", ".join(name for name, version in versions.items() if version == "not installed")
    return (
        f"{told['cores']} cores of {told['processor']}, {told['system']}, {told['threads']} threads, "
        f"{told['instruction set']}, {told['compiler']}. {names}. "
        + (f"Not installed: {missing}. " if missing else "")
        + f"NumPy's DGEMM, by {told['BLAS']}: best {max(results.dgemm):.0f} GFLOP/s; "
        f"median {np.median(results.dgemm_before):.0f} before and {np.median(results.dgemm_after or [np.nan]):.0f} "
        f"after the {results.minutes:.0f} minutes of the run."
    )


def _cell(timing: Timing | None) -> str:
    """Return a ratio, with a mark where the likelihood was not found to agree."""
    if timing is None or timing.ratio is None:
        return ""
    return number(timing.ratio) + {"agrees": "", "differs": " †", "own start": " ‡"}[timing.verdict]


def iterations(comparisons: list[Comparison], peak: float) -> str:
    """Return the times of gaussmix, its share of DGEMM, and each library's time by ours."""
    libraries = [peer.name for peer in PEERS if peer.name != "gaussmix"]
    libraries = [name for name in libraries if any(_cell(_timing(c, name)) for c in comparisons)]
    rows = []
    for comparison in comparisons:
        ours = _timing(comparison, "gaussmix")
        share = f"{comparison.dense_gflops / peak:.0%}" if comparison.dense_gflops else ""
        cells = [_cell(_timing(comparison, name)) for name in libraries]
        rows.append([comparison.problem, number(ours.milliseconds if ours else None), share, *cells])
    return table(["n x d, K, type", "gaussmix ms", "of DGEMM", *libraries], rows)


def _timing(comparison: Comparison, library: str) -> Timing | None:
    return next((timing for timing in comparison.timings if timing.library == library), None)


def likelihoods(comparisons: list[Comparison]) -> str:
    """Return for each library the largest difference where it agrees, and where and why it does not."""
    rows = []
    for peer in PEERS[1:]:
        timings = {c.problem: timing for c in comparisons if (timing := _timing(c, peer.name))}
        timings = {problem: timing for problem, timing in timings.items() if "not asked" not in timing.reason}
        agree = [abs(timing.difference or 0) for timing in timings.values() if timing.verdict == "agrees"]
        reasons: dict[str, list[str]] = {}
        for problem, timing in timings.items():
            if timing.verdict == "agrees" and not timing.reason:
                continue
            by = "" if timing.difference is None else f"by {timing.difference:.0e}"
            said = {"differs": f"differs {by}", "own start": "not compared", "agrees": "agrees"}.get(timing.verdict, "")
            told = ": ".join(part.strip() for part in (said, timing.reason) if part.strip())
            reasons.setdefault(told, []).append(problem)
        told = "; ".join(
            reason if len(problems) == len(timings) else f"{reason} ({_list(problems)})"
            for reason, problems in reasons.items()
        )
        largest = f"{max(agree):.0e}" if agree else ""
        rows.append([peer.name, f"{len(agree)} of {len(timings)}", largest, told, peer.note])
    return table(["library", "agrees", "largest difference", "otherwise", "not the same"], rows)


def _list(problems: list[str], most: int = 3) -> str:
    return "; ".join(problems[:most]) + (f"; {len(problems) - most} more" if len(problems) > most else "")


def growth(grown: list[Growth]) -> str:
    """Return the slopes, one row a covariance type."""
    rows = []
    for kind in dict.fromkeys(one.covariance_type for one in grown):
        of = {one.variable: one for one in grown if one.covariance_type == kind}
        rows.append([kind, *(f"{of[v].slope:.2f}, {of[v].last_slope:.2f}" if v in of else "" for v in "ndK")])
    spans = {one.variable: f"{one.variable}: {one.values[0]:,} to {one.values[-1]:,}" for one in grown}
    return table(["type", *spans.values()], rows)


def markdown(results: Results) -> str:
    """Return everything, ready for a README."""
    parts = [machine(results)]
    if results.iterations:
        parts += [
            "An iteration: gaussmix's time, the dense count of flops by it as a share of the best DGEMM, and each "
            "library's time by ours. † the likelihood differs, ‡ it could not be compared; empty: left out.",
            iterations(results.iterations, max(results.dgemm)),
            "Mean log-likelihoods after three iterations, computed from the parameters:",
            likelihoods(results.iterations),
        ]
    if results.calls:
        rows = [[c.call, number(c.milliseconds["gaussmix"]), number(c.ratio), f"{c.difference:.0e}"]
                for c in results.calls]  # fmt: skip
        head = ["call", "gaussmix ms", "scikit-learn's time by ours", "difference of likelihoods or means"]
        parts += ["Whole calls:", table(head, rows)]
    if results.seeds:
        rows = [[s.problem, number(s.milliseconds), number(s.ratio), f"{s.ahead('mean'):+.0e} ± {s.error:.0e}",
                 *(f"{s.ahead(of_all):+.0e}" for of_all in ("min", "max"))] for s in results.seeds]  # fmt: skip
        head = ["n x d, K, type", "gaussmix ms", "scikit-learn's time by ours", "mean", "worst", "best"]
        count = len(results.seeds[0].likelihoods["gaussmix"])
        parts += [
            f"Fits with the defaults from {count} seeds; the mean, the worst and the best of their log-likelihoods "
            "less those of scikit-learn's, nats a row:",
            table(head, rows),
        ]
    if results.memory:
        parts += ["Memory above the rows, MB:", _memory(results)]
    if results.threads:
        counts = list(results.threads[0].milliseconds)
        rows = [[t.problem, f"{t.n_k_d:.0e}", number(t.milliseconds[1]), *(f"{t.speedups[c]:.2f}" for c in counts[1:])]
                for t in results.threads]  # fmt: skip
        head = ["n x d, K, type", "n K d", "ms on 1 thread", *(f"speed-up on {c}" for c in counts[1:])]
        parts += ["Threads:", table(head, rows)]
    if results.growth:
        fixed = "; ".join(dict.fromkeys(f"{g.variable} at {g.fixed}" for g in results.growth))
        parts += [f"Log-log slopes of the time on one thread, over all and of the last step ({fixed}):",
                  growth(results.growth)]  # fmt: skip
    if results.precision:
        rows = [[p.problem, number(p.milliseconds), f"{p.ratio:.2f}", f"{p.difference:.0e}"] for p in results.precision]
        head = ["n x d, K, type", "float64 ms", "float32's time by it", "difference of likelihoods"]
        parts += ["Rows of float32:", table(head, rows)]
    if results.streams:
        rows = [[s.problem, f"{s.fit:.4f}", f"{s.converged - s.fit:+.4f}", f"{s.difference:+.4f}",
                 f"{s.streams['None'] - s.fit:+.4f}", f"{s.ahead - s.fit:+.4f}", number(s.fit_seconds),
                 number(s.converged_seconds), number(s.stream_seconds["default"])]
                for s in results.streams]  # fmt: skip
        head = ["n x d, K, type", "fit, nats a row", "to 1e-5", "partial_fit", "nothing forgotten", "EM from its end",
                "fit s", "to 1e-5 s", "partial_fit s"]  # fmt: skip
        parts += [
            "One pass in shuffled batches of 1,000: held-out likelihood of the fit, and what others have more:",
            table(head, rows),
        ]
    if results.clusters:
        parts += ["An iteration on worker processes of one thread each, and by Spark on as many threads, ms:",
                  _clusters(results)]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _memory(results: Results) -> str:
    libraries = list(dict.fromkeys(name for m in results.memory for name in (*m.megabytes, *m.reasons)))
    rows = [
        [m.problem, f"{m.rows_megabytes:.0f}",
         *(number(m.megabytes[name]) if name in m.megabytes else m.reasons.get(name, "") for name in libraries)]
        for m in results.memory
    ]  # fmt: skip
    return table(["n x d, K, type", "the rows", *libraries], rows)


def _clusters(results: Results) -> str:
    counts = list(dict.fromkeys(count for c in results.clusters for count in c.dask))
    rows = [
        [c.problem, str(c.workers), number(c.in_memory), *(number(c.dask.get(count)) for count in counts),
         number(c.spark) or c.reasons.get("spark", "")]
        for c in results.clusters
    ]  # fmt: skip
    heads = ["n x d, K, type", "workers", "in memory", *(f"{count} blocks" for count in counts), "Spark"]
    return table(heads, rows)
