"""
Outliers
========

A fitted mixture tells how likely a row is, so it also tells which rows are not. The only question is where to draw the
line; the mixture answers it with its own draws.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_blobs
from sklearn.decomposition import PCA

from gaussmix import GaussianMixture
from gaussmix.plot import DensityDisplay

# %%
# Two long clusters, and 25 points that are scattered over the whole range.

rng = np.random.default_rng(1)
X, _ = make_blobs(n_samples=600, centers=[[-3, 0], [3, 0]], cluster_std=0.9, random_state=0)
X = X @ [[0.8, 0.6], [-0.5, 1.5]]
strays = rng.uniform(X.min(axis=0) - 1, X.max(axis=0) + 1, size=(25, 2))
both = np.vstack([X, strays])

# %%
# The strays are in the data that are fitted, as they would be in practice. The line is the log-density that one draw in
# a hundred falls below; so one good row in a hundred will be blamed wrongly, whatever the shape of the clusters.

gm = GaussianMixture(2, random_state=0).fit(both)
threshold = np.quantile(gm.score_samples(gm.sample(100_000)[0]), 0.01)
outlier = gm.score_samples(both) < threshold
print(f"strays found: {outlier[len(X) :].sum()} of {len(strays)}")
print(f"others blamed: {outlier[: len(X)].sum()} of {len(X)}")

# %%
# The same with handwritten digits: a mixture of ten components learns half of them, with the pixels condensed to 20
# numbers, and judges the other half. They must not be judged by a model that has learnt them: it would find nothing odd
# in them.

digits = load_digits()
learnt, judged = digits.data[::2], digits.data[1::2]
pca = PCA(20, random_state=0).fit(learnt)
of_digits = GaussianMixture(10, random_state=0).fit(pca.transform(learnt))
log_density = of_digits.score_samples(pca.transform(judged))
order = log_density.argsort()

# %%
# Left: the dashed line is the threshold, the rings are outliers. The strays outside the clusters are found, and hardly
# anything else; those that happen to lie within a cluster cannot be told from its members. Right: odd to the mixture
# are thick, slanted and unusually built figures; ordinary are zeros, ones and sixes, whose shapes vary least.


def tile(images):
    """Return 25 images of 8 x 8 pixels as one picture, with a white frame around each."""
    grid = np.pad(images.reshape(5, 5, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)))
    return grid.transpose(0, 2, 1, 3).reshape(50, 50)


fig, axes = plt.subplot_mosaic("AAB;AAC", figsize=(9, 6.2), layout="constrained")
display = DensityDisplay.from_estimator(gm, both, ax=axes["A"], colorbar=False)
axes["A"].contour(*display.grid, display.log_density, levels=[threshold], colors="#D55E00", linestyles="--")
axes["A"].scatter(*both[outlier].T, s=60, facecolors="none", edgecolors="#D55E00", linewidths=1.5)
axes["A"].set(title=f"log-density, and {outlier.sum()} outliers", xlabel="", ylabel="")
for name, title, rows in [("B", "the 25 oddest digits", order[:25]), ("C", "the 25 most ordinary", order[::-1][:25])]:
    axes[name].imshow(tile(judged[rows]), cmap="gray_r")
    axes[name].set_title(title)
    axes[name].set_axis_off()
fig.savefig("08_outliers.png", dpi=110)
