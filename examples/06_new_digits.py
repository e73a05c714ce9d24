"""
New handwritten digits
======================

A mixture is a model of where data lie, so it can make more of them. Here it learns the 1797 handwritten digits that
come with scikit-learn, 8 x 8 pixels each, and writes 100 new ones. The last step looks for each of them among the real
ones: are they new, or copies?
"""

import os

import matplotlib.pyplot as plt
import numpy as np
from generate_digits import aic_curve, draw_grid  # the script beside this one in examples/: the pipeline as a command
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from gaussmix import GaussianMixture

QUICK = os.environ.get("GAUSSMIX_EXAMPLES_QUICK") == "1"

# %%
# 64 pixels are many for 1797 images, and neighbouring ones say much the same. PCA keeps as many directions as hold 99 %
# of the variance, and scales each to variance 1.

digits = load_digits().data
pca = PCA(0.99, whiten=True, random_state=0)
X = pca.fit_transform(digits)
print(f"{digits.shape[1]} pixels -> {X.shape[1]} numbers an image")

# %%
# AIC chooses the number of components, among 50, 60, ..., 200.

candidates = np.arange(50, 201, 75 if QUICK else 10)
aic = aic_curve(X, candidates, seed=0)
print(f"lowest AIC at {candidates[aic.argmin()]} components")

# %%
# At 110 components most of the fall is done, and from 120 on the curve is nearly flat. The mixture below takes 110:
# with more, each would be made of still fewer images. It draws 100 rows of 41 numbers, and PCA turns them back into
# pixels.

gm = GaussianMixture(110, covariance_type="full", random_state=0).fit(X)
drawn, _ = gm.sample(100)
drawn = np.random.default_rng(0).permutation(drawn)  # draws come grouped by component
new = pca.inverse_transform(drawn)
print(f"components with fewer rows than dimensions: {(gm.weights_ * len(X) < X.shape[1]).sum()} of 110")

# %%
# Now the real digit that is nearest to each drawn one, by the distance between their 64 pixels, each from 0 to 16. For
# comparison: how far a real digit is from the nearest other real one; and what PCA takes off a real digit, which is the
# distance that a mere copy would have.

neighbours = NearestNeighbors().fit(digits)
distance, nearest = (found[:, 0] for found in neighbours.kneighbors(new, n_neighbors=1))
usual = neighbours.kneighbors(digits, n_neighbors=2)[0][:, 1]  # the first neighbour of a real digit is itself
copy = np.median(np.linalg.norm(digits - pca.inverse_transform(X), axis=1))
print(f"from a real digit to itself after PCA:           median {copy:.1f}")
print(f"from a drawn digit to the nearest real one:      median {np.median(distance):.1f}, least {distance.min():.1f}")
print(f"from a real digit to the nearest other real one: median {np.median(usual):.1f}, least {usual.min():.1f}")

# %%
# Most of the drawn digits can be read, some are scrawls. On the right stands, in the same place, the real digit nearest
# to each: mostly the same figure, written a little differently. None is a copy: even the nearest is farther away than a
# copy would be. But the drawn ones are slightly nearer to real ones than those are to each other, and for a reason: a
# component has 16 images on average, too few to fill 41 dimensions, so what it draws are blends of those few. For the
# same reason AIC should be taken with caution here: much of its fall comes from components that have become flat, and
# only ``reg_covar`` keeps their likelihood finite.

fig, axes = plt.subplot_mosaic("AABBCC;DDDEEE", figsize=(13, 8.4), height_ratios=[1.5, 1], layout="constrained")
real = digits[np.random.default_rng(0).choice(len(digits), 100, replace=False)]
draw_grid(axes["A"], real, "100 real digits")
draw_grid(axes["B"], new, "100 drawn digits")
draw_grid(axes["C"], digits[nearest], "the real digit nearest to each drawn one")

axes["D"].plot(candidates, aic / 1000, "o-", color="#0072B2", markersize=5)
axes["D"].axvline(candidates[aic.argmin()], color="0.7", zorder=0)
axes["D"].set(xlabel="number of components", ylabel="AIC / 1000", title=f"AIC is lowest at {candidates[aic.argmin()]}")
bins = np.arange(0, max(distance.max(), usual.max()) + 1)
axes["E"].hist(usual, bins, density=True, color="0.8", label="real digits")
axes["E"].hist(distance, bins, density=True, histtype="step", color="#D55E00", linewidth=2, label="drawn digits")
axes["E"].axvline(copy, color="0.3", linestyle=":", label="a copy, after PCA")
axes["E"].set(xlabel="distance to the nearest (other) real digit", ylabel="share", title="new, or copied?")
axes["E"].legend(frameon=False)
for ax in (axes["D"], axes["E"]):
    ax.spines[["top", "right"]].set_visible(False)
fig.savefig("06_new_digits.png", dpi=110)
