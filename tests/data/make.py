"""Make the model files of a release, which every later release must read: python make.py REWRITE.

REWRITE is the program that rewrite.cpp compiles to. For each type and dtype the folder of the version gets a file by
Python, one by C++, and as plain little-endian doubles what they must give: weights, means, covariances, precision
Cholesky factors, and the responsibilities of the rows in rows.f64. One more file has everything that a file can have;
records.json has what the files by Python must give beyond the arrays. Files named shape_* are models of other sizes,
ill-conditioned ones among them, each with its rows and their responsibilities in one file of doubles. Run it once a
release; its files never change.
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

import gaussmix

PARAMETERS = ("weights_", "means_", "covariances_", "precisions_cholesky_")


def record(model: gaussmix.GaussianMixture) -> dict[str, object]:
    """Return what a file keeps of an estimator beside the fitted arrays, in the words of JSON."""
    params = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in model.get_params(deep=False).items()
    }
    return {
        "params": params,
        "feature_names": list(getattr(model, "feature_names_in_", [])),
        "converged": model.converged_,
        "n_iter": model.n_iter_,
        "lower_bound": model.lower_bound_,
        "lower_bounds": model.lower_bounds_,
        "events": [list(event) for event in model.events_],
        "restarts": [list(restart) for restart in model.restarts_],
    }


def everything(X: np.ndarray) -> gaussmix.GaussianMixture:
    """Return a fitted estimator with names, starts, repairs and two restarts, and no parameter at its default."""
    model = gaussmix.GaussianMixture(
        3,
        covariance_type="diag",
        tol=1e-4,
        reg_covar=0.0,
        max_iter=15,
        n_init=2,
        init_params="random_from_data",
        weights_init=[0.25, 0.25, 0.5],
        precisions_init=np.full((3, 3), 0.5),
        random_state=7,
        warm_start=True,
        verbose=0,
        verbose_interval=5,
        n_threads=1,
        step_offset=3.0,
        step_power=0.75,
        step_floor=0.01,
    )
    frame = pd.DataFrame(
        np.vstack([X, np.full((40, 3), 50.0)]), columns=pd.Index(["a", "Länge", 'x "y"'], dtype=object)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(frame)
    return model.set_params(means_init=[[0, 0, 0], [1, 1, 1], [50, 50, 50]])  # with which there would be one restart


def shapes(folder: Path) -> None:
    """Write models of many sizes: clusters that overlap, stretched until the covariances have condition 1e8."""
    rng = np.random.default_rng(1)
    for d, k in ((1, 16), (5, 9), (12, 16), (20, 4)):
        X = rng.normal(size=(60 * k, d)) + 4 / np.sqrt(d) * rng.normal(size=(k, d)).repeat(60, axis=0)
        # Rotated for the types that can follow it.
        stretched = X * np.logspace(0, -4, d)
        rotated = stretched @ np.linalg.qr(rng.normal(size=(d, d)))[0]
        for kind, data in (("full", rotated), ("tied", rotated), ("diag", stretched), ("spherical", X)):
            model = gaussmix.GaussianMixture(k, covariance_type=kind, reg_covar=0, max_iter=3, random_state=0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(data + 1)
            rows = data[:: 4 * k] + 1
            name = folder / f"shape_{kind}_{d}x{k}"
            model.save(name.with_suffix(".safetensors"))
            numbers = np.concatenate([rows.ravel(), model.predict_proba(rows).ravel()])
            numbers.astype("<f8").tofile(name.with_suffix(".f64"))


def main() -> None:
    """Write the files."""
    records = {}
    folder = Path(__file__).parent / gaussmix.__version__
    folder.mkdir()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)) * [1, 0.5, 20] + rng.choice([-1.5, 0, 2], size=(300, 1))
    rows = X[:20]
    rows.astype("<f8").tofile(folder / "rows.f64")
    for kind in ("full", "tied", "diag", "spherical"):
        for dtype in ("float64", "float32"):
            model = gaussmix.GaussianMixture(3, covariance_type=kind, max_iter=20, tol=1e-2, random_state=0)
            model.fit(X.astype(dtype))
            ours = folder / f"python_{kind}_{dtype}.safetensors"
            model.save(ours)
            records[ours.name] = record(model)
            theirs = folder / f"cpp_{kind}_{dtype}.safetensors"
            subprocess.run([sys.argv[1], ours, theirs], check=True)
            arrays = [*(getattr(model, name) for name in PARAMETERS), model.predict_proba(rows)]
            np.concatenate([a.astype("<f8").ravel() for a in arrays]).tofile(folder / f"{kind}_{dtype}.f64")
    shapes(folder)
    model = everything(X)
    model.save(folder / "python_everything.safetensors")
    records["python_everything.safetensors"] = record(model)
    text = json.dumps(records, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / "records.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
