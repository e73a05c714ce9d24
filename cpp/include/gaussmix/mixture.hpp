// A Gaussian mixture, p(x) = sum_k weights_k N(x | means_k, covariances_k): plain data, in every covariance type one
// row-major matrix per parameter, so that saving, binding and comparing need no code per type.
#pragma once

#include <cfloat>
#include <cmath>

#include "gaussmix/covariance.hpp"
#include "gaussmix/types.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Parameters of a mixture of K components in d dimensions. Densities use `precisions_cholesky`, sampling `covariances`.
template <class Covariance>
struct Mixture {
  Vector weights;              ///< K, sum to 1
  Matrix means;                ///< K x d
  Matrix covariances;          ///< full K x d*d, tied 1 x d*d, diagonal K x d, spherical K x 1
  Matrix precisions_cholesky;  ///< U with Sigma^-1 = U U^T, same shape

  Mixture() = default;  ///< of no components
  /// Room for k components in d dimensions, all zero: no mixture yet.
  Mixture(Index k, Index d)
      : weights(Vector::Zero(k)),
        means(Matrix::Zero(k, d)),
        covariances(Matrix::Zero(n_matrices<Covariance>(k), Covariance::entries(d))),
        precisions_cholesky(covariances) {}

  Index n_components() const { return means.rows(); }  ///< K
  Index n_features() const { return means.cols(); }    ///< d

  /// The covariance of component k, as its type stores it.
  const double* covariance(Index k) const { return covariances.row(matrix_of<Covariance>(k)).data(); }
  /// The precision Cholesky factor of component k, as its type stores it.
  const double* factor(Index k) const { return precisions_cholesky.row(matrix_of<Covariance>(k)).data(); }

  /// Free parameters: weights less one, means, covariances.
  Index n_parameters() const {
    return n_components() - 1 + means.size() + Covariance::n_parameters(n_components(), n_features());
  }
};

namespace detail {
template <class Covariance>
Mixture<Covariance> make_mixture(const Vector& weights, const Matrix& means, const Matrix& matrices) {
  Mixture<Covariance> mixture(means.rows(), means.cols());
  require(means.size() > 0 && means.allFinite(), "means must be finite, with at least one component and one feature");
  require(weights.size() == means.rows() && weights.allFinite() && (weights.array() >= 0).all() && weights.sum() > 0,
          "weights must be one for each component, finite, not negative and not all zero");
  require(matrices.rows() == mixture.covariances.rows() && matrices.cols() == mixture.covariances.cols() &&
              matrices.allFinite(),
          "covariances or precisions must have the shape of their type and be finite");
  mixture.weights = weights / weights.sum();
  mixture.means = means;
  return mixture;
}

/// Whether every number is one that a float holds.
template <class = void>
bool single_precision(const Matrix& numbers) {
  return (numbers.array().abs() <= FLT_MAX).all() && numbers.cast<float>().cast<double>() == numbers;
}
}  // namespace detail

/// Checks parameters that come from elsewhere: finite, weights with sum 1 (to 1e-6), and factors that belong to the
/// covariances, up to rounding: of floats where all of these are floats.
/// \throws std::invalid_argument if they do not fit together
template <class Covariance>
void check_parameters(const Mixture<Covariance>& mixture) {
  const Index k = mixture.n_components(), d = mixture.n_features(), matrices = n_matrices<Covariance>(k);
  require(k > 0 && d > 0 && mixture.means.allFinite(),
          "means must be finite, with at least one component and one feature");
  require(mixture.weights.size() == k && mixture.weights.allFinite() && (mixture.weights.array() >= 0).all() &&
              std::abs(mixture.weights.sum() - 1) <= 1e-6,
          "weights must be one for each component, not negative and with sum 1");
  for (const Matrix* m : {&mixture.covariances, &mixture.precisions_cholesky})
    require(m->rows() == matrices && m->cols() == Covariance::entries(d) && m->allFinite(),
            "covariances and precisions_cholesky must have the shape of their type and be finite");
  const bool single =
      detail::single_precision(mixture.covariances) && detail::single_precision(mixture.precisions_cholesky);
  for (Index m = 0; m < matrices; ++m)
    require(Covariance::is_factor(mixture.covariances.row(m).data(), mixture.precisions_cholesky.row(m).data(), d,
                                  single ? FLT_EPSILON : DBL_EPSILON),
            "covariances must be positive-definite, and precisions_cholesky the factors of their inverses");
}

/// A mixture from its covariances. Weights are normalised to sum to 1.
/// \throws NotPositiveDefinite if a covariance is not; std::invalid_argument if a size or value does not fit.
template <class Covariance>
Mixture<Covariance> from_covariances(const Vector& weights, const Matrix& means, const Matrix& covariances) {
  auto mixture = detail::make_mixture<Covariance>(weights, means, covariances);
  mixture.covariances = covariances;
  for (Index m = 0; m < covariances.rows(); ++m)
    if (!Covariance::factor(covariances.row(m).data(), means.cols(), 0, mixture.precisions_cholesky.row(m).data()))
      throw NotPositiveDefinite("covariances must be positive-definite");
  return mixture;
}

/// A mixture from its precisions, the inverses of the covariances. Errors as `from_covariances`.
template <class Covariance>
Mixture<Covariance> from_precisions(const Vector& weights, const Matrix& means, const Matrix& precisions) {
  auto mixture = detail::make_mixture<Covariance>(weights, means, precisions);
  for (Index m = 0; m < precisions.rows(); ++m) {
    double* u = mixture.precisions_cholesky.row(m).data();
    if (!Covariance::factor_precision(precisions.row(m).data(), means.cols(), u))
      throw NotPositiveDefinite("precisions must be positive-definite");
    Covariance::covariance(u, means.cols(), mixture.covariances.row(m).data());
  }
  return mixture;
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
