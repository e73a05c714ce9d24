"""Make the model files of a release, which every later release must read: python make.py REWRITE.

REWRITE is the program that rewrite.cpp compiles to. For each type and dtype the folder of the version gets a file by
Python, one by C++, and as plain little-endian doubles what they must give: weights, means, covariances, precision
Cholesky factors, and the responsibilities of the rows in rows.f64. Run it once a release, and never change its files.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

import gaussmix

PARAMETERS = ("weights_", "means_", "covariances_", "precisions_cholesky_")


def main() -> None:
    """Write the files."""
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
            theirs = folder / f"cpp_{kind}_{dtype}.safetensors"
            subprocess.run([sys.argv[1], ours, theirs, *(["single"] if dtype == "float32" else [])], check=True)
            arrays = [*(getattr(model, name) for name in PARAMETERS), model.predict_proba(rows)]
            np.concatenate([a.astype("<f8").ravel() for a in arrays]).tofile(folder / f"{kind}_{dtype}.f64")


if __name__ == "__main__":
    main()
