"""gaussmix.plot as a whole: import, arguments, features, and what holds for every display of a mixture."""

import inspect
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture as Peer
from sklearn.model_selection import GridSearchCV

import gaussmix.plot
from gaussmix import GaussianMixture
from gaussmix.plot import DensityDisplay, EllipseDisplay, PairDisplay, UncertaintyDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

OF_MIXTURES = [EllipseDisplay, DensityDisplay, UncertaintyDisplay, PairDisplay]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def mixture(blobs):
    return GaussianMixture(3, random_state=0).fit(blobs)


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("module", ["gaussmix", "gaussmix.plot"])
def test_import_does_not_import_matplotlib(module):
    done = run(f"import sys, {module}; assert not any(m.startswith('matplotlib') for m in sys.modules)")
    assert done.returncode == 0, done.stderr


def test_without_matplotlib_the_error_says_how_to_install_it():
    done = run(
        "import sys; sys.modules['matplotlib'] = None; from gaussmix import plot\n"
        "for name in plot.__all__:\n"
        "    try: getattr(plot, name).from_estimator(None)\n"
        "    except ImportError as error: print(error)\n"
    )
    message = "{} needs matplotlib, which is missing: pip install gaussmix[plot]"
    assert done.stdout.splitlines() == [message.format(name) for name in gaussmix.plot.__all__], done.stderr


def test_without_matplotlib_a_display_can_be_made_but_not_drawn():
    make = "plot.CriterionDisplay(n_components=[1], covariance_type=['full'], values=[1.0])"
    done = run(f"import sys; sys.modules['matplotlib'] = None; from gaussmix import plot\nd = {make}\nd.plot()")
    assert "line 3" in done.stderr
    assert "pip install gaussmix[plot]" in done.stderr


@pytest.mark.parametrize("name", gaussmix.plot.__all__)
def test_displays_keep_to_the_convention(name):
    display = getattr(gaussmix.plot, name)
    parameters = inspect.signature(display.__init__).parameters
    assert all(p.kind is p.KEYWORD_ONLY for key, p in parameters.items() if key != "self")
    assert "ax" in inspect.signature(display.plot).parameters
    assert "ax" in inspect.signature(display.from_estimator).parameters
    for method in (display, display.plot, display.from_estimator):
        assert "Raises\n" in method.__doc__


@pytest.mark.parametrize("display", OF_MIXTURES)
def test_plot_again_draws_the_same_elsewhere(display, mixture, blobs):
    first = display.from_estimator(mixture, blobs)
    kept = {key: value for key, value in vars(first).items() if not key.endswith("_")}
    assert not any(isinstance(value, matplotlib.artist.Artist) for value in kept.values())
    figure = first.figure_
    assert first.plot() is first
    assert first.figure_ is not figure
    assert all(value is vars(first)[key] for key, value in kept.items())


@pytest.mark.parametrize("display", OF_MIXTURES[:3])
def test_given_axes_are_used(display, mixture, blobs):
    _, ax = plt.subplots()
    drawn = display.from_estimator(mixture, blobs, ax=ax)
    assert drawn.ax_ is ax
    assert drawn.figure_ is ax.figure
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("feature 0", "feature 1")


@pytest.mark.parametrize("display", OF_MIXTURES)
@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"features": [0, 3]}, ValueError, "features has the index 3, but indices go from 0 to 2"),
        ({"features": [0, -1]}, ValueError, "index -1"),
        ({"features": [1, 1]}, ValueError, "features must differ"),
        ({"features": [0, 1.0]}, TypeError, "features must be indices or names, but got 1.0"),
        ({"features": [0, True]}, TypeError, "features must be indices or names"),
        ({"features": [0, "petal"]}, ValueError, "fitted to rows without names; give indices 0 ... 2"),
        ({"features": []}, ValueError, "features must choose"),
        ({"features": 1.5}, TypeError, "features must be indices or names, but got 1.5"),
        ({"max_points": 0}, ValueError, "max_points must be at least 1"),
        ({"max_points": 10.0}, TypeError, "max_points must be an integer or None"),
        ({"ax": "left"}, TypeError, "ax must be"),
        ({"features": [0, None]}, TypeError, "features must be indices or names, but got None"),
    ],
    ids=repr,
)
def test_wrong_arguments(display, mixture, blobs, arguments, error, match):
    with pytest.raises(error, match=match):
        display.from_estimator(mixture, blobs, **arguments)


@pytest.mark.parametrize("display", OF_MIXTURES)
def test_wrong_estimators_and_rows(display, mixture, blobs):
    with pytest.raises(NotFittedError):
        display.from_estimator(clone(mixture), blobs)
    with pytest.raises(TypeError, match="estimator instance"):
        display.from_estimator(blobs, blobs)
    search = GridSearchCV(clone(mixture), {"n_components": [3]})
    search.best_estimator_ = mixture
    with pytest.raises(TypeError, match="pass its best_estimator_"):
        display.from_estimator(search, blobs)
    with pytest.raises(ValueError, match="NaN"):
        display.from_estimator(mixture, np.where(blobs > 4, np.nan, blobs))
    with pytest.raises(ValueError, match="expecting 3 features"):
        display.from_estimator(mixture, blobs[:, :2])


@pytest.mark.parametrize("display", OF_MIXTURES)
@pytest.mark.parametrize("frame", ["pandas", "polars"])
def test_features_by_name(display, blobs, frame):
    X = pytest.importorskip(frame).DataFrame(dict(zip("abc", blobs.T, strict=True)))
    mixture = GaussianMixture(3, random_state=0).fit(X)
    if not hasattr(mixture, "feature_names_in_"):
        pytest.skip("this scikit-learn does not see the names in this frame")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = display.from_estimator(mixture, X, features=["c", "a"], max_points=50)
    cell = drawn.axes_[1, 0] if display is PairDisplay else drawn.ax_
    assert (cell.get_xlabel(), cell.get_ylabel()) == (("c", "a"))
    points = np.asarray(drawn.points)
    assert points.shape == (50, 2)
    assert {tuple(p) for p in points} <= {tuple(p) for p in blobs[:, [2, 0]]}
    with pytest.raises(ValueError, match="name 'z', but the estimator knows a, b, c"):
        display.from_estimator(mixture, X, features=["z", "a"])


@pytest.mark.parametrize("display", OF_MIXTURES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_type_with_one_component_one_dtype(display, blobs, covariance_type, dtype):
    X = blobs.astype(dtype)
    mixture = GaussianMixture(1, covariance_type=covariance_type).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # matplotlib's own use of what it needs
        drawn = display.from_estimator(mixture, X)
        drawn.figure_.canvas.draw()
    np.testing.assert_array_equal(drawn.points, X[:, : drawn.points.shape[1]].astype(float))


@pytest.mark.parametrize("display", [DensityDisplay, UncertaintyDisplay, PairDisplay])
def test_one_feature(display, blobs):
    mixture = GaussianMixture(2, random_state=0).fit(blobs[:, :1])
    drawn = display.from_estimator(mixture, blobs[:, :1])
    drawn.figure_.canvas.draw()
    with pytest.raises(ValueError, match="use DensityDisplay"):
        EllipseDisplay.from_estimator(mixture, blobs[:, :1])


@pytest.mark.parametrize("display", OF_MIXTURES)
def test_without_weight_and_singular_in_float32(display):
    # Rounded to float32, the correlation of features 0 and 1 is 1.
    scale = np.array([1.0, 1.0, 2.0])
    matrix = np.array([[1, 1 - 1e-12, 0.3], [1 - 1e-12, 1, 0.3], [0.3, 0.3, 1]]) * np.outer(scale, scale)
    mixture = GaussianMixture.from_parameters([1.0, 0.0], [[0.0] * 3, [3.0] * 3], [matrix, np.eye(3)])
    X = mixture.sample(100, random_state=0)[0].astype(np.float32)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        setattr(mixture, name, getattr(mixture, name).astype(np.float32))
    assert np.linalg.det(mixture.covariances_[0, :2, :2]) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # matplotlib's own use of what it needs
        drawn = display.from_estimator(mixture, X)
        drawn.figure_.canvas.draw()
    if display is DensityDisplay:
        assert np.isfinite(drawn.log_density).all()


def test_a_subsample_is_the_same_each_time_and_can_be_turned_off(mixture):
    X = mixture.sample(5000, random_state=0)[0]
    points = [EllipseDisplay.from_estimator(mixture, X).points for _ in range(2)]
    np.testing.assert_array_equal(points[0], points[1])
    assert points[0].shape == (2000, 2)
    rows = {tuple(row) for row in X[:, :2]}
    assert len({tuple(p) for p in points[0]} & rows) == 2000
    np.testing.assert_array_equal(EllipseDisplay.from_estimator(mixture, X, max_points=None).points, X[:, :2])


def test_scikit_learns_mixtures_are_drawn_as_well(blobs, covariance_type):
    theirs = Peer(2, covariance_type=covariance_type, random_state=0).fit(blobs)
    ours = GaussianMixture.from_sklearn(theirs)
    a, b = (DensityDisplay.from_estimator(one, blobs, features=[0, 2]) for one in (theirs, ours))
    np.testing.assert_allclose(a.log_density, b.log_density)


def test_colours_can_be_given_and_must_be_some(mixture):
    drawn = EllipseDisplay.from_estimator(mixture, colors=["red", "blue"])
    assert [ellipses[0].get_facecolor()[:3] for ellipses in drawn.ellipses_] == [(1, 0, 0), (0, 0, 1), (1, 0, 0)]
    with pytest.raises(ValueError, match="colors must hold at least one colour"):
        EllipseDisplay.from_estimator(mixture, colors=[])


def test_colours_are_distinct_up_to_eight_and_beyond():
    for k in (1, 8, 9, 30):
        display = EllipseDisplay(
            weights=np.full(k, 1 / k), means=np.zeros((k, 2)), covariances=np.tile(np.eye(2), (k, 1, 1))
        )
        display.plot()
        colours = {tuple(ellipses[0].get_facecolor()[:3]) for ellipses in display.ellipses_}
        assert len(colours) == k
