"""Where assignments are doubtful."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.plot._axes import (
    INK,
    check_matplotlib,
    check_sizes,
    component_colors,
    despine,
    draw_legend,
    figure_and_axes,
    override,
    set_aspect,
)
from gaussmix.plot._density import plane_grid, resolution
from gaussmix.plot._marginal import check_features, check_mixture, draw_rows, extent, marginal, over_features

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class UncertaintyDisplay:
    r"""Rows and regions whose component is doubtful.

    The uncertainty of a row is :math:`1 - \max_k r_k`, the probability under the model that its label is wrong: 0 for
    a certain label, at most 1 - 1/K (Fraley and Raftery (2002), "Model-based clustering, discriminant analysis, and
    density estimation", section 2.4). Doubtful rows are drawn larger and on top. In a mixture of one or two features
    the uncertainty of every place is drawn too, as a curve or as a shade; of more, the rows are drawn with the
    responsibilities that all features give them.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    points : array-like of shape (n_points, 1) or (n_points, 2), default=None
        Rows to draw, in units of the features.
    labels : array-like of shape (n_points,), default=None
        Their components; needed with `points`.
    uncertainty : array-like of shape (n_points,), default=None
        Their uncertainties, 0 to 1; needed with `points`.
    n_components : int, default=1
        Number of components: of colours.
    grid : sequence of 1 or 2 array-like, default=None
        Places along the axes, of shape (n_grid,), or (n_x,) and (n_y,).
    grid_uncertainty : array-like of shape (n_grid,) or (n_y, n_x), default=None
        Uncertainties there; needed with `grid`.
    feature_names : sequence of str, default=None
        Labels of the axes, one a feature.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the rows.
    figure_ : matplotlib Figure
        Figure that holds them.
    scatter_ : matplotlib PathCollection or None
        The rows, the most doubtful last.
    contours_ : matplotlib QuadContourSet or None
        The shade of two features.
    line_ : matplotlib Line2D or None
        The curve of one feature.
    colorbar_ : matplotlib Colorbar or None
        Scale of the shade.
    legend_ : matplotlib Legend or None
        Sizes of the rows, where there is no other scale.

    Raises
    ------
    ValueError
        If lengths differ, or what belongs together is not given together.

    See Also
    --------
    EllipseDisplay : The components, with certain rows drawn larger.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture
    >>> from gaussmix.plot import UncertaintyDisplay
    >>> X = np.random.default_rng(0).standard_normal((100, 2))
    >>> display = UncertaintyDisplay.from_estimator(GaussianMixture(2).fit(X), X)  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        uncertainty: ArrayLike | None = None,
        n_components: int = 1,
        grid: Sequence[ArrayLike] | None = None,
        grid_uncertainty: ArrayLike | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.points = None if points is None else np.asarray(points, dtype=np.float64)
        self.labels = None if labels is None else np.asarray(labels, dtype=np.int64)
        self.uncertainty = None if uncertainty is None else np.asarray(uncertainty, dtype=np.float64)
        self.n_components = n_components
        self.grid = None if grid is None else tuple(np.asarray(axis, dtype=np.float64) for axis in grid)
        self.grid_uncertainty = None if grid_uncertainty is None else np.asarray(grid_uncertainty, dtype=np.float64)
        self.feature_names = None if feature_names is None else list(feature_names)
        if self.points is None and self.grid is None:
            raise ValueError("points or grid must be given: there is nothing to draw.")
        if self.points is not None:
            if self.labels is None or self.uncertainty is None:
                raise ValueError("labels and uncertainty must be given with points.")
            check_sizes(points=self.points, labels=self.labels, uncertainty=self.uncertainty)
        if self.grid is not None and (
            self.grid_uncertainty is None
            or self.grid_uncertainty.shape != tuple(len(axis) for axis in reversed(self.grid))
        ):
            raise ValueError("grid_uncertainty must be given with grid, in the shape (n_grid,) or (n_y, n_x).")

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        features: Sequence[int | str] | int | str | None = None,
        grid_resolution: int | None = None,
        max_points: int | None = 2000,
        ax: Axes | None = None,
        **plot_kw: Any,
    ) -> Self:
        """Compute the uncertainties of rows, and of the places around them, and draw them.

        Parameters
        ----------
        estimator : GaussianMixture
            A fitted mixture.
        X : array-like of shape (n_samples, n_features), default=None
            Rows to draw. None draws the places alone, for one or two features.
        features : sequence of 2 int or str, default=None
            Features of the axes, by index or name; None takes the first two, or the only one.
        grid_resolution : int, default=None
            Places along an axis, at least 2; None takes 500 for one feature and 200 x 200 for two.
        max_points : int or None, default=2000
            Rows to draw at most. Of more, so many are drawn at random without replacement, the same ones each time;
            None draws all.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **plot_kw
            Keywords of :meth:`plot`.

        Returns
        -------
        display : UncertaintyDisplay
            With its artists.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            If an argument is not valid, or X is missing where the mixture has more than two features.
        """
        check_matplotlib("UncertaintyDisplay")
        check_mixture(estimator)
        k, d = np.shape(estimator.means_)
        indices = check_features(estimator, features, range(1, 2) if d == 1 else range(2, 3))
        if X is None and d > 2:
            raise ValueError(
                f"X must be given: the mixture has {d} features, and places in a plane of two have no responsibilities."
            )
        rows = None if X is None else draw_rows(estimator, X, indices, max_points)
        shown = marginal(estimator, indices)
        points = None if rows is None else rows.points
        grid: list[NDArray[np.float64]] | None = None
        doubt = None
        if d == 1:
            ends = extent(None if points is None else points[:, 0], shown.means[:, 0], shown.covariances[:, 0, 0])
            grid = [np.linspace(*ends, resolution(grid_resolution, 500))]
        elif d == 2:
            grid = plane_grid(shown, points, resolution(grid_resolution, 200))
        if grid is not None:
            places = np.stack(np.meshgrid(*grid), axis=-1)
            own = over_features(estimator, range(d))  # in the estimator's order of features
            responsibilities = own.predict_proba(places.reshape(-1, d)[:, np.argsort(indices)])
            doubt = 1 - np.asarray(responsibilities, dtype=np.float64).max(axis=1).reshape(places.shape[:-1])
        return cls(
            points=points,
            labels=None if rows is None else rows.labels,
            uncertainty=None if rows is None else 1 - rows.certainty,
            n_components=k,
            grid=grid,
            grid_uncertainty=doubt,
            feature_names=shown.feature_names,
        ).plot(ax, **plot_kw)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        cmap: Any = None,
        colorbar: bool = True,
        colors: Sequence[Any] | None = None,
        aspect: Literal["equal", "auto"] | None = None,
        scatter_kw: dict[str, Any] | None = None,
        contour_kw: dict[str, Any] | None = None,
        line_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the places, and the rows over them.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        cmap : str or Colormap, default=None
            Shade of the places; None takes matplotlib's "Greys" without its darkest part.
        colorbar : bool, default=True
            Whether to draw the scale of the contours, for two features.
        colors : sequence of colours, default=None
            Colours of the components, in turn; None takes colour-blind-safe ones.
        aspect : {"equal", "auto"} or None, default=None
            Equal scales on both axes or not; None takes equal ones where the ranges differ by a factor of at most 4.
            It is for two features.
        scatter_kw, contour_kw, line_kw : dict, default=None
            Keywords of :meth:`matplotlib.axes.Axes.scatter`, :meth:`~matplotlib.axes.Axes.contourf` and
            :meth:`~matplotlib.axes.Axes.plot`.

        Returns
        -------
        self : UncertaintyDisplay
            With its artists.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        TypeError, ValueError
            If an argument is not valid.
        """
        self.figure_, self.ax_ = figure_and_axes(ax, "UncertaintyDisplay", (6.4, 5.2))
        self.contours_: Any = None
        self.line_: Any = None
        self.colorbar_: Any = None
        self.scatter_: Any = None
        self.legend_: Any = None
        one = len(self.grid) == 1 if self.grid is not None else self.points is not None and self.points.shape[1] == 1
        if self.grid is not None and self.grid_uncertainty is not None:
            if one:
                style: dict[str, Any] = {"color": INK, "linewidth": 1.0, "zorder": 1}
                (self.line_,) = self.ax_.plot(self.grid[0], self.grid_uncertainty, **override(style, line_kw))
            else:
                self._shade(self.grid, self.grid_uncertainty, "Greys" if cmap is None else cmap, colorbar, contour_kw)
        if self.points is not None and self.labels is not None and self.uncertainty is not None:
            order = np.argsort(self.uncertainty, kind="stable")  # the doubtful ones on top
            doubt = self.uncertainty[order]
            y = doubt if one else self.points[order, 1]
            dots: dict[str, Any] = {
                "s": 5 + 60 * doubt,
                "c": component_colors(self.n_components, colors)[self.labels[order]],
                "alpha": 0.8,
                "edgecolors": "white",
                "linewidths": 0.4,
            }
            self.scatter_ = self.ax_.scatter(self.points[order, 0], y, **override(dots, scatter_kw))
            if self.grid is None and "s" not in (scatter_kw or {}):
                sizes: dict[str, Any] = {"num": [0, 0.25, 0.5], "func": lambda size: (size - 5) / 60, "fmt": "{x:.2f}"}
                handles, labels = self.scatter_.legend_elements("sizes", color=INK, **sizes)
                self.legend_ = draw_legend(
                    self.ax_, ax is None, handles=handles, labels=labels, title="probability of\na wrong label"
                )
        if self.feature_names is not None:
            self.ax_.set_xlabel(self.feature_names[0])
        if one:
            self.ax_.set_ylabel("probability of a wrong label")
            self.ax_.set_ylim(bottom=-0.01)
            despine(self.ax_)
        else:
            if self.feature_names is not None:
                self.ax_.set_ylabel(self.feature_names[1])
            set_aspect(self.ax_, aspect)
        return self

    def _shade(
        self, grid: Any, doubt: NDArray[np.float64], cmap: Any, colorbar: bool, keywords: dict[str, Any] | None
    ) -> None:
        largest = 1 - 1 / max(self.n_components, 2)
        levels = np.linspace(0, np.ceil(20 * largest) / 20, 11)
        # The shade stays light enough for coloured dots on it.
        style = {"levels": levels, "cmap": cmap, "vmin": 0, "vmax": 1.6 * levels[-1]}
        self.contours_ = self.ax_.contourf(*grid, doubt, **override(style, keywords))
        if colorbar:
            self.colorbar_ = self.figure_.colorbar(self.contours_, ax=self.ax_, label="probability of a wrong label")
