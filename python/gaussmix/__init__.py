"""Gaussian mixture models: fast, exact, a drop-in for scikit-learn's class.

The estimator is :class:`GaussianMixture`; :class:`GaussianMixtureIC` chooses the number of components and the type of
covariance. :func:`load` reads a model from a file. :func:`show_config` tells which compiled core runs.
Pictures are in :mod:`gaussmix.plot`, which is imported by itself.
"""

from gaussmix._dispatch import show_config
from gaussmix._mixture import FitEvent, FitRestart, GaussianMixture
from gaussmix.io import ModelFileError, load
from gaussmix.selection import GaussianMixtureIC

__version__ = "0.1.0"
__all__ = [
    "FitEvent",
    "FitRestart",
    "GaussianMixture",
    "GaussianMixtureIC",
    "ModelFileError",
    "__version__",
    "load",
    "show_config",
]
