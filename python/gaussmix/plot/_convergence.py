"""How a fit went: the log-likelihood of its restarts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from gaussmix.plot._axes import (
    INK,
    check_matplotlib,
    check_sizes,
    component_colors,
    despine,
    draw_legend,
    figure_and_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EVENT_MARKERS = {"floored": "v", "reseeded": "^", "abandoned": "s"}


class ConvergenceDisplay:
    """Mean log-likelihood against iteration, a curve for each restart.

    EM never lowers it (Dempster, Laird and Rubin (1977), theorem 1), unless a component is repaired: repairs are
    marked. A curve ends in a dot where it converged, and in a cross where `max_iter` ended it.

    It is recommended to use :meth:`from_estimator`, or :meth:`from_estimators` for several fits.

    Parameters
    ----------
    lower_bounds : sequence of array-like of shape (n_iter,)
        Mean log-likelihood in each iteration, from the first, in nats a row; one array a curve.
    converged : sequence of bool, default=None
        Whether each curve ended by `tol`; None draws no ends.
    names : sequence of str, default=None
        Names of the curves for the legend; None has no legend for them.
    best : int, default=None
        Index of the curve that is drawn stronger than the others; None draws all alike.
    events : sequence of (str, int, int), default=None
        Repairs: the cause, the index of the curve and the iteration.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure that holds them.
    lines_ : list of matplotlib Line2D
        The curves.
    ends_ : list of matplotlib Line2D
        Their ends.
    events_ : dict of str to matplotlib Line2D
        The repairs of each cause.
    legend_ : matplotlib Legend or None
        Names of curves and marks.

    Raises
    ------
    ValueError
        If lengths differ or a curve is empty.

    See Also
    --------
    gaussmix.FitEvent : A repair.

    Examples
    --------
    >>> from gaussmix.plot import ConvergenceDisplay
    >>> display = ConvergenceDisplay(lower_bounds=[[-3.0, -2.1, -2.0], [-3.5, -2.6]], converged=[True, False], best=0)
    >>> display.plot()  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        lower_bounds: Sequence[ArrayLike],
        converged: Sequence[bool] | None = None,
        names: Sequence[str] | None = None,
        best: int | None = None,
        events: Sequence[tuple[str, int, int]] | None = None,
    ) -> None:
        self.lower_bounds: list[NDArray[np.float64]] = [np.asarray(curve, dtype=np.float64) for curve in lower_bounds]
        if not self.lower_bounds or any(curve.ndim != 1 or not len(curve) for curve in self.lower_bounds):
            raise ValueError("lower_bounds must hold at least one curve, and each of them an iteration.")
        check_sizes(lower_bounds=self.lower_bounds, converged=converged, names=names)
        if best is not None and not 0 <= best < len(self.lower_bounds):
            raise ValueError(f"best must be the index of a curve, 0 to {len(self.lower_bounds) - 1}, but got {best}.")
        self.converged = None if converged is None else [bool(one) for one in converged]
        self.names = None if names is None else list(names)
        self.best = best
        self.events = [] if events is None else [(str(cause), int(i), int(step)) for cause, i, step in events]

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None, **plot_kw: Any) -> Self:
        """Draw how the fit of one estimator went.

        Every restart is drawn where the estimator has kept them (`restarts_`: objects with `lower_bounds`, `converged`
        and `kept`), the one whose model was kept stronger; else that one alone (`lower_bounds_`).

        Parameters
        ----------
        estimator : GaussianMixture
            A fitted mixture.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **plot_kw
            Keywords of :meth:`plot`.

        Returns
        -------
        display : ConvergenceDisplay
            With its artists.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it has no `lower_bounds_`.
        ValueError
            If its fit made no iteration.
        """
        check_matplotlib("ConvergenceDisplay")
        curve = _curve(estimator, "estimator")
        found = getattr(estimator, "events_", [])
        restarts = [(i, one) for i, one in enumerate(getattr(estimator, "restarts_", [])) if len(one.lower_bounds)]
        if not restarts:
            events = [(event.cause, 0, event.iteration) for event in found if event.kept]
            return cls(lower_bounds=[curve], converged=[estimator.converged_], best=0, events=events).plot(
                ax, **plot_kw
            )
        place = {i: position for position, (i, _) in enumerate(restarts)}  # those that failed have no curve
        return cls(
            lower_bounds=[one.lower_bounds for _, one in restarts],
            converged=[one.converged for _, one in restarts],
            best=next((position for position, (_, one) in enumerate(restarts) if one.kept), None),
            events=[(event.cause, place[event.restart], event.iteration) for event in found if event.restart in place],
        ).plot(ax, **plot_kw)

    @classmethod
    def from_estimators(
        cls, estimators: Sequence[Any], *, names: Sequence[str] | None = None, ax: Axes | None = None, **plot_kw: Any
    ) -> Self:
        """Draw how several fits went, say from other seeds, starts or covariance types.

        Parameters
        ----------
        estimators : sequence of GaussianMixture
            Fitted mixtures; the one with the largest final log-likelihood is drawn stronger.
        names : sequence of str, default=None
            What to call them in the legend; None has no legend for them.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **plot_kw
            Keywords of :meth:`plot`.

        Returns
        -------
        display : ConvergenceDisplay
            With its artists.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        NotFittedError
            If an estimator is not fitted.
        TypeError
            If `estimators` is not a sequence of mixtures.
        ValueError
            If a fit made no iteration, or `names` has another length.
        """
        check_matplotlib("ConvergenceDisplay")
        if not isinstance(estimators, Sequence):
            raise TypeError(f"estimators must be a list of fitted mixtures, but got {type(estimators).__name__}.")
        curves = [_curve(one, f"estimators[{i}]") for i, one in enumerate(estimators)]
        return cls(
            lower_bounds=curves,
            converged=[one.converged_ for one in estimators],
            names=names,
            best=int(np.argmax([curve[-1] for curve in curves])) if curves else None,
            events=[
                (event.cause, i, event.iteration)
                for i, one in enumerate(estimators)
                for event in getattr(one, "events_", [])
                if event.kept
            ],
        ).plot(ax, **plot_kw)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        colors: Sequence[Any] | None = None,
        line_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the curves with their ends, and the repairs.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure, with the legend beside the curves.
        colors : sequence of colours, default=None
            Colours of the curves, in turn; None takes colour-blind-safe ones, or for restarts without names blue for
            the best and grey for the others.
        line_kw : dict, default=None
            Keywords of :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        self : ConvergenceDisplay
            With its artists.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        TypeError, ValueError
            If an argument is not valid.
        """
        self.figure_, self.ax_ = figure_and_axes(ax, "ConvergenceDisplay", (6.8, 4.2))
        from matplotlib.lines import Line2D
        from matplotlib.ticker import MaxNLocator

        n = len(self.lower_bounds)
        rgba = component_colors(n, colors)
        if colors is None and self.names is None and self.best is not None:
            rgba = component_colors(n, ["0.65"])
            rgba[self.best] = component_colors(1)[0]
        self.lines_: list[Line2D] = []
        self.ends_: list[Line2D] = []
        marks: dict[str, Line2D] = {}
        for i, curve in enumerate(self.lower_bounds):
            strong = self.best in (None, i)
            front = 3 if self.best == i else 2
            style: dict[str, Any] = {"color": tuple(rgba[i]), "linewidth": 2.0 if strong else 1.2, "zorder": front}
            if self.names is not None:
                style["label"] = self.names[i]
            elif n > 1 and self.best is not None and i in (self.best, next(j for j in range(n) if j != self.best)):
                style["label"] = "best" if i == self.best else "others"
            steps = np.arange(1, len(curve) + 1)
            self.lines_ += self.ax_.plot(steps, curve, **(style | (line_kw or {})))
            if self.converged is not None:
                ended = self.converged[i]
                marker: dict[str, Any] = {
                    "marker": "o" if ended else "x",
                    "markersize": 6 if ended else 8,
                    "markeredgewidth": 2,
                }
                end = self.ax_.plot(
                    steps[-1:], curve[-1:], color=tuple(rgba[i]), linestyle="none", zorder=front, **marker
                )
                self.ends_ += end
                marks["converged" if ended else "did not converge"] = Line2D(
                    [], [], color=INK, linestyle="none", **marker
                )
        self.events_ = self._mark_events()
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.ax_.set(xlabel="iteration", ylabel="mean log-likelihood [nats a row]")
        despine(self.ax_)
        handles, labels = self.ax_.get_legend_handles_labels()
        if n > 1 and self.names is None and self.best not in (None, 0):  # the best one comes first
            handles[:2], labels[:2] = handles[1::-1], labels[1::-1]
        handles, labels = handles + list(marks.values()), labels + list(marks)
        self.legend_ = draw_legend(self.ax_, ax is None, handles=handles, labels=labels) if handles else None
        return self

    def _mark_events(self) -> dict[str, Any]:
        """Mark the repairs on their curves; one of the start is at the first iteration."""
        drawn = {}
        for cause in dict.fromkeys(cause for cause, _, _ in self.events):
            places = [
                (min(max(step, 1), len(self.lower_bounds[i])), i) for other, i, step in self.events if other == cause
            ]
            (drawn[cause],) = self.ax_.plot(
                [step for step, _ in places],
                [self.lower_bounds[i][step - 1] for step, i in places],
                linestyle="none",
                marker=EVENT_MARKERS.get(cause, "D"),
                markersize=8,
                markerfacecolor="#E69F00",
                markeredgecolor="black",
                zorder=4,
                label=f"component {cause}",
            )
        return drawn


def _curve(estimator: Any, name: str) -> list[float]:
    """Return the log-likelihoods of an estimator's fit.

    Raises
    ------
    NotFittedError, TypeError, ValueError
        If there are none.
    """
    check_is_fitted(estimator)
    bounds = getattr(estimator, "lower_bounds_", None)
    if bounds is None:
        raise TypeError(f"{name} is a {type(estimator).__name__} without lower_bounds_; pass a fitted GaussianMixture.")
    if not len(bounds):
        raise ValueError(f"{name} has made no iteration; fit it with max_iter of at least 1.")
    return list(bounds)
