"""The compiled core, as each of the modules `_core_baseline`, `_core_avx2` and `_core_avx512` has it."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Labels = NDArray[np.int64]
Callback = Callable[[str, int, int, float, float, bool], bool]

Event = tuple[str, int, int, int, bool]
State = tuple[int, int, list[int], list[Event]]  # iterations, reseeds, floored matrices, events

config: dict[str, Any]
mixtures: dict[str, type[Mixture]]
statistics: dict[str, type[Statistics]]

class Stopped(RuntimeError): ...
class NotPositiveDefinite(ValueError): ...
class DegenerateData(ValueError): ...

class FitResult(TypedDict):
    weights: Doubles
    means: Doubles
    covariances: Doubles
    precisions_cholesky: Doubles
    converged: bool
    stopped: bool
    lower_bound: float
    lower_bounds: list[float]
    events: list[Event]
    restart: int
    raised: BaseException | None

class PassesResult(FitResult):
    state: State

class Pass(Protocol):
    def accumulate(self, mixture: Mixture, about: Array | None, /) -> Statistics: ...

class Passes(Pass, Protocol):
    def score(self, mixture: Mixture, /) -> float: ...
    def worst_rows(self, mixture: Mixture, count: int, /) -> Array: ...

class Data:
    def __init__(self, arrays: Sequence[Array], weights: Doubles | None = None) -> None: ...
    @property
    def shape(self) -> tuple[int, int]: ...

class Statistics:
    def __init__(
        self, counts: Array, means: Array, covariances: Array, log_likelihood: float, total_weight: float
    ) -> None: ...
    @staticmethod
    def of_labels(data: Data, centres: Array, labels: NDArray[np.int32], n_threads: int) -> Statistics: ...
    def merge(self, other: Statistics) -> None: ...
    def scale(self, factor: float) -> None: ...
    def maximize(self, reg_covar: float, n_threads: int) -> tuple[Doubles, Doubles, Doubles, Doubles]: ...
    @property
    def counts(self) -> Doubles: ...
    @property
    def means(self) -> Doubles: ...
    @property
    def covariances(self) -> Doubles: ...
    @property
    def log_likelihood(self) -> float: ...
    @property
    def total_weight(self) -> float: ...

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
    def fit_passes(
        passes: Pass,  # Passes, where components may be moved or the result is scored
        start: Mixture,
        *,
        tol: float,
        reg_covar: float,
        max_iter: int,
        given_start: bool,
        n_threads: int,
        single: bool,
        callback: Callback,
        previous_bound: float,
        state: State | None,
        score_result: bool = True,
    ) -> PassesResult: ...
    def accumulate(self, data: Data, n_threads: int, about: Array | None = None) -> Statistics: ...
    def arrays(self) -> tuple[Doubles, Doubles, Doubles, Doubles]: ...
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
