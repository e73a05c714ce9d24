"""Each display beside a picture of it that was looked at; GAUSSMIX_NEW_BASELINES=1 draws the pictures anew."""

import numpy as np
import pytest

from gaussmix import GaussianMixture
from gaussmix.plot import (
    ConvergenceDisplay,
    CriterionDisplay,
    DensityDisplay,
    EllipseDisplay,
    PairDisplay,
    UncertaintyDisplay,
)

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from pictures import difference, new_axes  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def mixture(tilt=0.8):
    """Return a mixture that no fit can change."""
    covariances = [[[1, tilt], [tilt, 1]], [[0.5, -0.3], [-0.3, 1]], [[2, 0], [0, 0.3]]]
    return GaussianMixture.from_parameters([0.5, 0.3, 0.2], [[0, 0], [4, 1], [1, 5]], covariances)


def rows():
    """Return rows on a lattice: no random numbers."""
    return np.stack(np.meshgrid(np.linspace(-3, 6, 6), np.linspace(-3, 7, 6)), axis=-1).reshape(-1, 2)


def ellipses(**change):
    return EllipseDisplay.from_estimator(mixture(**change), rows(), ax=new_axes())


def density_of_two(**change):
    return DensityDisplay.from_estimator(mixture(**change), rows(), ax=new_axes())


def density_of_one(feature=1):
    return DensityDisplay.from_estimator(mixture(), rows(), features=feature, ax=new_axes())


def uncertainty(**change):
    return UncertaintyDisplay.from_estimator(mixture(**change), rows(), ax=new_axes())


def pairs(**change):
    return PairDisplay.from_estimator(mixture(**change), rows(), ax=new_axes(2, 2))


def criterion(value=4.0):
    values = [9.0, 6.0, value, 5.0, 9.5, np.nan, 7.0, 6.5]
    kinds = ["full"] * 4 + ["diag"] * 4
    display = CriterionDisplay(n_components=[1, 2, 3, 4] * 2, covariance_type=kinds, values=values)
    return display.plot(new_axes())


def convergence(value=-2.2):
    display = ConvergenceDisplay(
        lower_bounds=[[-4.0, -2.5, value, -2.1], [-3.5, -2.9, -2.8]],
        converged=[True, False],
        best=0,
        events=[("floored", 1, 2)],
    )
    return display.plot(new_axes())


# Each with a change of a number that is drawn.
PICTURES = [
    (ellipses, {"tilt": 0.5}),
    (density_of_two, {"tilt": 0.5}),
    (density_of_one, {"feature": 0}),
    (uncertainty, {"tilt": 0.5}),
    (pairs, {"tilt": 0.5}),
    (criterion, {"value": 5.5}),
    (convergence, {"value": -2.6}),
]


@pytest.mark.parametrize("draw", [draw for draw, _ in PICTURES])
def test_picture(draw, tmp_path):
    found = difference(draw().figure_, draw.__name__, tmp_path)
    assert found is None, found


@pytest.mark.parametrize(("draw", "change"), PICTURES)
def test_a_change_is_seen(draw, change, tmp_path, monkeypatch):
    monkeypatch.delenv("GAUSSMIX_NEW_BASELINES", raising=False)
    assert difference(draw(**change).figure_, draw.__name__, tmp_path) is not None
