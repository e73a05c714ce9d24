"""Displays of a mixture: the numbers in their artists, found again by another way."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from cases import dense_covariances
from gaussmix import GaussianMixture
from gaussmix.plot import DensityDisplay, EllipseDisplay, PairDisplay, UncertaintyDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def mixture(blobs):
    return GaussianMixture(3, random_state=0).fit(blobs)


def inside(ellipse, points):
    """Tell which points are inside an ellipse, from its centre, width, height and angle alone."""
    turn = np.radians(ellipse.angle)
    x, y = (points - ellipse.center).T
    along, across = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    return (along / (ellipse.width / 2)) ** 2 + (across / (ellipse.height / 2)) ** 2 <= 1


def test_ellipses_hold_the_share_that_chi_square_says(blobs, covariance_type):
    mixture = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(blobs)
    drawn = EllipseDisplay.from_estimator(mixture, features=[2, 0])
    rows, labels = mixture.sample(60_000, random_state=1)
    assert [len(ellipses) for ellipses in drawn.ellipses_] == [3] * 3
    for k, ellipses in enumerate(drawn.ellipses_):
        own = rows[labels == k][:, [2, 0]]
        for s, ellipse in zip((1, 2, 3), ellipses, strict=True):
            share = stats.chi2(2).cdf(s**2)
            error = np.sqrt(share * (1 - share) / len(own))
            assert abs(inside(ellipse, own).mean() - share) < 4.5 * error


def test_ellipses_solve_the_quadratic_form(mixture):
    drawn = EllipseDisplay.from_estimator(mixture, features=[0, 2], n_std=[0.5, 2.5])
    for k, ellipses in enumerate(drawn.ellipses_):
        matrix = mixture.covariances_[k][np.ix_([0, 2], [0, 2])]
        for s, ellipse in zip((0.5, 2.5), ellipses, strict=True):
            path = ellipse.get_patch_transform().transform(ellipse.get_path().vertices[:-1:3])  # points on the rim
            off = path - mixture.means_[k, [0, 2]]
            np.testing.assert_allclose(np.einsum("ni,ij,nj->n", off, np.linalg.inv(matrix), off), s**2, rtol=1e-3)


@pytest.mark.parametrize("angle", [-80, -45, 0, 30, 90])
def test_angle_width_and_height_by_hand(angle):
    turn = np.radians(angle)
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = axes @ np.diag([9.0, 0.25]) @ axes.T
    ((ellipse,),) = EllipseDisplay(weights=[1], means=[[1, 2]], covariances=[matrix]).plot(n_std=[2]).ellipses_
    assert ellipse.width == pytest.approx(12)
    assert ellipse.height == pytest.approx(2)
    assert np.sin(np.radians(ellipse.angle - angle)) == pytest.approx(0, abs=1e-12)
    assert tuple(ellipse.center) == (1, 2)


def test_a_singular_covariance_is_a_line():
    ((ellipse,),) = EllipseDisplay(weights=[1], means=[[0, 0]], covariances=[np.ones((2, 2))]).plot(n_std=[1]).ellipses_
    assert ellipse.width == pytest.approx(2 * np.sqrt(2))
    assert ellipse.height == pytest.approx(0, abs=1e-7)
    assert ellipse.angle % 180 == pytest.approx(45)


def test_opacity_rises_with_weight():
    drawn = EllipseDisplay(weights=[0, 0.25, 0.75], means=np.zeros((3, 2)), covariances=[np.eye(2)] * 3).plot()
    edges = [ellipses[0].get_edgecolor()[3] for ellipses in drawn.ellipses_]
    np.testing.assert_allclose(edges, [0.2, 0.2 + 0.8 / 3, 1])


def test_rows_have_the_colour_of_their_component_and_the_size_of_their_certainty(mixture, blobs):
    drawn = EllipseDisplay.from_estimator(mixture, blobs, features=[1, 2])
    np.testing.assert_array_equal(drawn.scatter_.get_offsets(), blobs[:, [1, 2]])
    responsibilities = mixture.predict_proba(blobs)
    colours = np.array([ellipses[0].get_facecolor()[:3] for ellipses in drawn.ellipses_])
    np.testing.assert_array_equal(drawn.scatter_.get_facecolors()[:, :3], colours[mixture.predict(blobs)])
    order = np.argsort(responsibilities.max(axis=1))
    assert (np.diff(drawn.scatter_.get_sizes()[order]) >= 0).all()
    assert np.ptp(drawn.scatter_.get_sizes()) > 5
    drawn.plot(certainty_as="alpha")
    assert (np.diff(drawn.scatter_.get_facecolors()[order, 3]) >= 0).all()
    assert np.ptp(drawn.scatter_.get_sizes()) == 0
    assert [number.get_text() for number in drawn.numbers_] == ["0", "1", "2"]
    np.testing.assert_array_equal([number.xy for number in drawn.numbers_], mixture.means_[:, [1, 2]])


def test_aspect_is_equal_for_ranges_alike():
    def aspect(scale, **keywords):
        display = EllipseDisplay(weights=[1], means=[[0, 0]], covariances=[np.diag([1, scale**2])])
        return display.plot(**keywords).ax_.get_aspect()

    assert aspect(3) == 1
    assert aspect(10) == "auto"
    assert aspect(10, aspect="equal") == 1
    assert aspect(3, aspect="auto") == "auto"
    with pytest.raises(ValueError, match="aspect must be"):
        aspect(3, aspect="square")


@pytest.mark.parametrize(
    ("keywords", "match"),
    [({"n_std": [0]}, "n_std must"), ({"n_std": 2}, "n_std must"), ({"certainty_as": "hue"}, "certainty_as must be")],
)
def test_wrong_keywords_of_ellipses(keywords, match):
    with pytest.raises(ValueError, match=match):
        EllipseDisplay(weights=[1], means=[[0, 0]], covariances=[np.eye(2)]).plot(**keywords)


def test_wrong_data_of_ellipses():
    with pytest.raises(ValueError, match="means and covariances must have the shapes"):
        EllipseDisplay(weights=[1], means=[[0, 0, 0]], covariances=[np.eye(3)])
    with pytest.raises(ValueError, match="labels must be given with points"):
        EllipseDisplay(weights=[1], means=[[0, 0]], covariances=[np.eye(2)], points=[[0, 0]])
    with pytest.raises(ValueError, match="labels has length 2, but points has 1"):
        EllipseDisplay(weights=[1], means=[[0, 0]], covariances=[np.eye(2)], points=[[0, 0]], labels=[0, 0])


def test_density_of_all_features_is_that_of_score_samples(blobs):
    mixture = GaussianMixture(3, random_state=0).fit(blobs[:, :2])
    drawn = DensityDisplay.from_estimator(mixture, blobs[:, :2], grid_resolution=30)
    x, y = drawn.grid
    places = np.column_stack([np.tile(x, 30), np.repeat(y, 30)])
    np.testing.assert_array_equal(drawn.log_density.ravel(), mixture.score_samples(places))
    assert x[0] < blobs[:, 0].min() < blobs[:, 0].max() < x[-1]
    swapped = DensityDisplay.from_estimator(mixture, blobs[:, :2], features=[1, 0], grid_resolution=30)
    np.testing.assert_allclose(swapped.log_density, drawn.log_density.T, rtol=1e-10)


def test_density_of_a_pair_is_the_marginal(blobs, covariance_type):
    mixture = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(blobs)
    drawn = DensityDisplay.from_estimator(mixture, blobs, features=[2, 0], grid_resolution=8)
    places = np.stack(np.meshgrid(*drawn.grid), axis=-1)
    matrices = dense_covariances(mixture)[:, [2, 0]][:, :, [2, 0]]
    expected = logsumexp(
        [
            np.log(w) + stats.multivariate_normal(mean, matrix).logpdf(places)
            for w, mean, matrix in zip(mixture.weights_, mixture.means_[:, [2, 0]], matrices, strict=True)
        ],
        axis=0,
    )
    np.testing.assert_allclose(drawn.log_density, expected, rtol=1e-8)


def test_contours_are_at_their_levels_and_hold_the_mass(mixture, blobs):
    drawn = DensityDisplay.from_estimator(mixture, blobs, levels=[-9.0, -6.0, -4.0])
    np.testing.assert_array_equal(drawn.contours_.levels, [-9, -6, -4])
    np.testing.assert_array_equal(drawn.scatter_.get_offsets(), blobs[:, :2])
    assert drawn.colorbar_.ax.get_ylabel() == "log-density [nats]"
    assert drawn.plot(colorbar=False).colorbar_ is None
    drawn.plot()
    x, y = drawn.grid
    cell = (x[1] - x[0]) * (y[1] - y[0])
    assert len(drawn.contours_.levels) - 1 <= 8
    mass = cell * np.exp(drawn.log_density[drawn.log_density >= drawn.contours_.levels[0]]).sum()
    assert 0.98 < mass <= 1
    assert drawn.contours_.levels[-1] >= drawn.log_density.max()
    # A vertex of the lowest contour has its log-density.
    reduced = GaussianMixture.from_parameters(mixture.weights_, mixture.means_[:, :2], mixture.covariances_[:, :2, :2])
    lines = drawn.ax_.contour(*drawn.grid, drawn.log_density, levels=drawn.contours_.levels[:1])
    np.testing.assert_allclose(
        reduced.score_samples(lines.get_paths()[0].vertices), drawn.contours_.levels[0], atol=0.05
    )


@pytest.mark.parametrize("name", ["c", "color", "facecolor", "facecolors"])
def test_keywords_of_artists_go_by_any_of_their_names(mixture, blobs, name):
    drawn = EllipseDisplay.from_estimator(mixture, blobs, scatter_kw={name: "red", "lw": 2}, ellipse_kw={"fc": "none"})
    assert tuple(drawn.scatter_.get_facecolors()[0][:3]) == (1, 0, 0)
    assert drawn.scatter_.get_linewidths() == [2]
    assert drawn.ellipses_[0][0].get_facecolor() == (0, 0, 0, 0)
    curve = DensityDisplay.from_estimator(mixture, features=0, line_kw={"lw": 5, "c": "red"}).line_
    assert (curve.get_linewidth(), curve.get_color()) == (5, "red")
    contours = DensityDisplay.from_estimator(mixture, contour_kw={"colors": ["red", "blue"]}).contours_
    assert tuple(contours.get_facecolor()[0][:3]) == (1, 0, 0)


@pytest.mark.parametrize("levels", [0, [1.0], [2.0, 1.0], [[1.0, 2.0]]])
def test_wrong_levels(mixture, levels):
    with pytest.raises(ValueError, match="levels must be"):
        DensityDisplay.from_estimator(mixture, levels=levels)


@pytest.mark.parametrize(("value", "error"), [(1, ValueError), (10.0, TypeError), (True, TypeError)])
@pytest.mark.parametrize("display", [DensityDisplay, UncertaintyDisplay])
def test_wrong_resolution(display, blobs, value, error):
    mixture = GaussianMixture(2, random_state=0).fit(blobs[:, :2])
    with pytest.raises(error, match="grid_resolution must be"):
        display.from_estimator(mixture, grid_resolution=value)


@pytest.mark.parametrize("features", [1, "b", ["b"]])
def test_curve_components_and_histogram(blobs, covariance_type, features):
    X = pytest.importorskip("pandas").DataFrame(blobs, columns=list("abc"))
    mixture = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    drawn = DensityDisplay.from_estimator(mixture, X, features=features)
    x, density = drawn.line_.get_data()
    terms = [
        w * stats.norm(mean[1], np.sqrt(matrix[1, 1])).pdf(x)
        for w, mean, matrix in zip(mixture.weights_, mixture.means_, dense_covariances(mixture), strict=True)
    ]
    np.testing.assert_allclose(density, np.sum(terms, axis=0), rtol=1e-8)
    for line, term in zip(drawn.component_lines_, terms, strict=True):
        np.testing.assert_allclose(line.get_ydata(), term, rtol=1e-8)
    heights, edges, _ = drawn.histogram_.get_data()
    assert (heights * np.diff(edges)).sum() == pytest.approx(1)
    np.testing.assert_allclose(heights * np.diff(edges) * len(X), np.histogram(blobs[:, 1], edges)[0], atol=1e-9)
    assert drawn.ax_.get_xlabel() == "b"


def test_weights_of_rows_in_the_histogram(blobs):
    mixture = GaussianMixture(2, random_state=0).fit(blobs)
    weights = np.arange(200.0)
    drawn = DensityDisplay.from_estimator(mixture, blobs, features=0, sample_weight=weights)
    heights, edges = drawn.histogram
    np.testing.assert_allclose(
        heights * np.diff(edges), np.histogram(blobs[:, 0], edges, weights=weights)[0] / weights.sum()
    )
    with pytest.raises(ValueError, match="sample_weight is for the histogram"):
        DensityDisplay.from_estimator(mixture, blobs, sample_weight=weights)


def test_outliers_and_equal_rows_do_not_explode_the_histogram():
    mixture = GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]])
    for far in (1e9, 0.0):
        rows = np.r_[np.zeros(500), far][:, None]
        assert len(DensityDisplay.from_estimator(mixture, rows).histogram[0]) <= 100


def test_a_narrow_component_is_seen():
    mixture = GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [3.3]], [[[25.0]], [[1e-8]]])
    drawn = DensityDisplay.from_estimator(mixture)
    assert np.exp(drawn.log_density).max() == pytest.approx(0.5 / np.sqrt(2 * np.pi * 1e-8), rel=1e-3)


@pytest.mark.parametrize("features", [[0, 1], [1, 0]])
def test_uncertainty_of_rows_and_places(blobs, features):
    mixture = GaussianMixture(3, random_state=0).fit(blobs[:, :2])
    drawn = UncertaintyDisplay.from_estimator(mixture, blobs[:, :2], features=features, grid_resolution=20)
    doubt = 1 - mixture.predict_proba(blobs[:, :2]).max(axis=1)
    order = np.argsort(doubt, kind="stable")
    np.testing.assert_array_equal(drawn.scatter_.get_offsets(), blobs[order][:, features])
    np.testing.assert_allclose(drawn.scatter_.get_sizes(), 5 + 60 * doubt[order])
    colours = matplotlib.colors.to_rgba_array(["#0072B2", "#D55E00", "#009E73"])[:, :3]
    np.testing.assert_array_equal(drawn.scatter_.get_facecolors()[:, :3], colours[mixture.predict(blobs[:, :2])[order]])
    x, y = drawn.grid
    place = np.empty((1, 2))
    place[0, features] = x[13], y[4]
    assert drawn.grid_uncertainty[4, 13] == 1 - mixture.predict_proba(place).max()
    assert drawn.contours_.levels[0] == 0
    assert drawn.contours_.levels[-1] >= 1 - 1 / 3


def test_uncertainty_over_one_feature(blobs):
    mixture = GaussianMixture(2, random_state=0).fit(blobs[:, :1])
    drawn = UncertaintyDisplay.from_estimator(mixture, blobs[:, :1])
    x, y = drawn.line_.get_data()
    np.testing.assert_array_equal(y, 1 - mixture.predict_proba(x[:, None]).max(axis=1))
    offsets = np.asarray(drawn.scatter_.get_offsets())
    np.testing.assert_array_equal(offsets[:, 1], 1 - mixture.predict_proba(offsets[:, :1]).max(axis=1))


def test_uncertainty_over_more_features_is_that_of_all(mixture, blobs):
    drawn = UncertaintyDisplay.from_estimator(mixture, blobs)
    assert drawn.contours_ is None
    np.testing.assert_array_equal(drawn.uncertainty, 1 - mixture.predict_proba(blobs).max(axis=1))
    assert drawn.legend_.get_title().get_text() == "probability of\na wrong label"
    assert drawn.legend_.get_texts()[0].get_text() == "0.00"
    with pytest.raises(ValueError, match="X must be given"):
        UncertaintyDisplay.from_estimator(mixture)


def test_wrong_data_of_uncertainty():
    with pytest.raises(ValueError, match="points or grid must be given"):
        UncertaintyDisplay()
    with pytest.raises(ValueError, match="labels and uncertainty must be given with points"):
        UncertaintyDisplay(points=[[0, 0]])
    with pytest.raises(ValueError, match="grid_uncertainty must be given with grid"):
        UncertaintyDisplay(grid=[[0, 1], [0, 1, 2]], grid_uncertainty=np.zeros((2, 3)))


def test_pairs_are_the_displays_of_their_marginals(mixture, blobs):
    drawn = PairDisplay.from_estimator(mixture, blobs, features=[2, 0, 1])
    assert drawn.axes_.shape == (3, 3)
    assert set(drawn.ellipse_displays_) == {(1, 0), (2, 0), (2, 1)}
    for (i, j), cell in drawn.ellipse_displays_.items():
        alone = EllipseDisplay.from_estimator(mixture, blobs, features=[[2, 0, 1][j], [2, 0, 1][i]])
        assert cell.ax_ is drawn.axes_[i, j]
        for a, b in zip(cell.ellipses_, alone.ellipses_, strict=True):
            for one, other in zip(a, b, strict=True):
                assert (one.width, one.height, one.angle) == (other.width, other.height, other.angle)
                assert tuple(one.center) == tuple(other.center)
        offsets = np.asarray(cell.scatter_.get_offsets())
        np.testing.assert_array_equal(offsets, blobs[:, [[2, 0, 1][j], [2, 0, 1][i]]])
        np.testing.assert_array_equal(drawn.scatters_[j, i].get_offsets(), offsets[:, ::-1])
        assert drawn.scatters_[j, i].axes is drawn.axes_[j, i]
        assert not drawn.axes_[j, i].patches
    for i, feature in enumerate([2, 0, 1]):
        alone = DensityDisplay.from_estimator(mixture, blobs, features=feature, grid_resolution=300)
        np.testing.assert_array_equal(drawn.density_displays_[i].line_.get_data(), alone.line_.get_data())
        assert drawn.density_displays_[i].ax_ is drawn.axes_[i, i]
        assert drawn.axes_[2, i].get_xlabel() == drawn.axes_[i, 0].get_ylabel() == f"feature {feature}"
    for i, j in np.ndindex(3, 3):
        assert drawn.axes_[i, j].get_xlim() == drawn.axes_[0, j].get_xlim()
        low, high = drawn.axes_[i, j].get_xlim()
        assert low < blobs[:, [2, 0, 1][j]].min() < blobs[:, [2, 0, 1][j]].max() < high


def test_cells_have_equal_scales_where_ranges_are_alike(mixture, blobs):
    drawn = PairDisplay.from_estimator(mixture, blobs)
    lengths = [np.ptp(cell.get_xlim()) for cell in drawn.axes_[0]]
    np.testing.assert_allclose(lengths, lengths[0])
    wide = GaussianMixture(2, random_state=0).fit(blobs * [1, 1, 1000])
    lengths = [np.ptp(cell.get_xlim()) for cell in PairDisplay.from_estimator(wide, blobs * [1, 1, 1000]).axes_[0]]
    assert lengths[2] > 100 * lengths[0]


def test_pairs_of_up_to_eight_features():
    X = np.random.default_rng(0).standard_normal((60, 9))
    mixture = GaussianMixture(1).fit(X)
    with pytest.raises(ValueError, match=r"features must be given: .* 8 are shown at most"):
        PairDisplay.from_estimator(mixture, X)
    with pytest.raises(ValueError, match="features must choose 1 to 8"):
        PairDisplay.from_estimator(mixture, X, features=range(9))
    drawn = PairDisplay.from_estimator(mixture, X, features=range(1, 9), numbers=False)
    assert len(drawn.ellipse_displays_) == 28
    _, axes = plt.subplots(3, 3)
    with pytest.raises(ValueError, match=r"ax must have the shape \(2, 2\)"):
        PairDisplay.from_estimator(mixture, X, features=[0, 1], ax=axes)
    assert PairDisplay.from_estimator(mixture, X, features=[5, 4, 3], ax=axes).axes_[1, 2] is axes[1, 2]


def test_curves_of_one_feature_have_names(mixture, blobs):
    drawn = DensityDisplay.from_estimator(mixture, blobs, features=0)
    assert [text.get_text() for text in drawn.legend_.get_texts()] == ["rows", "mixture"]
    assert drawn.plot(legend=False).legend_ is None
