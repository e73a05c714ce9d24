"""Fixtures. test_minimal.py runs with these where there is only NumPy, scikit-learn and pytest."""

import signal

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from cases import TYPES


@pytest.fixture(autouse=True, scope="session")
def ctrl_c():
    """Let Ctrl-C raise, also where the suite was started in the background and was told to ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=TYPES)
def covariance_type(request):
    """Return each of the four types in turn."""
    return request.param


@pytest.fixture
def blobs():
    """Return 200 rows of three overlapping clusters in 3 dimensions."""
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0, 0.0], [3.0, 1.0, -2.0], [-2.0, 4.0, 1.0]])
    return centres[rng.integers(0, 3, size=200)] + rng.standard_normal((200, 3)) * [1.0, 0.5, 1.5]


@pytest.fixture
def one_thread():
    """Keep OpenMP and BLAS to one thread: small fits are slower on several where processors are busy."""
    with threadpool_limits(1):
        yield
