"""Components as ellipses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.plot._axes import (
    check_matplotlib,
    check_sizes,
    component_colors,
    draw_numbers,
    figure_and_axes,
    opacities,
    set_aspect,
)
from gaussmix.plot._marginal import check_features, check_mixture, draw_rows, marginal

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class EllipseDisplay:
    r"""Components of a mixture as ellipses over the rows, two features at a time.

    The ellipse of component k at s standard deviations is :math:`(x - \mu_k)^T \Sigma_k^{-1} (x - \mu_k) = s^2`. Its
    half axes are :math:`s \sqrt{\lambda_i}` along the eigenvectors of :math:`\Sigma_k`, and it holds the share
    :math:`1 - e^{-s^2/2}` of the component: 39 %, 86 % and 99 % for s = 1, 2, 3 (Johnson and Wichern (2007), "Applied
    multivariate statistical analysis", section 4.2). Of more than two features the marginal is shown.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    weights : array-like of shape (n_components,)
        Weights of the components.
    means : array-like of shape (n_components, 2)
        Their means, in units of the features.
    covariances : array-like of shape (n_components, 2, 2)
        Their covariances; a singular one becomes a line.
    points : array-like of shape (n_points, 2), default=None
        Rows to draw.
    labels : array-like of shape (n_points,), default=None
        Components of the rows; needed with `points`.
    certainty : array-like of shape (n_points,), default=None
        Responsibilities of these components, 1 / n_components to 1; None counts as 1.
    feature_names : sequence of 2 str, default=None
        Labels of the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the ellipses.
    figure_ : matplotlib Figure
        Figure that holds them.
    ellipses_ : list of list of matplotlib Ellipse
        One list a component, with one ellipse for each of `n_std`.
    scatter_ : matplotlib PathCollection or None
        The rows.
    numbers_ : list of matplotlib Annotation
        Numbers of the components at their means.

    Raises
    ------
    ValueError
        If shapes do not fit together.

    See Also
    --------
    PairDisplay : The same for all pairs of up to eight features.
    DensityDisplay : The density, also of one feature.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture
    >>> from gaussmix.plot import EllipseDisplay
    >>> X = np.random.default_rng(0).standard_normal((100, 2))
    >>> display = EllipseDisplay.from_estimator(GaussianMixture().fit(X), X)  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        certainty: ArrayLike | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.weights: NDArray[np.float64] = np.asarray(weights, dtype=np.float64)
        self.means: NDArray[np.float64] = np.asarray(means, dtype=np.float64)
        self.covariances: NDArray[np.float64] = np.asarray(covariances, dtype=np.float64)
        k = len(self.weights)
        if self.means.shape != (k, 2) or self.covariances.shape != (k, 2, 2):
            raise ValueError(
                f"means and covariances must have the shapes {(k, 2)} and {(k, 2, 2)}, but got {self.means.shape} and "
                f"{self.covariances.shape}; from_estimator makes them for any pair of features."
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
        max_points: int | None = 2000,
        ax: Axes | None = None,
        **plot_kw: Any,
    ) -> Self:
        """Compute the ellipses of a fitted mixture, and draw them over its rows.

        Parameters
        ----------
        estimator : GaussianMixture
            A fitted mixture of at least two features.
        X : array-like of shape (n_samples, n_features), default=None
            Rows to draw; None draws the ellipses alone.
        features : sequence of 2 int or str, default=None
            The features of the x and the y axis, by index or name; None takes the first two.
        max_points : int or None, default=2000
            Rows to draw at most. Of more, so many are drawn at random without replacement, the same ones each time;
            None draws all.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **plot_kw
            Keywords of :meth:`plot`.

        Returns
        -------
        display : EllipseDisplay
            With its artists.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            If an argument is not valid, or the estimator has one feature only.
        """
        check_matplotlib("EllipseDisplay")
        check_mixture(estimator)
        if np.shape(estimator.means_)[1] < 2:
            raise ValueError("estimator was fitted to one feature, but an ellipse needs two; use DensityDisplay.")
        indices = check_features(estimator, features, range(2, 3))
        rows = None if X is None else draw_rows(estimator, X, indices, max_points)
        shown = marginal(estimator, indices)._asdict() | ({} if rows is None else rows._asdict())
        return cls(**shown).plot(ax, **plot_kw)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        n_std: Sequence[float] = (1, 2, 3),
        certainty_as: Literal["size", "alpha"] | None = "size",
        numbers: bool = True,
        colors: Sequence[Any] | None = None,
        aspect: Literal["equal", "auto"] | None = None,
        ellipse_kw: dict[str, Any] | None = None,
        scatter_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the ellipses, the rows under them, and the numbers of the components at their means.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        n_std : sequence of float, default=(1, 2, 3)
            Sizes of the ellipses in standard deviations. Their opacity rises with the weight of the component.
        certainty_as : {"size", "alpha"} or None, default="size"
            Whether rows with a certain label are larger, or more opaque, than those with a doubtful one.
        numbers : bool, default=True
            Whether to write the numbers of the components.
        colors : sequence of colours, default=None
            Colours of the components, in turn; None takes colour-blind-safe ones.
        aspect : {"equal", "auto"} or None, default=None
            Equal scales on both axes or not; None takes equal ones where the ranges differ by a factor of at most 4.
        ellipse_kw, scatter_kw : dict, default=None
            Keywords of :class:`matplotlib.patches.Ellipse` and :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        self : EllipseDisplay
            With its artists.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        TypeError, ValueError
            If an argument is not valid.
        """
        sizes = np.asarray(n_std, dtype=np.float64)
        if sizes.ndim != 1 or not (np.isfinite(sizes) & (sizes > 0)).all():
            raise ValueError(f"n_std must be a sequence of positive numbers such as (1, 2, 3), but got {n_std!r}.")
        if certainty_as not in ("size", "alpha", None):
            raise ValueError(f"certainty_as must be 'size', 'alpha' or None, but got {certainty_as!r}.")
        self.figure_, self.ax_ = figure_and_axes(ax, "EllipseDisplay", (6.4, 5.2))
        from matplotlib.patches import Ellipse

        rgba = component_colors(len(self.weights), colors)
        self.scatter_ = self._scatter(rgba, certainty_as, scatter_kw or {})
        self.ellipses_: list[list[Ellipse]] = []
        for mean, covariance, color, alpha in zip(
            self.means, self.covariances, rgba, opacities(self.weights), strict=True
        ):
            values, vectors = np.linalg.eigh(covariance)
            half_axes = np.sqrt(np.maximum(values, 0))  # a singular one may come out below 0
            angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
            # The outline is darker than the rows, among which it would be lost.
            style = {"facecolor": (*color[:3], 0.12 * alpha), "edgecolor": (*0.65 * color[:3], alpha), "linewidth": 1.2}
            drawn = [
                Ellipse(
                    (mean[0], mean[1]),
                    2 * s * half_axes[1],
                    2 * s * half_axes[0],
                    angle=angle,
                    **(style | (ellipse_kw or {})),
                )
                for s in sizes
            ]
            for ellipse in drawn:
                self.ax_.add_patch(ellipse)
            self.ellipses_.append(drawn)
        self.ax_.autoscale_view()
        self.numbers_ = draw_numbers(self.ax_, self.means, rgba, 10) if numbers else []
        if self.feature_names is not None:
            self.ax_.set(xlabel=self.feature_names[0], ylabel=self.feature_names[1])
        set_aspect(self.ax_, aspect)
        return self

    def _scatter(self, rgba: NDArray[np.float64], certainty_as: str | None, keywords: dict[str, Any]) -> Any:
        if self.points is None or self.labels is None:
            return None
        k = len(self.weights)
        sure = np.ones(len(self.points))
        if self.certainty is not None and k > 1:
            sure = np.clip((self.certainty - 1 / k) / (1 - 1 / k), 0, 1)  # from a label at random to a certain one
        colors = rgba[self.labels]
        colors[:, 3] = 0.1 + 0.5 * sure if certainty_as == "alpha" else 0.5
        size = 2 + 12 * sure if certainty_as == "size" else np.full(len(sure), 12.0)
        style: dict[str, Any] = {"s": size, "c": colors, "linewidths": 0}
        return self.ax_.scatter(self.points[:, 0], self.points[:, 1], **(style | keywords))
