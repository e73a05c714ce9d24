"""
Larger than memory
==================

A file of rows that need not fit into memory: it is read block by block, once an iteration, and the mixture is that of a
fit to all rows at once.
"""

import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from gaussmix import GaussianMixture, chunked
from gaussmix.plot import DensityDisplay

# %%
# The file: points along two spiral arms, written piece by piece. Make ``pieces`` larger for one that your machine
# cannot hold; the memory that the fit takes stays the same.

folder = Path(tempfile.mkdtemp())
pieces, rows = (4, 20_000) if os.environ.get("GAUSSMIX_EXAMPLES_QUICK") else (20, 200_000)
rng = np.random.default_rng(0)
paths = []
for i in range(pieces):
    along, arm = np.sqrt(rng.uniform(0.03, 1, rows)), rng.integers(0, 2, rows)
    angle = 4.5 * along + np.pi * arm
    X = 10 * along[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]) + rng.normal(scale=0.6, size=(rows, 2))
    paths.append(folder / f"{i}.npy")
    np.save(paths[-1], X.astype(np.float32))

# %%
# The next block is read while this one is computed on. The checkpoint is written every ten iterations, and when the fit
# is interrupted: run again, it goes on where it was and ends with the same bits.

gm = chunked.fit(paths, 30, random_state=0, tol=1e-4, max_iter=200, checkpoint=folder / "fit.safetensors")
print(f"{pieces * rows:,} rows, {gm.n_iter_} passes, {gm.lower_bound_:.4f} nats a row")

# %%
# How good is it? A sample of the rows fits into memory, but a model of the sample is a little worse on all rows.

sample = np.load(paths[0])[:: max(1, rows // 2_000)]
small = GaussianMixture(30, random_state=0, tol=1e-4, max_iter=200).fit(sample)
for name, model in {"all rows": gm, f"{len(sample):,} rows": small}.items():
    scores = [model.score(np.load(path, mmap_mode="r")) for path in paths]
    print(f"fitted to {name}: {np.mean(scores):.4f} nats a row")

# %%
# On the left the rows, counted block by block too; on the right the density of the mixture.

edges = np.linspace(-13, 13, 131)
counts = sum(np.histogram2d(*np.load(path, mmap_mode="r").T, bins=(edges, edges))[0] for path in paths)
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
left.pcolormesh(edges, edges, counts.T, cmap="Blues")
left.set_title(f"{pieces * rows:,} rows in {pieces} files")
DensityDisplay.from_estimator(gm, sample, ax=right)
right.set_title(f"30 components after {gm.n_iter_} passes")
for ax in (left, right):
    ax.set(aspect="equal", xlim=(-13, 13), ylim=(-13, 13))
fig.savefig("11_larger_than_memory.png", dpi=110)

# %%
# The files are no longer needed.

for path in folder.iterdir():
    path.unlink()
folder.rmdir()
