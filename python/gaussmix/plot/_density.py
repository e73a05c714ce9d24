"""The density of a mixture over one feature or two."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._validation import check_rows, check_weights_of_rows
from gaussmix.plot._axes import (
    INK,
    check_matplotlib,
    component_colors,
    despine,
    draw_legend,
    draw_numbers,
    figure_and_axes,
    override,
    set_aspect,
)
from gaussmix.plot._marginal import Marginal, check_features, check_mixture, draw_rows, extent, marginal, over_features

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MASS_INSIDE = 0.99  # of the density on the grid, inside the lowest default contour


class DensityDisplay:
    r"""Density of a mixture: contours of its logarithm over two features, or a curve over one.

    Over one feature the curve :math:`p(x) = \sum_k \pi_k N(x \mid \mu_k, \sigma_k^2)` and its terms are drawn over a
    histogram of the rows, scaled to area 1. Of further features the marginal is taken. The histogram has the bins of
    Freedman and Diaconis (1981), "On the histogram as a density estimator": at most 100, and at least 10 or the root of
    the number of rows, up to 50.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    grid : sequence of 1 or 2 array-like
        Where the density was evaluated: of shape (n_grid,), or (n_x,) and (n_y,), increasing, in units of the features.
    log_density : array-like of shape (n_grid,) or (n_y, n_x)
        Log-density at these places, in nats.
    component_log_densities : array-like of shape (n_components, n_grid), default=None
        Logarithms of the terms of the sum; for one feature only.
    points : array-like of shape (n_points, 2), default=None
        Rows to draw; for two features only.
    histogram : tuple of array-like of shape (n_bins,) and (n_bins + 1,), default=None
        Heights and edges of the bins; for one feature only.
    feature_names : sequence of str, default=None
        Labels of the axes, one a feature.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the density.
    figure_ : matplotlib Figure
        Figure that holds them.
    contours_ : matplotlib QuadContourSet or None
        Filled contours of the log-density; their `levels` are in nats.
    legend_ : matplotlib Legend or None
        Names of the curves of one feature.
    colorbar_ : matplotlib Colorbar or None
        Its scale.
    scatter_ : matplotlib PathCollection or None
        The rows.
    line_ : matplotlib Line2D or None
        The density over one feature.
    component_lines_ : list of matplotlib Line2D
        Its terms, one a component.
    histogram_ : matplotlib StepPatch or None
        The histogram.
    numbers_ : list of matplotlib Annotation
        Numbers of the components at the peaks of their terms.

    Raises
    ------
    ValueError
        If shapes do not fit together.

    See Also
    --------
    EllipseDisplay : The components themselves.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture
    >>> from gaussmix.plot import DensityDisplay
    >>> X = np.random.default_rng(0).standard_normal((100, 1))
    >>> display = DensityDisplay.from_estimator(GaussianMixture().fit(X), X)  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        grid: Sequence[ArrayLike],
        log_density: ArrayLike,
        component_log_densities: ArrayLike | None = None,
        points: ArrayLike | None = None,
        histogram: tuple[ArrayLike, ArrayLike] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.grid = tuple(np.asarray(axis, dtype=np.float64) for axis in grid)
        self.log_density: NDArray[np.float64] = np.asarray(log_density, dtype=np.float64)
        shape = tuple(len(axis) for axis in reversed(self.grid))
        if len(shape) not in (1, 2) or self.log_density.shape != shape:
            raise ValueError(
                f"log_density must have the shape (n_grid,) or (n_y, n_x) of its grid, {shape}, but got "
                f"{self.log_density.shape}."
            )
        terms = component_log_densities
        self.component_log_densities = None if terms is None else np.asarray(terms, dtype=np.float64)
        self.points = None if points is None else np.asarray(points, dtype=np.float64)
        self.histogram = None if histogram is None else tuple(np.asarray(part, dtype=np.float64) for part in histogram)
        self.feature_names = None if feature_names is None else list(feature_names)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        features: Sequence[int | str] | int | str | None = None,
        sample_weight: ArrayLike | None = None,
        grid_resolution: int | None = None,
        max_points: int | None = 2000,
        ax: Axes | None = None,
        **plot_kw: Any,
    ) -> Self:
        """Compute the density of a fitted mixture, and draw it with its rows.

        Parameters
        ----------
        estimator : GaussianMixture
            A fitted mixture.
        X : array-like of shape (n_samples, n_features), default=None
            Rows; they set the range of the axes and are drawn. None goes three standard deviations from the means.
        features : int, str or sequence of 1 or 2 of them, default=None
            Features of the axes, by index or name; None takes the first two, or the only one.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the histogram of one feature.
        grid_resolution : int, default=None
            Places along an axis where the density is evaluated, at least 2; None takes 500 for one feature and 120 x
            120 for two. The curve gets further ones near narrow components.
        max_points : int or None, default=2000
            Rows to draw at most over two features. Of more, so many are drawn at random without replacement, the same
            ones each time; None draws all. The histogram counts all rows.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **plot_kw
            Keywords of :meth:`plot`.

        Returns
        -------
        display : DensityDisplay
            With its artists.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            If an argument is not valid.
        """
        check_matplotlib("DensityDisplay")
        check_mixture(estimator)
        indices = check_features(estimator, features, range(1, 3))
        if len(indices) == 1:
            display = cls._of_one(estimator, X, indices, sample_weight, resolution(grid_resolution, 500))
        else:
            if sample_weight is not None:
                raise ValueError("sample_weight is for the histogram of one feature; leave it out, or choose one.")
            display = cls._of_two(estimator, X, indices, resolution(grid_resolution, 120), max_points)
        return display.plot(ax, **plot_kw)

    @classmethod
    def _of_one(cls, estimator: Any, X: Any, indices: list[int], sample_weight: Any, n_grid: int) -> Self:
        """Compute the density of one feature."""
        shown = marginal(estimator, indices)
        means, variances = shown.means[:, 0], shown.covariances[:, 0, 0]
        values, histogram = None, None
        if X is not None:
            rows = check_rows(estimator, X, reset=False)
            weights = check_weights_of_rows(sample_weight, rows)
            (j,) = indices
            values = np.asarray(rows.arrays[j] if len(rows.arrays) > 1 else rows.arrays[0].reshape(rows.shape)[:, j])
            histogram = freedman_diaconis(values.astype(np.float64), weights)
        grid = _refined(extent(values, means, variances), means, variances, n_grid)
        variances = np.maximum(variances, np.finfo(np.float32).tiny)[:, None]
        with np.errstate(divide="ignore"):  # a weight of 0 is a density of 0
            terms = np.log(shown.weights)[:, None] - 0.5 * (
                np.log(2 * np.pi * variances) + (grid - means[:, None]) ** 2 / variances
            )
        return cls(
            grid=(grid,),
            log_density=over_features(estimator, indices).score_samples(grid[:, None]),
            component_log_densities=terms,
            histogram=histogram,
            feature_names=shown.feature_names,
        )

    @classmethod
    def _of_two(cls, estimator: Any, X: Any, indices: list[int], n_grid: int, max_points: int | None) -> Self:
        """Compute the density of two features."""
        shown = marginal(estimator, indices)
        points = None if X is None else draw_rows(estimator, X, indices, max_points).points
        x, y = plane_grid(shown, points, n_grid)
        places = np.stack(np.meshgrid(x, y), axis=-1)
        log_density = over_features(estimator, indices).score_samples(places.reshape(-1, 2))
        return cls(
            grid=(x, y),
            log_density=np.asarray(log_density).reshape(places.shape[:2]),
            points=points,
            feature_names=shown.feature_names,
        )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        levels: int | ArrayLike = 8,
        cmap: Any = None,
        numbers: bool = True,
        colorbar: bool = True,
        legend: bool = True,
        colors: Sequence[Any] | None = None,
        aspect: Literal["equal", "auto"] | None = None,
        contour_kw: dict[str, Any] | None = None,
        scatter_kw: dict[str, Any] | None = None,
        line_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the contours and the rows over them, or the curves over the histogram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        levels : int or array-like, default=8
            Log-densities of the contours, increasing, in nats; or the largest number of bands, at round numbers that
            reach from the contour with 99 % of the mass inside to the maximum.
        cmap : str or Colormap, default=None
            Colours of the contours; None takes matplotlib's "Blues".
        numbers : bool, default=True
            Whether to write the numbers of the components at the peaks of their curves.
        colorbar : bool, default=True
            Whether to draw the scale of the contours, for two features.
        legend : bool, default=True
            Whether to say which curve is the mixture's, for one feature.
        colors : sequence of colours, default=None
            Colours of the components, in turn; None takes colour-blind-safe ones.
        aspect : {"equal", "auto"} or None, default=None
            Equal scales on both axes or not; None takes equal ones where the ranges differ by a factor of at most 4.
            It is for two features.
        contour_kw, scatter_kw, line_kw : dict, default=None
            Keywords of :meth:`matplotlib.axes.Axes.contourf`, :meth:`~matplotlib.axes.Axes.scatter` and, for the curve
            of the mixture, :meth:`~matplotlib.axes.Axes.plot`.

        Returns
        -------
        self : DensityDisplay
            With its artists.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        TypeError, ValueError
            If an argument is not valid.
        """
        plane = len(self.grid) == 2
        self.figure_, self.ax_ = figure_and_axes(ax, "DensityDisplay", (6.4, 5.2) if plane else (6.4, 4.0))
        self.contours_: Any = None
        self.colorbar_: Any = None
        self.legend_: Any = None
        self.scatter_: Any = None
        self.line_: Any = None
        self.component_lines_: list[Any] = []
        self.histogram_: Any = None
        self.numbers_: list[Any] = []
        if plane:
            self._plot_plane(self._levels(levels), "Blues" if cmap is None else cmap, colorbar, contour_kw, scatter_kw)
            set_aspect(self.ax_, aspect)
        else:
            self._plot_curves(numbers, colors, line_kw)
            if legend:
                self.legend_ = draw_legend(self.ax_, ax is None)
        return self

    def _plot_plane(
        self, levels: NDArray[np.float64], cmap: Any, colorbar: bool, contour_kw: Any, scatter_kw: Any
    ) -> None:
        ax = self.ax_
        style: dict[str, Any] = {
            "levels": levels,
            "cmap": cmap,
            "extend": "max" if levels[-1] < self.log_density.max() else "neither",
        }
        # Neither so pale that the lowest band is lost on white, nor so dark that the rows are lost on the highest.
        style |= {"vmin": levels[0] - 0.15 * np.ptp(levels), "vmax": levels[-1] + 0.4 * np.ptp(levels)}
        self.contours_ = ax.contourf(*self.grid, self.log_density, **override(style, contour_kw))
        if colorbar:
            self.colorbar_ = self.figure_.colorbar(self.contours_, ax=ax, label="log-density [nats]")
        if self.points is not None:
            dots: dict[str, Any] = {"s": 6, "c": INK, "alpha": 0.6, "linewidths": 0}
            self.scatter_ = ax.scatter(self.points[:, 0], self.points[:, 1], **override(dots, scatter_kw))
        if self.feature_names is not None:
            ax.set(xlabel=self.feature_names[0], ylabel=self.feature_names[1])

    def _plot_curves(self, numbers: bool, colors: Sequence[Any] | None, line_kw: dict[str, Any] | None) -> None:
        ax, (x,) = self.ax_, self.grid
        if self.histogram is not None:
            self.histogram_ = ax.stairs(*self.histogram, fill=True, color="0.85", label="rows")
        if self.component_log_densities is not None:
            terms = np.exp(self.component_log_densities)
            rgba = component_colors(len(terms), colors)
            for color, term in zip(rgba, terms, strict=True):
                self.component_lines_ += ax.plot(x, term, color=tuple(color), linewidth=1.3)
            if numbers:
                peaks = np.column_stack([x[terms.argmax(axis=1)], terms.max(axis=1)])
                self.numbers_ = draw_numbers(ax, peaks, rgba, 9)
        style: dict[str, Any] = {"color": "0.45", "linewidth": 3.0, "label": "mixture", "zorder": 1.9}
        (self.line_,) = ax.plot(x, np.exp(self.log_density), **override(style, line_kw))
        ax.margins(y=0.08)  # room for the numbers
        ax.set_ylim(bottom=0)
        ax.set_ylabel("density")
        if self.feature_names is not None:
            ax.set_xlabel(self.feature_names[0])
        despine(ax)

    def _levels(self, levels: Any) -> NDArray[np.float64]:
        """Return the log-densities of the contours."""
        if isinstance(levels, Integral):
            from matplotlib.ticker import MaxNLocator

            if int(levels) < 1:
                raise ValueError(f"levels must be at least 1, or the log-densities themselves, but got {levels}.")
            ranked = np.sort(self.log_density, axis=None)[::-1]
            mass = np.cumsum(np.exp(ranked - ranked[0]))
            lowest = ranked[np.searchsorted(mass, MASS_INSIDE * mass[-1])]
            if lowest == ranked[0]:  # all the mass is in one cell
                lowest = ranked[0] - 1
            nice = MaxNLocator(int(levels), steps=[1, 2, 2.5, 5, 10])
            return np.asarray(nice.tick_values(float(lowest), float(ranked[0])))
        given = np.asarray(levels, dtype=np.float64)
        if given.ndim != 1 or len(given) < 2 or not (np.diff(given) > 0).all():
            raise ValueError(f"levels must be an integer or at least two increasing log-densities, but got {levels!r}.")
        return given


def resolution(grid_resolution: Any, default: int) -> int:
    """Check the number of places along an axis.

    Raises
    ------
    TypeError, ValueError
        If it is not an integer, or less than 2.
    """
    if grid_resolution is None:
        return default
    if not isinstance(grid_resolution, Integral) or isinstance(grid_resolution, bool):
        raise TypeError(f"grid_resolution must be an integer or None, but got {grid_resolution!r}.")
    if grid_resolution < 2:
        raise ValueError(f"grid_resolution must be at least 2, but got {grid_resolution}.")
    return int(grid_resolution)


def plane_grid(shown: Marginal, points: NDArray[np.float64] | None, n: int) -> list[NDArray[np.float64]]:
    """Return the places along both axes of a picture."""
    ends = [
        extent(None if points is None else points[:, i], shown.means[:, i], shown.covariances[:, i, i])
        for i in range(2)
    ]
    return [np.linspace(low, high, n) for low, high in ends]


def _refined(
    ends: tuple[float, float], means: NDArray[np.float64], variances: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    """Return an even grid, with more places near narrow components: between even ones they would vanish."""
    near = means[:, None] + np.sqrt(np.maximum(variances, 0))[:, None] * np.linspace(-4, 4, 33)
    inside = near[(near >= ends[0]) & (near <= ends[1])]
    return np.unique(np.concatenate([np.linspace(*ends, n), inside]))


def freedman_diaconis(
    values: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return heights and edges of a histogram with area 1."""
    low, quarter, three_quarters, high = np.quantile(values, [0, 0.25, 0.75, 1])
    width = 2 * (three_quarters - quarter) / np.cbrt(len(values))
    # A far outlier would ask for millions of bins, many equal rows for infinitely many; clusters that lie apart for too
    # few, since they make the quartiles wide.
    bins = (high - low) / width if width * 100 > high - low else 100
    bins = int(np.ceil(np.clip(bins, max(10, min(np.sqrt(len(values)), 50)), 100)))
    return np.histogram(values, bins=bins if high > low else 10, weights=weights, density=True)
