"""The examples: each runs without a display, and leaves a picture with something on it."""

import importlib.util
import re
import runpy
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("[0-9][0-9]_*.py"))
NEEDED = {"10_old_faithful": ["plotnine"], "12_dask_cluster": ["dask", "distributed"]}  # beside matplotlib and tqdm
pytestmark = pytest.mark.skipif(not SCRIPTS, reason="not in a source tree")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_makes_its_picture(script, tmp_path, monkeypatch):
    for package in ["matplotlib", "tqdm", *NEEDED.get(script.stem, [])]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("GAUSSMIX_EXAMPLES_QUICK", "1")
    # In this process, as the documents run them too: to start one and import takes longer than most of them.
    try:
        with plt.rc_context(), warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            warnings.simplefilter("error", RuntimeWarning)
            runpy.run_path(str(script), run_name="__main__")
    finally:
        plt.close("all")
        if "distributed" in sys.modules:  # what failed has not closed its client, and others would use it
            for client in list(sys.modules["distributed"].Client._instances):
                client.close()
    assert [path.name for path in tmp_path.iterdir()] == [f"{script.stem}.png"]
    pixels = plt.imread(tmp_path / f"{script.stem}.png")[..., :3]
    assert min(pixels.shape[:2]) > 300
    colours = (255 * pixels).astype(int) @ [1 << 16, 1 << 8, 1]
    assert len(np.unique(colours)) > 100
    assert 0.02 < (pixels.min(axis=2) < 0.9).mean() < 0.98


def test_the_examples_are_numbered_without_gaps():
    assert [int(script.name[:2]) for script in SCRIPTS] == list(range(1, len(SCRIPTS) + 1))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_has_a_title_and_prose(script):
    text = script.read_text(encoding="utf-8")
    title, rule = text.splitlines()[1:3]
    assert title and rule == "=" * len(title)
    assert len(re.findall(r"^# %%$", text, re.MULTILINE)) >= 2
