"""
Weights and histograms
======================

Rows may have weights. So a mixture can be fitted to a histogram, where each bin is one row and its count is the weight:
a million values become a hundred rows, and the mixture is almost the same.
"""

import os
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

from gaussmix import GaussianMixture
from gaussmix.plot import DensityDisplay

QUICK = os.environ.get("GAUSSMIX_EXAMPLES_QUICK") == "1"

# %%
# Values of three overlapping groups, and their histogram of 100 bins.

rng = np.random.default_rng(0)
n = 100_000 if QUICK else 1_000_000
raw = np.concatenate([rng.normal(0, 1, n // 2), rng.normal(4, 0.7, n // 4), rng.normal(7, 1.5, n // 4)])
counts, edges = np.histogram(raw, bins=100)
centres = (edges[:-1] + edges[1:]) / 2

# %%
# Both fits start from the same means. The weights are an argument of ``fit``.

means = [[0.0], [4.0], [8.0]]
options = {"means_init": means, "tol": 1e-8, "max_iter": 1000}

started = perf_counter()
of_raw = GaussianMixture(3, **options).fit(raw[:, None])
between = perf_counter()
of_bins = GaussianMixture(3, **options).fit(centres[:, None], sample_weight=counts)
ended = perf_counter()

print(f"{n} values: {between - started:.2f} s; {len(counts)} bins: {ended - between:.3f} s")
for name, gm in {"values": of_raw, "bins": of_bins}.items():
    print(f"{name:>6}: weights {gm.weights_.round(3)}, means {gm.means_.ravel().round(3)}")

# %%
# What binning costs: a value moves to the centre of its bin, which adds about a twelfth of the squared bin width to
# every variance. That can be taken off again. The fits below use ever narrower bins; the error is that of the standard
# deviation of the middle group, the narrowest.


def deviation(gm, excess=0.0):
    """Return the standard deviation of the middle group, without an excess of its variance."""
    return np.sqrt(gm.covariances_[1, 0, 0] - excess)


widths, errors, corrected = [], [], []
for n_bins in (16, 23, 32, 45, 64, 91, 128):
    counts_n, edges_n = np.histogram(raw, bins=n_bins)
    centres_n = (edges_n[:-1] + edges_n[1:]) / 2
    gm = GaussianMixture(3, **options).fit(centres_n[:, None], sample_weight=counts_n)
    widths.append(edges_n[1] - edges_n[0])
    errors.append(abs(deviation(gm) / deviation(of_raw) - 1))
    corrected.append(abs(deviation(gm, widths[-1] ** 2 / 12) / deviation(of_raw) - 1))
for row in zip(widths, errors, corrected, strict=True):
    print("width {:.2f}: error {:.4f}, corrected {:.4f}".format(*row))

# %%
# On the left the two mixtures lie on each other. On the right the error falls roughly with the square of the bin width;
# with the correction, even bins that are wider than the standard deviation leave only a few thousandths.

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
left.stairs(counts / (n * np.diff(edges)), edges, fill=True, color="0.85", label="bins")
DensityDisplay.from_estimator(of_bins, ax=left, numbers=False, line_kw={"label": "fitted to bins"})
x = np.linspace(*edges[[0, -1]], 500)
left.plot(x, np.exp(of_raw.score_samples(x[:, None])), ":", color="#F0E442", linewidth=1.5, label="fitted to values")
left.set(title=f"{n:,} values, and {len(counts)} bins", xlabel="value")
left.legend(frameon=False)
right.semilogy(widths, errors, "o-", color="#0072B2", label="as fitted")
right.semilogy(widths, corrected, "s--", color="#D55E00", label="variance less width² / 12")
right.axvline(deviation(of_raw), color="0.5", linestyle=":", label="the standard deviation itself")
right.set(title="what wide bins cost", xlabel="width of a bin", ylabel="relative error of a standard deviation")
right.legend(frameon=False, loc="lower right")
right.spines[["top", "right"]].set_visible(False)
fig.savefig("07_weights_and_histograms.png", dpi=110)
