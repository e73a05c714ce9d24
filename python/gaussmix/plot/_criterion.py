"""Criteria of model selection against the number of components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.plot._axes import check_matplotlib, check_sizes, component_colors, despine, draw_legend, figure_and_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELS = {"aic": "AIC", "bic": "BIC", "icl": "ICL", "cv": "minus held-out log-likelihood"}
STYLES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D")


class CriterionDisplay:
    """AIC, BIC, ICL or the held-out log-likelihood of candidates against their number of components.

    All are the better the lower they are; the held-out log-likelihood is drawn with its sign changed. Each covariance
    type has a line and a colour, each criterion a dash, and the lowest value of each criterion a ring. A candidate
    that failed (NaN) leaves a gap.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    n_components : array-like of shape (n_candidates,)
        Number of components of each candidate.
    covariance_type : array-like of str of shape (n_candidates,)
        Its covariance type.
    values : array-like of shape (n_candidates,) or (n_criteria, n_candidates)
        Its criteria; NaN where it failed.
    criterion : {"aic", "bic", "icl", "cv"} or list of them, default="bic"
        What the values are: AIC, BIC and ICL in nats times two, "cv" in nats a row.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the lines.
    figure_ : matplotlib Figure
        Figure that holds them.
    lines_ : dict of (str, str) to matplotlib Line2D
        The line of each criterion and covariance type.
    minima_ : dict of str to matplotlib Line2D
        The ring at the lowest value of each criterion.
    legend_ : matplotlib Legend
        Names of the lines.

    Raises
    ------
    ValueError
        If lengths differ, a criterion is not known, or none of its values is finite.

    See Also
    --------
    gaussmix.GaussianMixture.bic : BIC of one mixture.

    Examples
    --------
    >>> from gaussmix.plot import CriterionDisplay
    >>> display = CriterionDisplay(
    ...     n_components=[1, 2, 3], covariance_type=["full"] * 3, values=[30.0, 12.0, 15.0], criterion="bic"
    ... )
    >>> display.plot()  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        n_components: ArrayLike,
        covariance_type: ArrayLike,
        values: ArrayLike,
        criterion: str | Sequence[str] = "bic",
    ) -> None:
        self.n_components: NDArray[np.int64] = np.asarray(n_components, dtype=np.int64)
        self.covariance_type: NDArray[np.str_] = np.asarray(covariance_type, dtype=np.str_)
        self.criteria = [criterion] if isinstance(criterion, str) else list(criterion)
        self.values: NDArray[np.float64] = np.atleast_2d(np.asarray(values, dtype=np.float64))
        _check_names(self.criteria)
        if len(self.values) != len(self.criteria):
            raise ValueError(
                f"values must have one row for each criterion, {len(self.criteria)}, but got {len(self.values)}."
            )
        check_sizes(n_components=self.n_components, covariance_type=self.covariance_type, values=self.values[0])
        for name, row in zip(self.criteria, self.values, strict=True):
            if not np.isfinite(row).any():
                raise ValueError(f"values of {name!r} must hold a finite one, but all candidates failed.")

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        criterion: str | Sequence[str] | None = None,
        ax: Axes | None = None,
        **plot_kw: Any,
    ) -> Self:
        """Draw the results of a search over numbers of components and covariance types.

        Parameters
        ----------
        estimator : object with `results_`
            A fitted search. `results_` is a dict of arrays of one length: "n_components", "covariance_type", and one
            for each criterion.
        criterion : {"aic", "bic", "icl", "cv"} or list of them, default=None
            What to draw; None takes the one that the search chose by, or "bic" where it does not say.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **plot_kw
            Keywords of :meth:`plot`.

        Returns
        -------
        display : CriterionDisplay
            With its artists.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        TypeError
            If the estimator has no `results_`.
        ValueError
            If a criterion is not valid or not in `results_`.
        """
        check_matplotlib("CriterionDisplay")
        results = getattr(estimator, "results_", None)
        if results is None:
            raise TypeError(f"estimator is a {type(estimator).__name__} without results_; pass a fitted search.")
        if criterion is None:
            chosen = getattr(estimator, "criterion", None)
            criterion = chosen if isinstance(chosen, str) and chosen in results else "bic"
        names = [criterion] if isinstance(criterion, str) else list(criterion)
        _check_names(names)
        missing = [name for name in names if name not in results]
        if missing:
            known = ", ".join(repr(name) for name in LABELS if name in results)
            raise ValueError(f"criterion {missing[0]!r} is not in results_, which has {known}; search with it first.")
        return cls(
            n_components=results["n_components"],
            covariance_type=results["covariance_type"],
            values=[np.asarray(results[name], dtype=np.float64) for name in names],
            criterion=names,
        ).plot(ax, **plot_kw)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        colors: Sequence[Any] | None = None,
        line_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the lines, and a ring at the lowest value of each criterion.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure, with the legend beside the lines.
        colors : sequence of colours, default=None
            Colours of the covariance types, in turn; None takes colour-blind-safe ones.
        line_kw : dict, default=None
            Keywords of :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        self : CriterionDisplay
            With its artists.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        TypeError, ValueError
            If an argument is not valid.
        """
        self.figure_, self.ax_ = figure_and_axes(ax, "CriterionDisplay", (6.8, 4.2))
        from matplotlib.lines import Line2D
        from matplotlib.ticker import MaxNLocator

        types = list(dict.fromkeys(self.covariance_type.tolist()))
        rgba = component_colors(len(types), colors)
        self.lines_: dict[tuple[str, str], Any] = {}
        self.minima_: dict[str, Any] = {}
        for i, name in enumerate(self.criteria):
            for j, kind in enumerate(types):
                style: dict[str, Any] = {
                    "color": tuple(rgba[j]),
                    "linestyle": STYLES[i % len(STYLES)],
                    "marker": MARKERS[j % len(MARKERS)],
                    "markersize": 4,
                    "linewidth": 1.5,
                    "label": kind if i == 0 else f"_{name} {kind}",  # the criteria have entries of their own
                }
                (self.lines_[name, kind],) = self.ax_.plot(*self._line(i, kind), **(style | (line_kw or {})))
            self.minima_[name] = self._ring(i)
        handles, _ = self.ax_.get_legend_handles_labels()
        if len(self.criteria) > 1:
            dashes = STYLES[: len(self.criteria)]
            handles += [
                Line2D([], [], color="0.2", linestyle=dash, label=LABELS[name])
                for dash, name in zip(dashes, self.criteria, strict=True)
            ]
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.ax_.set_xlabel("number of components")
        units = " [nats a row]" if self.criteria == ["cv"] else ""
        self.ax_.set_ylabel(" or ".join(LABELS[name] for name in self.criteria) + units)
        self.ax_.margins(y=0.08)
        despine(self.ax_)
        self.legend_ = draw_legend(self.ax_, ax is None, handles=handles)
        return self

    def _line(self, i: int, kind: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the numbers of components of a type, and the lowest value of each: candidates may share one."""
        of_kind = self.covariance_type == kind
        x = np.unique(self.n_components[of_kind])
        y = np.full(len(x), np.nan)
        values = self.values[i, of_kind]
        finite = np.isfinite(values)
        np.fmin.at(y, np.searchsorted(x, self.n_components[of_kind][finite]), values[finite])
        return x, y

    def _ring(self, i: int) -> Any:
        """Mark the lowest value of a criterion."""
        finite = np.where(np.isfinite(self.values[i]), self.values[i], np.inf)
        best = int(finite.argmin())
        name, k, kind = self.criteria[i], int(self.n_components[best]), self.covariance_type[best]
        (ring,) = self.ax_.plot(
            [k],
            [self.values[i, best]],
            linestyle="none",
            marker="o",
            markersize=13,
            markerfacecolor="none",
            markeredgecolor="0.2",
            markeredgewidth=1.5,
            label=f"{'lowest' if name == 'cv' else f'lowest {LABELS[name]}'}: {kind}, {k}",
        )
        return ring


def _check_names(criteria: list[str]) -> None:
    """Check names of criteria.

    Raises
    ------
    ValueError
        If there is none, one is not known or comes twice, or "cv" is among others.
    """
    known = ", ".join(repr(name) for name in LABELS)
    if not criteria or any(name not in LABELS for name in criteria):
        raise ValueError(f"criterion must be one of {known}, or a list of them, but got {criteria!r}.")
    if len(set(criteria)) < len(criteria):
        raise ValueError(f"criterion must name each once, but got {criteria!r}.")
    if "cv" in criteria and len(criteria) > 1:
        raise ValueError("criterion 'cv' is in nats a row, unlike the others; draw it in axes of its own.")
