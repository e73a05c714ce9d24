"""Comparison of figures with baseline images."""

import os
from pathlib import Path

import matplotlib
from matplotlib.legend import Legend
from matplotlib.testing.compare import compare_images
from matplotlib.text import Text

BASELINE = Path(__file__).parent / "baseline"

# Root mean square difference, of 255. matplotlib 3.8.4 and 3.11.2 draw the same pixels; releases to come may smooth
# lines a little differently. The smallest change that the tests make on purpose gives 9.
TOLERANCE = 2.0


def new_axes(rows=1, columns=1):
    """Return small axes at fixed places, in matplotlib's own style whatever the user's is."""
    import matplotlib.pyplot as plt

    with matplotlib.style.context("default"):
        _, axes = plt.subplots(rows, columns, figsize=(2.4, 1.8), dpi=60, squeeze=rows == columns == 1)
    return axes


def difference(figure, name, folder):
    """Return compare_images' description of the difference to a baseline, None if there is none.

    With GAUSSMIX_NEW_BASELINES set, the figure becomes the baseline. Text and legends are left out: fonts
    differ.
    """
    for artist in figure.findobj(lambda artist: isinstance(artist, Text | Legend)):
        artist.set_visible(False)
    new = bool(os.environ.get("GAUSSMIX_NEW_BASELINES"))
    path = (BASELINE if new else folder) / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    with matplotlib.style.context("default"):
        figure.savefig(path, dpi=60, metadata={"Software": None})
    if new:
        return None
    expected = folder / f"{name}-expected.png"  # compare_images writes beside it
    expected.write_bytes((BASELINE / f"{name}.png").read_bytes())
    return compare_images(str(expected), str(path), TOLERANCE)
