"""What the displays share on paper: matplotlib when it is needed, colours, numbers, aspect, legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.legend import Legend
    from matplotlib.text import Text

# Okabe and Ito (2008), "Color universal design"; the yellow comes last, since thin lines of it vanish on white.
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
INK = "0.25"  # the grey of text and marks that belong to no component

# Two axes whose ranges differ by more are hardly of one unit, and equal scales would leave a strip of a picture.
LARGEST_RATIO = 4.0


def check_matplotlib(caller: str) -> None:
    """Import matplotlib, or say how it is installed.

    Raises
    ------
    ImportError
        If it is missing.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{caller} needs matplotlib, which is missing: pip install gaussmix[plot]") from error


def figure_and_axes(ax: Axes | None, caller: str, figsize: tuple[float, float]) -> tuple[Figure | SubFigure, Axes]:
    """Return the given axes and their figure, or new ones.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    TypeError
        If `ax` is something else.
    """
    check_matplotlib(caller)
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes

    if ax is None:
        return plt.subplots(figsize=figsize, layout="constrained")
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be one matplotlib Axes or None, but got {type(ax).__name__}; pass an element of it.")
    return ax.figure, ax


def component_colors(n: int, colors: Sequence[Any] | None = None) -> NDArray[np.float64]:
    """Return one colour a component, (n, 4): the given ones in turn, the eight of Okabe and Ito, or of viridis.

    Steps of the golden ratio through viridis keep neighbouring numbers far apart in colour.

    Raises
    ------
    ValueError
        If `colors` is empty or holds something that is not a colour.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_rgba_array

    if colors is not None:
        given = to_rgba_array(colors)
        if len(given) == 0:
            raise ValueError("colors must hold at least one colour; leave it out for the default ones.")
        return np.asarray(given[np.arange(n) % len(given)])
    if n <= len(OKABE_ITO):
        return np.asarray(to_rgba_array(OKABE_ITO[:n]))
    golden = (np.sqrt(5) - 1) / 2
    return np.asarray(colormaps["viridis"](0.92 * (golden * np.arange(n) % 1)))  # its end is too pale for lines


def opacities(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return opacities from 0.2, for a component without weight, to 1, for the heaviest."""
    largest = weights.max()
    relative = weights / largest if largest > 0 else np.zeros_like(weights)
    return np.asarray(0.2 + 0.8 * relative)


def draw_numbers(ax: Axes, positions: NDArray[np.float64], colors: NDArray[np.float64], size: float) -> list[Text]:
    """Write the number of each component at its position, dark with a rim of white so that it shows on anything."""
    from matplotlib.patheffects import withStroke

    dark = colors.copy()
    dark[:, :3] *= 0.6
    return [
        ax.annotate(
            str(k),
            (float(x), float(y)),
            ha="center",
            va="center",
            color=tuple(dark[k]),
            fontsize=size,
            fontweight="bold",
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
            annotation_clip=True,
            zorder=5,
        )
        for k, (x, y) in enumerate(positions)
    ]


def set_aspect(ax: Axes, aspect: Literal["equal", "auto"] | None) -> None:
    """Set the aspect; None makes it equal where the ranges differ by a factor of at most 4.

    Raises
    ------
    ValueError
        If `aspect` is something else than "equal", "auto" or None.
    """
    if aspect not in ("equal", "auto", None):
        raise ValueError(f"aspect must be 'equal', 'auto' or None, but got {aspect!r}.")
    if aspect is None:
        ranges = [abs(high - low) for low, high in (ax.get_xlim(), ax.get_ylim())]
        aspect = "equal" if max(ranges) <= LARGEST_RATIO * min(ranges) else "auto"
    ax.set_aspect(aspect)


def draw_legend(ax: Axes, own_figure: bool, **keywords: Any) -> Legend:
    """Put the legend beside the axes where the layout is ours and makes room, else where it covers least."""
    place = (
        {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0} if own_figure else {"loc": "best"}
    )
    return ax.legend(**place, frameon=not own_figure, **keywords)


def despine(ax: Axes) -> None:
    """Take away the frame at the top and on the right."""
    ax.spines[["top", "right"]].set_visible(False)


def check_sizes(**arrays: Any) -> None:
    """Check that arrays are as long as the first.

    Raises
    ------
    ValueError
        If one is not.
    """
    (first, reference), *others = arrays.items()
    for name, array in others:
        if array is not None and len(array) != len(reference):
            raise ValueError(f"{name} has length {len(array)}, but {first} has {len(reference)}; give them as pairs.")
