"""Up to eight features, two at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.plot._axes import LARGEST_RATIO, check_matplotlib, check_sizes, despine, override
from gaussmix.plot._density import DensityDisplay
from gaussmix.plot._ellipse import EllipseDisplay
from gaussmix.plot._marginal import check_features, check_mixture, draw_rows, marginal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_FEATURES = 8


class PairDisplay:
    """Scatter matrix of a mixture: ellipses below the diagonal, densities on it, the rows alone above it.

    A cell below the diagonal is an :class:`EllipseDisplay` and one on it a :class:`DensityDisplay`, of the marginals.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    weights : array-like of shape (n_components,)
        Weights of the components.
    means : array-like of shape (n_components, n_shown)
        Their means over the features shown, 1 to 8.
    covariances : array-like of shape (n_components, n_shown, n_shown)
        Their covariances.
    densities : sequence of n_shown DensityDisplay
        The density of each feature.
    points : array-like of shape (n_points, n_shown), default=None
        Rows to draw.
    labels : array-like of shape (n_points,), default=None
        Their components; needed with `points`.
    certainty : array-like of shape (n_points,), default=None
        Responsibilities of these components; None counts as 1.
    feature_names : sequence of n_shown str, default=None
        Labels of the axes.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_shown, n_shown)
        The cells.
    figure_ : matplotlib Figure
        Figure that holds them.
    ellipse_displays_ : dict of (int, int) to EllipseDisplay
        The cells below the diagonal, by row and column.
    density_displays_ : list of DensityDisplay
        The cells on the diagonal.
    scatters_ : dict of (int, int) to matplotlib PathCollection
        The rows above the diagonal, by row and column.

    Raises
    ------
    ValueError
        If shapes do not fit together, or there are more than 8 features.

    See Also
    --------
    EllipseDisplay : One pair of features.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture
    >>> from gaussmix.plot import PairDisplay
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> display = PairDisplay.from_estimator(GaussianMixture().fit(X), X)  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        densities: Sequence[DensityDisplay],
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        certainty: ArrayLike | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.weights: NDArray[np.float64] = np.asarray(weights, dtype=np.float64)
        self.means: NDArray[np.float64] = np.asarray(means, dtype=np.float64)
        self.covariances: NDArray[np.float64] = np.asarray(covariances, dtype=np.float64)
        self.densities = list(densities)
        k, p = len(self.weights), len(self.densities)
        if not 1 <= p <= MAX_FEATURES:
            raise ValueError(f"densities must be those of 1 to {MAX_FEATURES} features, but got {p}.")
        if self.means.shape != (k, p) or self.covariances.shape != (k, p, p):
            raise ValueError(
                f"means and covariances must have the shapes {(k, p)} and {(k, p, p)}, but got {self.means.shape} and "
                f"{self.covariances.shape}; from_estimator makes them."
            )
        self.points = None if points is None else np.asarray(points, dtype=np.float64)
        self.labels = None if labels is None else np.asarray(labels, dtype=np.int64)
        self.certainty = None if certainty is None else np.asarray(certainty, dtype=np.float64)
        if self.points is not None:
            if self.labels is None:
                raise ValueError("labels must be given with points: the components that colour them.")
            check_sizes(points=self.points, labels=self.labels, certainty=self.certainty)
        self.feature_names = None if feature_names is None else list(feature_names)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        features: Sequence[int | str] | None = None,
        max_points: int | None = 1000,
        ax: Any = None,
        **plot_kw: Any,
    ) -> Self:
        """Compute all marginals of one and two features of a fitted mixture, and draw them.

        Parameters
        ----------
        estimator : GaussianMixture
            A fitted mixture.
        X : array-like of shape (n_samples, n_features), default=None
            Rows to draw.
        features : sequence of 1 to 8 int or str, default=None
            Features, by index or name; None takes all, if they are not more than 8.
        max_points : int or None, default=1000
            Rows to draw at most in a cell. Of more, so many are drawn at random without replacement, the same ones
            each time; None draws all. The histograms count all rows.
        ax : array-like of matplotlib Axes of shape (n_shown, n_shown), default=None
            Where to draw; None makes a figure.
        **plot_kw
            Keywords of :meth:`plot`.

        Returns
        -------
        display : PairDisplay
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
        check_matplotlib("PairDisplay")
        check_mixture(estimator)
        d = np.shape(estimator.means_)[1]
        if features is None and d > MAX_FEATURES:
            raise ValueError(
                f"features must be given: the estimator has {d}, and {MAX_FEATURES} are shown at most; choose some, "
                "for example features=[0, 1, 2]."
            )
        indices = check_features(estimator, features, range(1, MAX_FEATURES + 1))
        rows = None if X is None else draw_rows(estimator, X, indices, max_points)
        shown = marginal(estimator, indices)._asdict() | ({} if rows is None else rows._asdict())
        densities = [DensityDisplay._of_one(estimator, X, [j], None, 300) for j in indices]
        return cls(**shown, densities=densities).plot(ax, **plot_kw)

    def plot(
        self,
        ax: Any = None,
        *,
        n_std: Sequence[float] = (1, 2, 3),
        certainty_as: Literal["size", "alpha"] | None = "size",
        numbers: bool = True,
        colors: Sequence[Any] | None = None,
        ellipse_kw: dict[str, Any] | None = None,
        scatter_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the cells.

        Where the ranges of all features differ by a factor of at most 4, they are given axes of equal length, so that
        scales are equal in all cells.

        Parameters
        ----------
        ax : array-like of matplotlib Axes of shape (n_shown, n_shown), default=None
            Where to draw; None makes a figure.
        n_std : sequence of float, default=(1, 2, 3)
            Sizes of the ellipses in standard deviations.
        certainty_as : {"size", "alpha"} or None, default="size"
            Whether rows with a certain label are larger, or more opaque, than those with a doubtful one.
        numbers : bool, default=True
            Whether to write the numbers of the components.
        colors : sequence of colours, default=None
            Colours of the components, in turn; None takes colour-blind-safe ones.
        ellipse_kw, scatter_kw : dict, default=None
            Keywords of :class:`matplotlib.patches.Ellipse` and :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        self : PairDisplay
            With its artists.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        TypeError, ValueError
            If an argument is not valid.
        """
        p = len(self.densities)
        self.figure_, self.axes_ = _figure_and_cells(ax, p)
        style: dict[str, Any] = {"certainty_as": certainty_as, "colors": colors, "aspect": "auto"}
        style |= {"ellipse_kw": override({"linewidth": 0.9}, ellipse_kw), "scatter_kw": scatter_kw}
        self.density_displays_ = [
            density.plot(self.axes_[i, i], numbers=numbers, legend=False, colors=colors, line_kw={"linewidth": 2.2})
            for i, density in enumerate(self.densities)
        ]
        self.ellipse_displays_: dict[tuple[int, int], EllipseDisplay] = {}
        self.scatters_: dict[tuple[int, int], Any] = {}
        for i, j in [(row, column) for row in range(p) for column in range(row)]:
            below, above = self._pair(j, i), self._pair(i, j)
            self.ellipse_displays_[i, j] = below.plot(self.axes_[i, j], n_std=n_std, numbers=numbers, **style)
            self.scatters_[j, i] = above.plot(self.axes_[j, i], n_std=(), numbers=False, **style).scatter_
        if "s" not in (scatter_kw or {}):
            for rows in [*self.scatters_.values(), *(cell.scatter_ for cell in self.ellipse_displays_.values())]:
                if rows is not None:
                    rows.set_sizes(0.4 * rows.get_sizes())  # for cells
        of_ellipses = [number for cell in self.ellipse_displays_.values() for number in cell.numbers_]
        for number in [*of_ellipses, *(number for cell in self.density_displays_ for number in cell.numbers_)]:
            number.set_fontsize(7)
        self._label()
        self._share_limits()
        return self

    def _pair(self, x: int, y: int) -> EllipseDisplay:
        """Return the display of two of the features."""
        return EllipseDisplay(
            weights=self.weights,
            means=self.means[:, [x, y]],
            covariances=self.covariances[:, [x, y]][:, :, [x, y]],
            points=None if self.points is None else self.points[:, [x, y]],
            labels=self.labels,
            certainty=self.certainty,
        )

    def _label(self) -> None:
        """Name the features on the left and below, and leave ticks to the outer cells."""
        p = len(self.densities)
        for i, j in np.ndindex(p, p):
            cell: Axes = self.axes_.item(i, j)
            cell.set(xlabel="", ylabel="")
            despine(cell)
            cell.tick_params(labelbottom=i == p - 1, labelleft=j == 0 < i, left=i != j, labelsize=8)
            cell.locator_params(nbins=4)
        if self.feature_names is not None:
            for i, name in enumerate(self.feature_names):
                self.axes_[p - 1, i].set_xlabel(name)
                self.axes_[i, 0].set_ylabel(name if p > 1 else "density")

    def _share_limits(self) -> None:
        """Give each feature one range in its row and its column, and all of them one length if they are alike."""
        p = len(self.densities)
        ends = np.array([self.densities[i].grid[0][[0, -1]] for i in range(p)])
        for (i, j), display in self.ellipse_displays_.items():
            for axis, (low, high) in ((j, display.ax_.get_xlim()), (i, display.ax_.get_ylim())):
                ends[axis] = min(ends[axis, 0], low), max(ends[axis, 1], high)
        lengths = ends[:, 1] - ends[:, 0]
        if lengths.max() <= LARGEST_RATIO * lengths.min():
            ends = ends.mean(axis=1, keepdims=True) + 0.5 * lengths.max() * np.array([-1, 1])
        for i, j in np.ndindex(p, p):
            cell: Axes = self.axes_.item(i, j)
            cell.set_xlim(*map(float, ends[j]))
            if i != j:
                cell.set_ylim(*map(float, ends[i]))
            cell.set_box_aspect(1)


def _figure_and_cells(ax: Any, p: int) -> tuple[Any, NDArray[Any]]:
    """Return the given axes and their figure, or a new figure.

    Raises
    ------
    TypeError, ValueError
        If they are not p x p axes.
    """
    check_matplotlib("PairDisplay")
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes

    if ax is None:
        side = max(1.7 * p, 4.0) + 0.4
        return plt.subplots(p, p, figsize=(side, side), layout="constrained", squeeze=False)
    cells = np.atleast_2d(np.asarray(ax, dtype=object))
    if not all(isinstance(cell, Axes) for cell in cells.flat):
        raise TypeError(f"ax must be an array of matplotlib Axes; make one with plt.subplots({p}, {p}).")
    if cells.shape != (p, p):
        raise ValueError(f"ax must have the shape {(p, p)}, but got {cells.shape}; use plt.subplots({p}, {p}).")
    return cells[0, 0].figure, cells
