"""
Where k-means fails
===================

k-means looks only at the distance to a centre, so all its clusters are round. A mixture with full covariances learns
the shape of each.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from gaussmix import GaussianMixture
from gaussmix.plot import EllipseDisplay

COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"]

# %%
# The same four blobs twice: as they are, and after a random linear map that stretches and shears them.

X, truth = make_blobs(n_samples=400, centers=4, cluster_std=0.60, random_state=0)
X = X[:, ::-1]
stretched = X @ np.random.RandomState(13).randn(2, 2)

# %%
# A cluster of k-means reaches as far as its farthest member: that is the radius of its circle.


def draw_circles(kmeans, X, ax):
    """Draw the clusters of k-means as circles."""
    for k, centre in enumerate(kmeans.cluster_centers_):
        members = X[kmeans.labels_ == k]
        radius = np.linalg.norm(members - centre, axis=1).max()
        ax.scatter(*members.T, s=12, color=COLORS[k], linewidths=0)
        ax.add_patch(plt.Circle(centre, radius, facecolor=COLORS[k], edgecolor=COLORS[k], alpha=0.2, zorder=0))
    ax.autoscale_view()
    ax.set_aspect("equal")


# %%
# On round blobs both do well. On the stretched ones the circles of k-means overlap and cut clusters apart, while the
# ellipses of the mixture (one, two and three standard deviations) follow them: a linear map turns a Gaussian into
# another Gaussian, so the second problem is as easy for the mixture as the first. It even starts from the centres of
# k-means, and leaves them. The agreement with the true
# labels is the adjusted Rand index: 1 is perfect, 0 is chance.

fig, axes = plt.subplots(2, 2, figsize=(10, 7.4), layout="constrained", sharex="row", sharey="row")
for row, (name, data) in zip(axes, [("blobs", X), ("stretched blobs", stretched)], strict=True):
    kmeans = KMeans(4, n_init=10, random_state=0).fit(data)
    draw_circles(kmeans, data, row[0])
    row[0].set_title(f"k-means, {name}: agreement {adjusted_rand_score(truth, kmeans.labels_):.2f}")

    gm = GaussianMixture(4, covariance_type="full", means_init=kmeans.cluster_centers_).fit(data)
    EllipseDisplay.from_estimator(gm, data, ax=row[1], numbers=False)
    row[1].set(xlabel="", ylabel="")
    row[1].set_title(f"mixture, {name}: agreement {adjusted_rand_score(truth, gm.predict(data)):.2f}")
fig.savefig("02_where_k_means_fails.png", dpi=110)
