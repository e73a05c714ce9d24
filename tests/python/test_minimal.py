"""What a wheel must do where there is only NumPy, scikit-learn and pytest."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

import gaussmix
from gaussmix import GaussianMixture

X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])


def test_two_clusters_are_found(covariance_type):
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    assert sorted(model.means_[:, 0].round(6)) == [1, 10]
    assert model.converged_
    labels = model.predict(X)
    assert labels[0] == labels[1] == labels[2] != labels[3] == labels[4] == labels[5]
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    assert model.lower_bound_ == model.score(X)


def test_sample_is_fitted_again():
    truth = GaussianMixture.from_parameters([0.3, 0.7], [[0.0, 0.0], [8.0, 8.0]], [np.eye(2), 2 * np.eye(2)])
    rows, labels = truth.sample(4000, random_state=0)
    assert rows.shape == (4000, 2)
    model = GaussianMixture(2, random_state=0).fit(rows)
    order = np.argsort(model.means_[:, 0])
    np.testing.assert_allclose(model.weights_[order], np.bincount(labels) / 4000, atol=0.01)
    np.testing.assert_allclose(model.covariances_[order], [np.eye(2), 2 * np.eye(2)], atol=0.15)


def test_pickle_and_clone():
    model = GaussianMixture(2, random_state=0).fit(X)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
    assert clone(model).get_params() == model.get_params()


def test_config_is_shown(capsys):
    gaussmix.show_config()
    out = capsys.readouterr().out
    assert gaussmix.__version__ in out
    assert "instruction set" in out


def test_bad_input_is_a_value_error():
    with pytest.raises(ValueError, match="NaN"):
        GaussianMixture(2).fit(np.where(X == 4, np.nan, X))
