"""The plots: times beside other libraries, threads, growth, memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from bench.python.iterations import Comparison
from bench.python.peers import PEERS
from bench.python.results import Results
from bench.python.scaling import Growth, Threads

# Okabe and Ito (2008), "Color universal design", and a marker each: nothing rests on colour alone.
COLOURS = ("#000000", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#7f7f7f", "#b8a000")
MARKERS = "osD^vP*X<"
STYLE = {peer.name: {"color": COLOURS[i], "marker": MARKERS[i]} for i, peer in enumerate(PEERS)}
TYPES = ("full", "tied", "diag", "spherical")


def save_plots(results: Results, folder: Path) -> list[Path]:
    """Draw what there are results for and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {}
    # From the defaults: one of the libraries changes them on import.
    spines = {"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}
    with style.context(["default", spines]):
        if results.iterations:
            figures["iterations"] = ratios(results.iterations)
        if results.threads:
            figures["threads"] = threads(results.threads)
        if results.growth:
            figures["growth"] = growth(results.growth)
        if any(memory.megabytes for memory in results.memory):
            figures["memory"] = bars_of_memory(results)
        paths = []
        for name, figure in figures.items():
            paths.append(folder / f"{name}.png")
            figure.savefig(paths[-1], dpi=130)
    return paths


def ratios(comparisons: list[Comparison]) -> Figure:
    """Draw each library's time by ours, one row a problem; hollow where the likelihood was not found to agree."""
    figure = Figure(figsize=(10, 1.8 + 0.33 * len(comparisons)), layout="constrained")
    axes = figure.subplots()
    names = [peer.name for peer in PEERS[1:]]
    drawn = set()
    for y, comparison in enumerate(comparisons):
        for timing in comparison.timings:
            if timing.library not in names or timing.ratio is None:
                continue
            look = STYLE[timing.library]
            fill = look["color"] if timing.verdict == "agrees" else "none"
            axes.plot(timing.ratio, y, look["marker"], ms=7, mec=look["color"], mfc=fill, mew=1.4)
            drawn.add(timing.library)
    for name in names:
        if name in drawn:
            axes.plot([], [], STYLE[name]["marker"], color=STYLE[name]["color"], ls="", label=name)
    axes.plot([], [], "o", mec="black", mfc="none", ls="", label="likelihood differs\nor not compared")
    axes.axvline(1, color="black", lw=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(range(len(comparisons)), [comparison.problem for comparison in comparisons])
    axes.invert_yaxis()
    axes.grid(axis="both", color="#dddddd", lw=0.8)
    axes.set_xlabel("time of an iteration, by that of gaussmix (right of the line: gaussmix is faster)")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def threads(scaled: list[Threads]) -> Figure:
    """Draw speed-ups, one bar a problem and number of threads."""
    figure = Figure(figsize=(8, 1.6 + 0.4 * len(scaled)), layout="constrained")
    axes = figure.subplots()
    counts = [count for count in scaled[0].speedups if count > 1] or [1]
    height = 0.8 / len(counts)
    for i, count in enumerate(counts):
        y = np.arange(len(scaled)) + (i - (len(counts) - 1) / 2) * height
        bars = axes.barh(y, [one.speedups[count] for one in scaled], height, color=COLOURS[1 + i % 8])
        axes.bar_label(bars, fmt="%.2f", label_type="center", color="white")
        axes.axvline(count, color=COLOURS[1 + i % 8], lw=1, ls="--")
        bars.set_label(f"{count} threads (dashed: ideal)")
    axes.set_yticks(range(len(scaled)), [f"{one.problem}\nn K d = {one.n_k_d:.0e}" for one in scaled], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * max(counts))
    axes.set_xlabel("speed-up over one thread")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, ncols=len(counts))
    return figure


def growth(grown: list[Growth]) -> Figure:
    """Draw the time against n, d and K, one line a covariance type."""
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    for axes, variable in zip(figure.subplots(1, 3), "ndK", strict=True):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        for one in grown:
            if one.variable == variable:
                _grow(axes, one)
        axes.grid(color="#dddddd", lw=0.8)
        axes.set_xlabel(variable)
        axes.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.08))
    figure.axes[0].set_ylabel("milliseconds an iteration, one thread")
    return figure


def _grow(axes: Axes, one: Growth) -> None:
    i = TYPES.index(one.covariance_type)
    label = f"{one.covariance_type}: slope {one.slope:.2f}, last {one.last_slope:.2f}"
    axes.plot(one.values, one.milliseconds, marker=MARKERS[i], color=COLOURS[i], label=label)
    axes.set_title(f"at {one.fixed}", fontsize=10)
    axes.set_xticks(one.values, [f"{value:,}" for value in one.values], fontsize=8)
    axes.tick_params(which="minor", bottom=False, labelbottom=False)


def bars_of_memory(results: Results) -> Figure:
    """Draw the memory above the rows, one panel a problem."""
    measured = [memory for memory in results.memory if memory.megabytes]
    heights = [1 + len(memory.megabytes) for memory in measured]
    figure = Figure(figsize=(8, 1 + 0.36 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(measured), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, memory in zip(panels, measured, strict=True):
        names = list(memory.megabytes)
        colours = [STYLE[name]["color"] for name in names]
        bars = axes.barh(names, list(memory.megabytes.values()), color=colours)
        axes.bar_label(bars, [f"{value:,.0f} MB" for value in memory.megabytes.values()], padding=3)
        axes.axvline(memory.rows_megabytes, color="black", ls="--", lw=1)
        axes.margins(x=0.15)
        axes.invert_yaxis()
        axes.set_title(f"{memory.problem} (dashed: the rows)", fontsize=10)
    panels[-1].set_xlabel("MB above the rows")
    return figure
