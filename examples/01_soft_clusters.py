"""
Soft clusters
=============

k-means gives each point one label. A Gaussian mixture gives it a probability for every cluster, so it also tells how
sure a label is.
"""

import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs

from gaussmix import GaussianMixture

COLORS = ListedColormap(["#0072B2", "#D55E00", "#009E73", "#CC79A7"])

# %%
# Four round clusters, two of which touch. The columns are swapped only to make the picture wide instead of tall.

X, _ = make_blobs(n_samples=400, centers=4, cluster_std=0.60, random_state=0)
X = X[:, ::-1]

# %%
# The mixture starts from the centres of k-means, so that both number, and colour, the clusters alike.

kmeans = KMeans(4, n_init=10, random_state=0).fit(X)
gm = GaussianMixture(4, means_init=kmeans.cluster_centers_, random_state=0).fit(X)
proba = gm.predict_proba(X)

# %%
# Most rows of ``predict_proba`` hold one number close to 1. The rows between two clusters do not.

print("the first five rows:", proba[:5].round(3), sep="\n")
doubtful = proba.max(axis=1).argsort()[:5]
print("the five most doubtful rows:", proba[doubtful].round(3), sep="\n")
print("labels that differ from those of k-means:", (gm.predict(X) != kmeans.labels_).sum())

# %%
# The labels are nearly the same. On the right the area of each dot is 50 times the square of its largest probability:
# the dots shrink where clusters meet, and there a label should not be trusted.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.7), layout="constrained", sharex=True, sharey=True)
left.scatter(*X.T, s=40, c=kmeans.labels_, cmap=COLORS, edgecolors="white", linewidths=0.5)
left.set(title="k-means: one label a point", aspect="equal")
right.scatter(*X.T, s=50 * proba.max(axis=1) ** 2, c=gm.predict(X), cmap=COLORS, edgecolors="white", linewidths=0.5)
right.set(title="mixture: small dots are doubtful", aspect="equal")
fig.savefig("01_soft_clusters.png", dpi=110)
