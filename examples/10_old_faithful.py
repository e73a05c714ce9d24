"""
Old Faithful
============

The geyser Old Faithful in Yellowstone erupts for two to five minutes, then rests for about an hour. 272 eruptions were
timed, and how long it was to the next one; the data come with the package plotnine (``pip install plotnine``).
"""

import matplotlib.pyplot as plt
import numpy as np
from plotnine.data import faithful

from gaussmix import GaussianMixtureIC
from gaussmix.plot import CriterionDisplay, DensityDisplay, UncertaintyDisplay

X = faithful.rename(columns={"eruptions": "eruption [min]", "waiting": "wait for the next [min]"})

# %%
# BIC chooses among 1 to 6 components of three types. "spherical" is left out: the waits spread over ten times as many
# minutes as the eruptions, which no circle fits.

search = GaussianMixtureIC(1, 6, covariance_type=["full", "tied", "diag"], n_init=5, random_state=0).fit(X)
gm = search.best_estimator_
print("lowest BIC:", search.best_params_)
for weight, mean in zip(gm.weights_, gm.means_, strict=True):
    print(f"  {weight:.0%} of the eruptions: {mean[0]:.1f} min on average, then a wait of {mean[1]:.0f} min")

best = np.nanargmin(search.results_["icl"])
print("lowest ICL:", {name: search.results_[name][best].item() for name in search.best_params_})

# %%
# Short eruptions are followed by short waits, long ones by long waits: the eye sees two groups. BIC takes three
# components, because the group of long eruptions is not quite Gaussian and two together describe it better. On the
# right, large dots are eruptions whose component is doubtful, and the shade is how doubtful each place is. The stripe
# of doubt on the left runs through empty space: there is a real gap. The one on the right runs through the middle of
# the long eruptions: two components, but one group. ICL, which charges for such doubt, takes two
# components.

fig, (left, middle, right) = plt.subplots(1, 3, figsize=(14.5, 4.3), layout="constrained")
CriterionDisplay.from_estimator(search, ax=left)
DensityDisplay.from_estimator(gm, X, ax=middle)
UncertaintyDisplay.from_estimator(gm, X, ax=right)
left.set_title("how many components")
middle.set_title("the density")
right.set_title("where labels are doubtful")
fig.savefig("10_old_faithful.png", dpi=110)
