"""
A density, not clusters
=======================

Two half-moons are not Gaussian, and a mixture of two components misses them. With more components the mixture no longer
finds clusters but describes where the points lie; and a density can be drawn from.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_moons
from sklearn.model_selection import KFold, cross_val_score

from gaussmix import GaussianMixture
from gaussmix.plot import DensityDisplay, EllipseDisplay

X, _ = make_moons(200, noise=0.05, random_state=0)

# %%
# Two components and sixteen, and 400 points drawn from the latter.

two = GaussianMixture(2, random_state=0).fit(X)
sixteen = GaussianMixture(16, random_state=0).fit(X)
new, _ = sixteen.sample(400)

# %%
# More components always explain the data better that they were fitted to. What counts is the log-likelihood of points
# that the fit has not seen: ten times, a tenth of the points is held out.

folds = KFold(10, shuffle=True, random_state=0)
held_out = {gm: cross_val_score(gm, X, cv=folds).mean() for gm in (two, sixteen)}
for gm, value in held_out.items():
    print(f"{gm.n_components:2} components: {gm.score(X):.2f} nats a point when fitted, {value:.2f} when held out")

# %%
# The two components cut across the moons, and much of their ellipses is empty. The sixteen share them out, and the
# points that were drawn form moons again. A good part of what sixteen components gain on the fitted points is lost on
# held-out ones, but not all: they are still the better density. Whether another number is better yet is the
# question of the next example.

fig, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained", sharex=True, sharey=True)
for ax, gm in zip(axes[0], (two, sixteen), strict=True):
    EllipseDisplay.from_estimator(gm, X, ax=ax, n_std=(1, 2), numbers=False)
    ax.set_title(f"{gm.n_components} components\nheld-out log-likelihood {held_out[gm]:.2f} nats a point")
DensityDisplay.from_estimator(sixteen, X, ax=axes[1, 0], colorbar=False)
axes[1, 0].set_title("log-density of 16 components")
axes[1, 1].scatter(*new.T, s=8, color="#0072B2", linewidths=0)
axes[1, 1].set(title="400 new points", aspect="equal", xlim=(-1.6, 2.6), ylim=(-1.0, 1.5))
for ax in axes.flat:
    ax.set(xlabel="", ylabel="")
fig.savefig("04_density.png", dpi=110)
