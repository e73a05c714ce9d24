"""
Choosing the covariance type
============================

The covariance type says which shapes a component may take. Freer shapes fit better and cost more parameters; BIC
weighs the one against the other, and the lowest value wins.
"""

import matplotlib.pyplot as plt
import numpy as np

from gaussmix import GaussianMixture, GaussianMixtureIC
from gaussmix.plot import EllipseDisplay

TYPES = ["diag", "spherical", "full", "tied"]

# %%
# One long, tilted cluster; and two long clusters that lean to different sides.

rng = np.random.default_rng(0)
one = rng.standard_normal((500, 2)) @ [[1.5, 1.0], [0.0, 0.5]]
two = np.vstack([one[:250], rng.standard_normal((250, 2)) @ [[1.5, -1.0], [0.0, 0.5]] + [0.0, 5.0]])

# %%
# ``GaussianMixtureIC`` fits all types and keeps a table of them.

fig, axes = plt.subplots(2, 4, figsize=(13, 6.8), layout="constrained", sharex="row", sharey="row")
for row, (k, X) in zip(axes, [(1, one), (2, two)], strict=True):
    search = GaussianMixtureIC(k, k, covariance_type=TYPES, criterion="bic", random_state=0).fit(X)
    table = search.results_
    for ax, kind, n_parameters, bic in zip(row, TYPES, table["n_parameters"], table["bic"], strict=True):
        gm = GaussianMixture(k, covariance_type=kind, random_state=0).fit(X)
        EllipseDisplay.from_estimator(gm, X, ax=ax, numbers=False)
        lowest = np.isclose(bic, table["bic"].min())
        ax.set_title(f"{kind}\n{n_parameters} parameters, BIC {bic:.0f}", weight="bold" if lowest else "normal")
        ax.set(xlabel="", ylabel="")
fig.savefig("03_covariance_types.png", dpi=110)

# %%
# The lowest BIC of each row is in bold.
#
# Above, one component: "diag" may stretch along the axes but not turn, "spherical" is round whatever the data are, and
# only "full" takes the tilt. "tied" means one covariance for all components; with a single component that is the same
# model as "full".
#
# Below, two components: "tied" must find one shape for two clusters that lean to different sides, and settles on one
# that fits neither. "full" pays for three parameters more and wins.
