// One variance for each component, the same in every direction.
//
//   log N(x | mu, v) = -1/2 (d log 2 pi v + |x - mu|^2 / v),   U = v^-1/2
//
// One covariance is stored as one number, the mean of the variances of the features. phi(x) = (1, x, |x|^2).
#pragma once

#include <cmath>

#include "gaussmix/types.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// One variance for each component, one number.
struct Spherical {
  static constexpr const char* name = "spherical";
  static constexpr bool shared = false;
  static constexpr bool independent = true;

  static Index entries(Index /*d*/) { return 1; }
  static Index n_parameters(Index k, Index /*d*/) { return k; }

  static double variance(const double* covariance, Index /*d*/, Index /*j*/) { return covariance[0]; }
  static void add_diagonal(double* covariance, Index /*d*/, double value) { covariance[0] += value; }

  /// covariance += factor * |delta|^2 / d
  template <class = void>
  static void add_outer(double* covariance, const Eigen::Ref<const RowVector>& delta, double factor) {
    covariance[0] += factor * delta.squaredNorm() / static_cast<double>(delta.size());
  }

  static void symmetrize(double* /*covariance*/, Index /*d*/) {}

  /// `scale` must be the same for all features, as it is when it is made from spherical precisions.
  template <class = void>
  static void rescale(double* covariance, const Eigen::Ref<const RowVector>& scale) {
    covariance[0] *= scale(0) * scale(0);
  }

  template <class = void>
  static void rescale_factor(double* u, const Eigen::Ref<const RowVector>& scale) {
    u[0] /= scale(0);
  }

  static bool factor(const double* covariance, Index /*d*/, double /*tolerance*/, double* u) {
    if (!(covariance[0] > 0 && std::isfinite(covariance[0]))) return false;
    u[0] = 1 / std::sqrt(covariance[0]);
    return true;
  }

  static bool factor_precision(const double* precision, Index /*d*/, double* u) {
    if (!(precision[0] > 0 && std::isfinite(precision[0]))) return false;
    u[0] = std::sqrt(precision[0]);
    return true;
  }

  static bool make_upper(double* /*u*/, Index /*d*/) { return true; }

  static void precision(const double* u, Index /*d*/, double* p) { p[0] = u[0] * u[0]; }
  static void covariance(const double* u, Index /*d*/, double* v) { v[0] = 1 / (u[0] * u[0]); }

  static bool is_factor(const double* covariance, const double* u, Index /*d*/, double epsilon) {
    return u[0] > 0 && std::abs(std::sqrt(covariance[0]) * u[0] - 1) <= 16 * epsilon;
  }

  static void leading(const double* u, Index /*d*/, Index /*t*/, double* of_first) { of_first[0] = u[0]; }

  static double log_det(const double* u, Index d) { return static_cast<double>(d) * std::log(u[0]); }

  template <class = void>
  static void squared_norms(const Block& x, const double* u, Eigen::Ref<Vector> out) {
    out = x.topRows(out.size()).rowwise().squaredNorm() * (u[0] * u[0]);
  }

  template <class = void>
  static void squared_norms(const Rows& x, const double* u, Eigen::Ref<Vector> out) {
    out = x.rowwise().squaredNorm() * (u[0] * u[0]);
  }

  template <class = void>
  static void add_scatter(const Block& x, const Eigen::Ref<const Vector>& r, double* scatter) {
    scatter[0] += r.dot(x.topRows(r.size()).rowwise().squaredNorm()) / static_cast<double>(x.cols());
  }

  template <class = void>
  static void add_scatter(const Rows& x, const Eigen::Ref<const Vector>& r, double* scatter) {
    scatter[0] += r.dot(x.rowwise().squaredNorm()) / static_cast<double>(x.cols());
  }

  template <class = void>
  static bool add_coloured(const double* covariance, const Eigen::Ref<const Block>& z, Eigen::Ref<Block> x) {
    if (!(covariance[0] >= 0 && std::isfinite(covariance[0]))) return false;
    x += std::sqrt(covariance[0]) * z;
    return true;
  }

  template <class = void>
  static Matrix dense(const double* covariance, Index d) {
    return covariance[0] * Matrix::Identity(d, d);
  }

  template <class = void>
  static RowVector product(const Eigen::Ref<const RowVector>& x, const double* p) {
    return p[0] * x;
  }

  static double largest_row_sum(const double* p, Index /*d*/) { return p[0]; }

  static bool centred_pays(Index /*d*/, Index /*k*/) { return false; }

  static Index feature_terms(Index d) { return d; }

  static Index features(Index d) { return d + 2; }

  template <class Panel, class Features>
  static void expand(const Panel& z, Index /*first*/, Features phi) {
    phi.col(0).setZero();
    for (Index j = 0; j < z.cols(); ++j) phi.col(0) += z.col(j).square();
  }

  template <class = void>
  static void quadratic_coefficients(const double* p, Index /*d*/, StridedVector theta) {
    theta(0) = -0.5 * p[0];
  }

  static void add_total(const Block&, const Eigen::Ref<const Vector>&, Matrix&) {}

  template <class = void>
  static void second_moment(const Eigen::Ref<const Vector>& sums, Index d, double* second) {
    second[0] = sums(0) / static_cast<double>(d);
  }
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
