"""scikit-learn's own installed tests of GaussianMixture, run on ours in its place."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import sklearn.mixture

SUITE = Path(sklearn.mixture.__file__).parent / "tests" / "test_gaussian_mixture.py"

# These call private functions of scikit-learn's class or modules on the estimator.
LEFT_OUT = [
    "not (test_gaussian_mixture_precisions_init and not test_gaussian_mixture_precisions_init_diag)",
    "not test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters",
]
if "scale the input data" not in SUITE.read_text():
    LEFT_OUT.append("not test_regularisation")  # an older wording of the message

RUN = """
import sys, pytest, sklearn.mixture, gaussmix
sklearn.mixture.GaussianMixture = gaussmix.GaussianMixture
sys.exit(pytest.main(sys.argv[1:]))
"""


def test_scikit_learns_tests_pass_with_our_class(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    report = tmp_path / "report.xml"
    arguments = [str(SUITE), "-q", "-p", "no:cacheprovider", "-c", str(tmp_path / "pytest.ini")]
    arguments += [f"--junitxml={report}", "-k", " and ".join(LEFT_OUT), "-o", "xfail_strict=false"]
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, *arguments],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # fits of a few rows
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    suite = ET.parse(report).getroot().find("testsuite")
    count = {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
    assert count["failures"] == count["errors"] == 0
    # The rest of the file needs array API libraries, which are not dependencies.
    assert count["tests"] - count["skipped"] >= 40, count
