"""Displays of a search and of fits: the numbers in their artists."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from gaussmix import FitEvent, GaussianMixture
from gaussmix.plot import ConvergenceDisplay, CriterionDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

BEST, OTHER = "#0072B2", "0.65"


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def search():
    """Return what stands in for a search: two types, three sizes, one failed candidate, not in order."""
    results = {
        "n_components": np.array([3, 1, 2, 1, 2, 3]),
        "covariance_type": np.array(["full", "full", "full", "diag", "diag", "diag"], dtype=object),
        "aic": np.array([9.0, 20, 10, 22, 18, 17]),
        "bic": np.array([13.0, 21, 12, 23, np.nan, 19]),
        "icl": np.array([15.0, 21, 14, 23, np.nan, 13.5]),
        "error": np.array([None] * 6),
    }
    return SimpleNamespace(results_=results, criterion="bic")


def test_lines_pass_through_the_results_and_failures_are_gaps(search):
    drawn = CriterionDisplay.from_estimator(search)
    assert list(drawn.lines_) == [("bic", "full"), ("bic", "diag")]
    np.testing.assert_array_equal(drawn.lines_["bic", "full"].get_data(), [[1, 2, 3], [21, 12, 13]])
    np.testing.assert_array_equal(drawn.lines_["bic", "diag"].get_data(), [[1, 2, 3], [23, np.nan, 19]])
    np.testing.assert_array_equal(drawn.minima_["bic"].get_data(), [[2], [12]])
    labels = [text.get_text() for text in drawn.legend_.get_texts()]
    assert labels == ["full", "diag", "lowest BIC: full, 2"]
    assert (drawn.ax_.get_xlabel(), drawn.ax_.get_ylabel()) == ("number of components", "BIC")
    assert all(tick == round(tick) for tick in drawn.ax_.get_xticks())


def test_several_criteria_have_dashes_and_minima_of_their_own(search):
    drawn = CriterionDisplay.from_estimator(search, criterion=["aic", "bic", "icl"])
    assert {line.get_linestyle() for (name, _), line in drawn.lines_.items() if name == "icl"} == {":"}
    colours = {kind: line.get_color() for (_, kind), line in drawn.lines_.items()}
    assert len(set(colours.values())) == 2
    assert all(line.get_color() == colours[kind] for (_, kind), line in drawn.lines_.items())
    minima = {name: tuple(ring.get_xydata()[0]) for name, ring in drawn.minima_.items()}
    assert minima == {"aic": (3, 9), "bic": (2, 12), "icl": (3, 13.5)}
    labels = [text.get_text() for text in drawn.legend_.get_texts()]
    assert labels[:2] == ["full", "diag"]
    assert labels[-3:] == ["AIC", "BIC", "ICL"]


def test_held_out_log_likelihood(search):
    search.results_["cv"] = np.array([1.0, 3, 2, 4, 3, 2.5])
    search.criterion = "cv"
    drawn = CriterionDisplay.from_estimator(search)
    assert drawn.ax_.get_ylabel() == "minus held-out log-likelihood [nats a row]"
    np.testing.assert_array_equal(drawn.minima_["cv"].get_xydata(), [[3, 1]])
    with pytest.raises(ValueError, match="'cv' is in nats a row, unlike the others"):
        CriterionDisplay.from_estimator(search, criterion=["cv", "bic"])


def test_candidates_that_share_a_place_count_by_the_lowest():
    drawn = CriterionDisplay(
        n_components=[2, 2, 2, 3], covariance_type=["full"] * 4, values=[5.0, 4.0, np.nan, 6.0], criterion="aic"
    ).plot()
    np.testing.assert_array_equal(drawn.lines_["aic", "full"].get_data(), [[2, 3], [4, 6]])


def test_wrong_criteria(search):
    for arguments, match in [
        ({"criterion": "dic"}, "criterion must be one of 'aic', 'bic', 'icl', 'cv'"),
        ({"criterion": []}, "criterion must be one of"),
        ({"criterion": ["aic", "aic"]}, "criterion must name each once"),
        ({"criterion": "cv"}, "criterion 'cv' is not in results_, which has 'aic', 'bic', 'icl'"),
    ]:
        with pytest.raises(ValueError, match=match):
            CriterionDisplay.from_estimator(search, **arguments)
    with pytest.raises(TypeError, match="without results_; pass a fitted search"):
        CriterionDisplay.from_estimator(GaussianMixture())
    with pytest.raises(ValueError, match="all candidates failed"):
        CriterionDisplay(n_components=[1], covariance_type=["full"], values=[np.nan])
    with pytest.raises(ValueError, match="covariance_type has length 2, but n_components has 1"):
        CriterionDisplay(n_components=[1], covariance_type=["full", "diag"], values=[1.0])
    with pytest.raises(ValueError, match="values must have one row for each criterion, 2"):
        CriterionDisplay(n_components=[1], covariance_type=["full"], values=[1.0], criterion=["aic", "bic"])


def ends_of(display):
    return [(line.get_marker(), tuple(line.get_xydata()[0])) for line in display.ends_]


def test_one_fit(blobs):
    mixture = GaussianMixture(3, random_state=0, tol=1e-6).fit(blobs)
    drawn = ConvergenceDisplay.from_estimator(mixture)
    (line,) = drawn.lines_
    np.testing.assert_array_equal(line.get_ydata(), mixture.lower_bounds_)
    np.testing.assert_array_equal(line.get_xdata(), np.arange(1, mixture.n_iter_ + 1))
    assert ends_of(drawn) == [("o", (mixture.n_iter_, mixture.lower_bounds_[-1]))]
    assert (drawn.ax_.get_xlabel(), drawn.ax_.get_ylabel()) == ("iteration", "mean log-likelihood [nats a row]")
    with pytest.warns(match="did not converge"):
        short = GaussianMixture(3, random_state=0, tol=0, max_iter=2).fit(blobs)
    drawn = ConvergenceDisplay.from_estimator(short)
    assert ends_of(drawn) == [("x", (2, short.lower_bounds_[1]))]
    assert [text.get_text() for text in drawn.legend_.get_texts()] == ["did not converge"]


def test_repairs_are_marked(blobs):
    mixture = GaussianMixture(2, random_state=0, tol=1e-6).fit(blobs)
    mixture.events_ = [
        FitEvent("floored", 1, 0, 3, True),
        FitEvent("reseeded", 0, 0, 0, True),
        FitEvent("floored", 0, 1, 2, False),
    ]
    drawn = ConvergenceDisplay.from_estimator(mixture)
    bounds = mixture.lower_bounds_
    np.testing.assert_array_equal(drawn.events_["floored"].get_xydata(), [[3, bounds[2]]])
    np.testing.assert_array_equal(drawn.events_["reseeded"].get_xydata(), [[1, bounds[0]]])


def test_a_real_repair_is_marked():
    rows = np.r_[np.zeros((20, 2)), np.random.default_rng(0).standard_normal((50, 2)) + 9]
    with pytest.warns(match="singular covariance"):
        mixture = GaussianMixture(2, reg_covar=0, random_state=0).fit(rows)
    drawn = ConvergenceDisplay.from_estimator(mixture)
    (event,) = [event for event in mixture.events_ if event.kept]
    assert drawn.events_["floored"].get_xdata()[0] == max(event.iteration, 1)


def test_every_restart_is_drawn_where_the_estimator_kept_them(blobs):
    mixture = GaussianMixture(2, random_state=0).fit(blobs)
    mixture.restarts_ = [
        SimpleNamespace(lower_bounds=[-9.0, -6.0], converged=True, kept=False),
        SimpleNamespace(lower_bounds=[], converged=False, kept=False),  # it failed
        SimpleNamespace(lower_bounds=[-8.0, -5.0, -4.0], converged=False, kept=True),
    ]
    mixture.events_ = [
        FitEvent("floored", 0, 0, 2, False),
        FitEvent("failed", -1, 1, 0, False),
        FitEvent("floored", 0, 2, 3, True),
    ]
    drawn = ConvergenceDisplay.from_estimator(mixture)
    assert [list(line.get_ydata()) for line in drawn.lines_] == [[-9, -6], [-8, -5, -4]]
    assert ends_of(drawn) == [("o", (2, -6)), ("x", (3, -4))]
    rgba = [matplotlib.colors.to_hex(line.get_color()) for line in drawn.lines_]
    assert rgba == [matplotlib.colors.to_hex(colour) for colour in (OTHER, BEST)]
    np.testing.assert_array_equal(drawn.events_["floored"].get_xydata(), [[2, -6], [3, -4]])
    labels = [text.get_text() for text in drawn.legend_.get_texts()]
    assert labels == ["best", "others", "component floored", "converged", "did not converge"]


def test_several_fits(blobs):
    fits = [GaussianMixture(3, random_state=seed, init_params="random_from_data").fit(blobs) for seed in range(4)]
    drawn = ConvergenceDisplay.from_estimators(fits)
    for line, fit in zip(drawn.lines_, fits, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), fit.lower_bounds_)
    assert drawn.best == np.argmax([fit.lower_bounds_[-1] for fit in fits])
    widths = [line.get_linewidth() for line in drawn.lines_]
    assert np.argmax(widths) == drawn.best
    named = ConvergenceDisplay.from_estimators(fits[:2], names=["seed 0", "seed 1"])
    assert [text.get_text() for text in named.legend_.get_texts()][:2] == ["seed 0", "seed 1"]
    assert len({line.get_color() for line in named.lines_}) == 2


def test_wrong_fits(blobs):
    with pytest.raises(NotFittedError):
        ConvergenceDisplay.from_estimator(GaussianMixture())
    made = GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]])
    with pytest.raises(ValueError, match="estimator has made no iteration"):
        ConvergenceDisplay.from_estimator(made)
    with pytest.raises(ValueError, match=r"estimators\[1\] has made no iteration"):
        ConvergenceDisplay.from_estimators([GaussianMixture().fit(blobs), made])
    with pytest.raises(TypeError, match="estimators must be a list"):
        ConvergenceDisplay.from_estimators(made)
    with pytest.raises(ValueError, match="lower_bounds must hold at least one curve"):
        ConvergenceDisplay.from_estimators([])
    with pytest.raises(ValueError, match="names has length 1, but lower_bounds has 2"):
        ConvergenceDisplay(lower_bounds=[[1.0], [2.0]], names=["a"])
    with pytest.raises(ValueError, match="best must be the index of a curve, 0 to 0"):
        ConvergenceDisplay(lower_bounds=[[1.0]], best=1)
    del made.lower_bounds_
    with pytest.raises(TypeError, match="without lower_bounds_"):
        ConvergenceDisplay.from_estimator(made)
