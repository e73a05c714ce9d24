"""
New handwritten digits
======================

A Gaussian mixture is a model of where data lie, so it can make more of them. Here it learns the 1797 handwritten digits
that come with scikit-learn (8 x 8 pixels) and writes 100 new ones.

64 pixels are too many for as few images, and most of them say the same: PCA keeps 41 numbers an image, which hold 99 %
of the variance, each scaled to variance 1. AIC then tells how many components the mixture should have: it falls as long
as a component more explains more than its parameters cost. The fitted mixture draws 100 rows of 41 numbers; turned back
into pixels, they are digits that nobody has written.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from tqdm import tqdm

from gaussmix import GaussianMixture

INK = "#1f4e79"


def aic_curve(X, candidates, seed):
    """Return the AIC of a full-covariance mixture for each number of components."""
    values = []
    for k in (bar := tqdm(candidates, desc="AIC", unit="fit")):
        gm = GaussianMixture(k, covariance_type="full", random_state=seed).fit(X)
        values.append(gm.aic(X))
        bar.set_postfix(n_components=k, AIC=f"{values[-1]:.0f}")
    return np.array(values)


def draw_grid(ax, images, title):
    """Draw 100 images of 8 x 8 pixels as one picture of 10 x 10."""
    grid = images.reshape(10, 10, 8, 8)
    grid = np.pad(grid, ((0, 0), (0, 0), (1, 1), (1, 1)))  # a white frame around each
    ax.imshow(grid.transpose(0, 2, 1, 3).reshape(100, 100), cmap="gray_r", vmin=0, vmax=16, interpolation="nearest")
    ax.set_title(title)
    ax.set_axis_off()


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[3])
    parser.add_argument("--components", type=int, default=110, help="components of the final mixture (default 110)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("generated_digits.png"))
    parser.add_argument("--quick", action="store_true", help="four points of the AIC curve instead of sixteen")
    args = parser.parse_args()

    digits = load_digits()
    pca = PCA(0.99, whiten=True, random_state=args.seed)
    X = pca.fit_transform(digits.data)
    print(f"{len(X)} digits, {digits.data.shape[1]} pixels -> {X.shape[1]} principal components")

    candidates = np.arange(50, 201, 50 if args.quick else 10)
    aic = aic_curve(X, candidates, args.seed)
    print(f"lowest AIC at {candidates[aic.argmin()]} components")

    gm = GaussianMixture(args.components, covariance_type="full", random_state=args.seed).fit(X)
    print(f"{args.components} components: converged {gm.converged_} after {gm.n_iter_} iterations")
    drawn, _ = gm.sample(100, random_state=args.seed)
    drawn = np.random.default_rng(args.seed).permutation(drawn)  # draws come grouped by component
    new = pca.inverse_transform(drawn)
    real = digits.data[np.random.default_rng(args.seed).choice(len(digits.data), 100, replace=False)]

    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 5.2), layout="constrained")
    draw_grid(left, real, "100 real digits")
    draw_grid(middle, new, f"100 new digits, {args.components} components")
    right.plot(candidates, aic / 1000, "o-", color=INK, markersize=5)
    right.axvline(candidates[aic.argmin()], color="0.75", zorder=0)
    right.annotate(
        f"lowest at {candidates[aic.argmin()]}",
        (candidates[aic.argmin()], aic.max() / 1000),
        textcoords="offset points",
        xytext=(6, -4),
        color="0.35",
    )
    right.set(xlabel="number of components", ylabel="AIC / 1000", title="Choosing the number of components")
    right.spines[["top", "right"]].set_visible(False)
    fig.savefig(args.output, dpi=110)
    print(f"saved {args.output}")


if __name__ == "__main__":
    main()
