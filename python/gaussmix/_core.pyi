"""The compiled core, as each of the modules `_core_baseline`, `_core_avx2` and `_core_avx512` has it."""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Labels = NDArray[np.int64]
Callback = Callable[[str, int, int, float, float, bool], bool]

config: dict[str, Any]
mixtures: dict[str, type[Mixture]]

class Stopped(RuntimeError): ...

class FitResult(TypedDict):
    weights: Doubles
    means: Doubles
    covariances: Doubles
    precisions_cholesky: Doubles
    converged: bool
    stopped: bool
    lower_bound: float
    lower_bounds: list[float]
    events: list[tuple[str, int, int, int, bool]]
    restart: int
    raised: BaseException | None

class Data:
    def __init__(self, arrays: Sequence[Array], weights: Doubles | None = None) -> None: ...
    @property
    def shape(self) -> tuple[int, int]: ...

class Mixture:
    def __init__(self, weights: Array, means: Array, covariances: Array, precisions_cholesky: Array) -> None: ...
    @staticmethod
    def fit(
        data: Data,
        n_components: int,
        *,
        tol: float,
        reg_covar: float,
        max_iter: int,
        n_init: int,
        init_params: str,
        weights: Array | None,
        means: Array | None,
        precisions: Array | None,
        seed: int,
        n_threads: int,
        single: bool,
        callback: Callback,
        previous: Mixture | None,
        previous_bound: float,
    ) -> FitResult: ...
    @staticmethod
    def from_covariances(
        weights: Array, means: Array, covariances: Array
    ) -> tuple[Doubles, Doubles, Doubles, Doubles]: ...
    @staticmethod
    def check(weights: Array, means: Array, covariances: Array, precisions_cholesky: Array) -> None: ...
    @staticmethod
    def precisions(precisions_cholesky: Array, n_components: int, n_features: int) -> Doubles: ...
    @staticmethod
    def covariances(precisions_cholesky: Array, n_components: int, n_features: int) -> Doubles: ...
    def log_densities(self, data: Data, single: bool, n_threads: int) -> Array: ...
    def responsibilities(self, data: Data, single: bool, n_threads: int) -> Array: ...
    def labels(self, data: Data, single: bool, n_threads: int) -> Labels: ...
    def score(self, data: Data, n_threads: int) -> float: ...
    def certainty(self, data: Data, n_threads: int) -> float: ...
    @staticmethod
    def sample(
        weights: Array, means: Array, covariances: Array, n_samples: int, seed: int, n_threads: int
    ) -> tuple[Doubles, Labels]: ...
    @property
    def n_parameters(self) -> int: ...

def default_threads() -> int: ...
def aic(mean_log_likelihood: float, n_parameters: int, total_weight: float) -> float: ...
def bic(mean_log_likelihood: float, n_parameters: int, total_weight: float) -> float: ...
def icl(mean_log_likelihood: float, certainty: float, n_parameters: int, total_weight: float) -> float: ...
