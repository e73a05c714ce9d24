"""The examples: each runs on its own, without a display, and leaves a picture with something on it."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("[0-9][0-9]_*.py"))
NEEDED = {"10_old_faithful": ["plotnine"], "12_dask_cluster": ["dask", "distributed"]}  # beside matplotlib and tqdm
pytestmark = pytest.mark.skipif(not SCRIPTS, reason="not in a source tree")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_makes_its_picture(script, tmp_path):
    for package in ["matplotlib", "tqdm", *NEEDED.get(script.stem, [])]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    import matplotlib.pyplot as plt

    environment = os.environ | {"GAUSSMIX_EXAMPLES_QUICK": "1", "MPLBACKEND": "Agg"}
    command = [sys.executable, str(script)]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "ConvergenceWarning" not in ran.stderr and "RuntimeWarning" not in ran.stderr, ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == [f"{script.stem}.png"]
    pixels = plt.imread(tmp_path / f"{script.stem}.png")[..., :3]
    assert min(pixels.shape[:2]) > 300
    assert len(np.unique((255 * pixels).astype(np.uint8).reshape(-1, 3), axis=0)) > 100
    assert 0.02 < (pixels.min(axis=2) < 0.9).mean() < 0.98


def test_the_examples_are_numbered_without_gaps():
    assert [int(script.name[:2]) for script in SCRIPTS] == list(range(1, len(SCRIPTS) + 1))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_has_a_title_and_prose(script):
    text = script.read_text(encoding="utf-8")
    title, rule = text.splitlines()[1:3]
    assert title and rule == "=" * len(title)
    assert len(re.findall(r"^# %%$", text, re.MULTILINE)) >= 2
