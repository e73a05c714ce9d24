// One covariance matrix that all components share.
//
// The quadratic term of the log-density, -|U^T x|^2 / 2, is the same for all components, so that phi(x) = (1, x) and the
// term is added to log p(x) alone. The pooled scatter sum_k sum_n r_nk (x_n - mu_k)(x_n - mu_k)^T does not need the
// responsibilities beyond counts and means either: it is the total scatter, which a fit sums once (total_scatter.hpp), less
// that of the means.
#pragma once

#include "gaussmix/covariance/full.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// One covariance matrix for all components, d x d numbers.
struct Tied : Full {
  static constexpr const char* name = "tied";
  static constexpr bool shared = true;

  static Index n_parameters(Index /*k*/, Index d) { return d * (d + 1) / 2; }

  static bool centred_pays(Index /*d*/, Index /*k*/) { return false; }

  static Index features(Index d) { return 1 + d; }

  template <class Panel, class Features>
  static void expand(const Panel& /*z*/, Index /*first*/, Features /*phi*/) {}

  static void quadratic_coefficients(const double* /*p*/, Index /*d*/, StridedVector /*theta*/) {}

  /// The total second moment of a block, which the sums over the features do not hold.
  static void add_total(const Block& z, const Eigen::Ref<const Vector>& w, Matrix& total) {
    add_scatter(z, w, total.data());
  }

  static void second_moment(const Eigen::Ref<const Vector>& /*sums*/, Index /*d*/, double* /*second*/) {}

  /// Rows U^T x, n x d, become the x.
  template <class Derived>
  static void unwhiten(const double* u, Eigen::MatrixBase<Derived>& rows) {
    const ConstSquare factor(u, rows.cols(), rows.cols());
    factor.transpose().triangularView<Eigen::Lower>().solveInPlace(rows.derived().transpose());
  }

  /// The covariance of U^T x becomes that of x, U^-T Sigma U^-1.
  template <class = void>
  static void unwhiten_covariance(const double* u, Index d, double* covariance) {
    Square sigma(covariance, d, d);
    for (int side = 0; side < 2; ++side) {
      unwhiten(u, sigma);
      sigma.transposeInPlace();
    }
    symmetrize(covariance, d);
  }
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
