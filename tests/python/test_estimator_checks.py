"""scikit-learn's checks of estimators, for several settings."""

import pytest
from sklearn.utils.estimator_checks import check_estimators_partial_fit_n_features, parametrize_with_checks

from gaussmix import GaussianMixture, GaussianMixtureIC

SETTINGS = [
    GaussianMixture(),
    GaussianMixture(n_components=2, covariance_type="tied"),
    GaussianMixture(n_components=2, covariance_type="diag", init_params="k-means++"),
    GaussianMixture(n_components=2, covariance_type="spherical", init_params="random_from_data", n_init=2),
    GaussianMixture(n_components=2, init_params="random", warm_start=True, n_threads=2),
    GaussianMixtureIC(max_components=1),
    GaussianMixtureIC(max_components=3),
    GaussianMixtureIC(2, 3, covariance_type=["diag", "tied"], criterion="icl", early_stopping=1, n_threads=2),
    GaussianMixtureIC(max_components=2, covariance_type="spherical", criterion="cv", cv=2),
]

try:
    from gaussmix.dask import GaussianMixture as OnDask
except ImportError:  # without Dask
    pass
else:
    SETTINGS.append(OnDask(n_components=2, covariance_type="tied"))


def expected_failed_checks(estimator):
    """Return the one check that cannot pass: a random start draws other rows where rows are repeated."""
    if getattr(estimator, "n_components", None) == 1 or getattr(estimator, "max_components", None) == 1:
        return {}
    reason = "a random start of repeated rows is not that of weighted rows, as in scikit-learn's KMeans"
    return {
        "check_sample_weight_equivalence_on_dense_data": reason,
        "check_sample_weight_equivalence": reason,
    }


@parametrize_with_checks(SETTINGS, expected_failed_checks=expected_failed_checks)
def test_estimator(estimator, check):
    check(estimator)


# scikit-learn runs it for classifiers, regressors and clusterers alone.
@pytest.mark.parametrize("estimator", [s for s in SETTINGS if hasattr(s, "partial_fit")], ids=repr)
def test_partial_fit(estimator):
    check_estimators_partial_fit_n_features(type(estimator).__name__, estimator)
