"""
How many components
===================

Likelihood grows with every component, so it cannot choose their number. AIC and BIC subtract a price for parameters;
cross-validation asks points that the fit has not seen. Here all three judge 1 to 20 components on two half-moons.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_moons
from sklearn.model_selection import KFold

from gaussmix import GaussianMixtureIC
from gaussmix.plot import CriterionDisplay

X, _ = make_moons(200, noise=0.05, random_state=0)

# %%
# One search fits every candidate, and with ``criterion="cv"`` the folds of each as well. AIC and BIC of the fits come
# with it.

search = GaussianMixtureIC(
    1, 20, covariance_type="full", criterion="cv", cv=KFold(10, shuffle=True, random_state=0), random_state=0
).fit(X)
for name in ("bic", "aic", "cv"):
    best = search.results_[name].argmin()
    print(f"lowest {name}: {search.results_['n_components'][best]} components")

# %%
# A ring marks each minimum. BIC asks the higher price and takes fewer components than AIC. Near their minima the curves
# are flat and rough: another seed moves the rings by a few, so the exact number means little. Held-out points, whose
# negative log-likelihood is on the right, are the judge that needs no formula, but their curve is the roughest.

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
CriterionDisplay.from_estimator(search, criterion=["aic", "bic"], ax=left)
left.set_title("criteria that count parameters")
CriterionDisplay.from_estimator(search, criterion="cv", ax=right)
right.set_title("points held out, in ten folds")
fig.savefig("05_how_many_components.png", dpi=110)
