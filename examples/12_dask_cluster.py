"""
A Dask cluster
==============

Rows that are on many machines stay there: in each iteration a model goes out to them, and statistics come back. The
script needs the extra ``dask``; its cluster is on this machine.
"""

import os

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client

from gaussmix.dask import GaussianMixture
from gaussmix.plot import EllipseDisplay

# %%
# Give ``Client`` the address of a scheduler to use another cluster; nothing else changes. Here two workers live in
# this process.

client = Client(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None)

# %%
# A lazy array: twelve blocks, which the workers make when they need them.

rows = 5_000 if os.environ.get("GAUSSMIX_EXAMPLES_QUICK") else 500_000
centers = np.array([[-6, 0], [-2, 3], [0, -3], [3, 2], [6, -1]])
random = da.random.default_rng(0)
which = random.integers(0, 5, size=12 * rows, chunks=rows)
noise = random.normal(size=(12 * rows, 2), chunks=(rows, 2))
X = which.map_blocks(lambda i: centers[i], new_axis=1, chunks=(rows, 2), dtype=float) + noise @ [[1.1, 0.4], [0, 0.6]]
print(X)

# %%
# The attributes of the fit are NumPy arrays, as always. Predictions are lazy: of a hundred billion rows no more is
# computed than what is asked for, here the sizes of the clusters and the places where labels are doubtful.

gm = GaussianMixture(5, covariance_type="tied", random_state=0).fit(X)
print(f"{12 * rows:,} rows, {gm.n_iter_} iterations, {gm.lower_bound_:.4f} nats a row")

responsibilities = gm.predict_proba(X)
sizes = da.bincount(gm.predict(X), minlength=5)
doubtful = responsibilities.max(axis=1) < 0.7
sizes, share = da.compute(sizes, doubtful.mean())
print("rows of each component:", ", ".join(f"{size:,}" for size in sizes))
print(f"doubtful: {share:.1%}")

# %%
# The same rows in the memory of one process give the same mixture, up to rounding, if both start in the same place.

start = {"weights_init": gm.weights_, "means_init": gm.means_, "precisions_init": gm.precisions_}
again = GaussianMixture(5, covariance_type="tied", max_iter=500, tol=1e-6, **start)
apart = np.abs(again.fit(X).means_ - again.fit(X.compute()).means_).max()
print(f"largest difference of a mean between the cluster and one process: {apart:.1e}")

# %%
# The counts of a histogram are sums over the blocks, and so no more than the picture comes back from the workers.

edges = np.linspace(-10, 10, 161), np.linspace(-7, 7, 113)
counts, *_ = da.histogram2d(X[:, 0], X[:, 1], bins=edges)
fig, ax = plt.subplots(figsize=(8, 5.4), layout="constrained")
ax.pcolormesh(*edges, np.log1p(counts.compute()).T, cmap="Greys")
EllipseDisplay.from_estimator(gm, ax=ax)
ax.set(aspect="equal", xlim=(-10, 10), ylim=(-7, 7), title=f"{12 * rows:,} rows in {X.numblocks[0]} blocks")
fig.savefig("12_dask_cluster.png", dpi=110)
client.close()
