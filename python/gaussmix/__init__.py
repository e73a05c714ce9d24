"""Gaussian mixture models: fast, exact, a drop-in for scikit-learn's class.

The estimator is :class:`GaussianMixture`; :class:`GaussianMixtureIC` chooses the number of components and the type of
covariance. :class:`Statistics` and :func:`maximize` are the two halves of EM. :func:`load` reads a model from a file.
:func:`show_config` tells which compiled core runs.
Rows that do not fit into memory are for :mod:`gaussmix.chunked`. Pictures are in :mod:`gaussmix.plot`, which is
imported by itself.
"""

from gaussmix import chunked
from gaussmix._dispatch import show_config
from gaussmix._mixture import FitEvent, FitRestart, GaussianMixture
from gaussmix.io import ModelFileError, load
from gaussmix.selection import GaussianMixtureIC
from gaussmix.statistics import Statistics, maximize

__version__ = "0.1.0"
__all__ = [
    "FitEvent",
    "FitRestart",
    "GaussianMixture",
    "GaussianMixtureIC",
    "ModelFileError",
    "Statistics",
    "__version__",
    "chunked",
    "load",
    "maximize",
    "show_config",
]
