// A variance for each feature of each component: the features are independent within a component.
//
//   log N(x | mu, v) = -1/2 sum_j (log 2 pi v_j + (x_j - mu_j)^2 / v_j),   U_j = v_j^-1/2
//
// One covariance is stored as a row of d variances. phi(x) = (1, x, x_j^2), coefficients (., mu_j / v_j, -1 / (2 v_j)).
#pragma once

#include <cmath>

#include "gaussmix/product.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// A variance for each component and feature, d numbers.
struct Diagonal {
  static constexpr const char* name = "diag";
  static constexpr bool shared = false;
  static constexpr bool independent = true;

  using Row = Eigen::Map<RowVector>;
  using ConstRow = Eigen::Map<const RowVector>;

  static Index entries(Index d) { return d; }
  static Index n_parameters(Index k, Index d) { return k * d; }

  static double variance(const double* covariance, Index /*d*/, Index j) { return covariance[j]; }
  template <class = void>
  static void add_diagonal(double* covariance, Index d, double value) {
    Row(covariance, d).array() += value;
  }

  /// covariance += factor * diag(delta delta^T)
  template <class = void>
  static void add_outer(double* covariance, const Eigen::Ref<const RowVector>& delta, double factor) {
    Row(covariance, delta.size()) += factor * delta.cwiseAbs2();
  }

  static void symmetrize(double* /*covariance*/, Index /*d*/) {}

  template <class = void>
  static void rescale(double* covariance, const Eigen::Ref<const RowVector>& scale) {
    Row(covariance, scale.size()).array() *= scale.array() * scale.array();
  }

  template <class = void>
  static void rescale_factor(double* u, const Eigen::Ref<const RowVector>& scale) {
    Row(u, scale.size()).array() /= scale.array();
  }

  /// U_j = v_j^-1/2; false unless every variance is positive.
  template <class = void>
  static bool factor(const double* covariance, Index d, double /*tolerance*/, double* u) {
    const ConstRow v(covariance, d);
    if (!((v.array() > 0).all() && v.allFinite())) return false;
    Row(u, d) = v.cwiseSqrt().cwiseInverse();
    return true;
  }

  template <class = void>
  static bool factor_precision(const double* precision, Index d, double* u) {
    const ConstRow p(precision, d);
    if (!((p.array() > 0).all() && p.allFinite())) return false;
    Row(u, d) = p.cwiseSqrt();
    return true;
  }

  static bool make_upper(double* /*u*/, Index /*d*/) { return true; }

  template <class = void>
  static void precision(const double* u, Index d, double* p) {
    Row(p, d) = ConstRow(u, d).cwiseAbs2();
  }
  template <class = void>
  static void covariance(const double* u, Index d, double* v) {
    Row(v, d) = ConstRow(u, d).cwiseAbs2().cwiseInverse();
  }

  /// Whether U is the factor of the variances, up to rounding to `epsilon`.
  template <class = void>
  static bool is_factor(const double* covariance, const double* u, Index d, double epsilon) {
    const auto one = (ConstRow(covariance, d).array().sqrt() * ConstRow(u, d).array()).eval();
    return (ConstRow(u, d).array() > 0).all() && ((one - 1).abs() <= 16 * epsilon).all();
  }

  template <class = void>
  static void leading(const double* u, Index /*d*/, Index t, double* of_first) {
    Row(of_first, t) = ConstRow(u, t);
  }

  template <class = void>
  static double log_det(const double* u, Index d) {
    return ConstRow(u, d).array().log().sum();
  }

  template <class = void>
  static void squared_norms(const Block& x, const double* u, Eigen::Ref<Vector> out) {
    out.setZero();
    for (Index j = 0; j < x.cols(); ++j) out.array() += (u[j] * x.col(j).head(out.size()).array()).square();
  }

  template <class = void>
  static void squared_norms(const Rows& x, const double* u, Eigen::Ref<Vector> out) {
    scaled_squared_norms(x, u, out);
  }

  template <class = void>
  static void add_scatter(const Block& x, const Eigen::Ref<const Vector>& r, double* scatter) {
    for (Index j = 0; j < x.cols(); ++j) scatter[j] += (r.array() * x.col(j).head(r.size()).array().square()).sum();
  }

  template <class = void>
  static void add_scatter(const Rows& x, const Eigen::Ref<const Vector>& r, double* scatter) {
    add_squares(x, r, scatter);
  }

  template <class = void>
  static bool add_coloured(const double* covariance, const Eigen::Ref<const Block>& z, Eigen::Ref<Block> x) {
    const ConstRow v(covariance, x.rows());
    if (!((v.array() >= 0).all() && v.allFinite())) return false;
    x += v.cwiseSqrt().asDiagonal() * z;
    return true;
  }

  template <class = void>
  static Matrix dense(const double* covariance, Index d) {
    return Matrix(ConstRow(covariance, d).asDiagonal());
  }

  template <class = void>
  static RowVector product(const Eigen::Ref<const RowVector>& x, const double* p) {
    return x.cwiseProduct(ConstRow(p, x.size()));
  }

  template <class = void>
  static double largest_row_sum(const double* p, Index d) {
    return ConstRow(p, d).maxCoeff();
  }

  static bool centred_pays(Index /*d*/, Index /*k*/) { return false; }

  static Index feature_terms(Index /*d*/) { return 0; }

  static Index features(Index d) { return 1 + 2 * d; }

  template <class Panel, class Features>
  static void expand(const Panel& z, Index first, Features phi) {
    for (Index j = 0; j < phi.cols(); ++j) phi.col(j) = z.col(first + j).square();
  }

  template <class = void>
  static void quadratic_coefficients(const double* p, Index d, StridedVector theta) {
    theta = -0.5 * ConstRow(p, d).transpose();
  }

  static void add_total(const Block&, const Eigen::Ref<const Vector>&, Matrix&) {}

  template <class = void>
  static void second_moment(const Eigen::Ref<const Vector>& sums, Index d, double* second) {
    Row(second, d) = sums.transpose();
  }
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
