// The sufficient statistics of a pass over rows, in a form that adds up without losing digits: for each component its
// count N_k = sum_n w_n r_nk, its mean, and its covariance about that mean (scatter / count; tied: one, pooled within
// components), with the log-likelihood and weight of the rows. Dividing by the count keeps them in the range of the data.
//
// Merging: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979:
//   N = N_a + N_b,   mu = mu_a + N_b/N delta,   Sigma = N_a/N Sigma_a + N_b/N Sigma_b + N_a N_b/N^2 delta delta^T
#pragma once

#include <cmath>

#include "gaussmix/covariance.hpp"
#include "gaussmix/parallel.hpp"
#include "gaussmix/types.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Weighted sufficient statistics of K components in d dimensions.
template <class Covariance>
struct Statistics {
  Vector counts;              ///< K, sum_n w_n r_nk
  Matrix means;               ///< K x d
  Matrix covariances;         ///< as in Mixture; about the means above, not regularised
  double log_likelihood = 0;  ///< sum_n w_n log p(x_n) under the model of the pass
  double total_weight = 0;    ///< sum_n w_n

  Statistics() = default;  ///< of no components
  /// Those of no rows, of k components in d dimensions.
  Statistics(Index k, Index d)
      : counts(Vector::Zero(k)),
        means(Matrix::Zero(k, d)),
        covariances(Matrix::Zero(n_matrices<Covariance>(k), Covariance::entries(d))) {}

  Index n_components() const { return means.rows(); }  ///< K
  Index n_features() const { return means.cols(); }    ///< d

  /// The weight that covariance `m` is an average over.
  double mass(Index m) const { return Covariance::shared ? counts.sum() : counts(m); }

  /// Whether nothing has overflowed.
  bool finite() const { return all_finite(means) && all_finite(covariances) && std::isfinite(log_likelihood); }

  /// Of a row of weight one, in nats.
  double mean_log_likelihood() const { return log_likelihood / total_weight; }

  /// Adds the statistics of other rows under the same model. \throws std::invalid_argument if the sizes differ.
  void merge(const Statistics& other, int n_threads = 1) {
    require(means.rows() == other.means.rows() && means.cols() == other.means.cols(),
            "statistics of different sizes cannot be merged");
    parallel_for(covariances.rows(), worth_threads(covariances, n_threads), [&](Index m) {
      const double mine = mass(m), theirs = other.mass(m);
      if (theirs > 0)
        covariances.row(m) =
            (mine / (mine + theirs)) * covariances.row(m) + (theirs / (mine + theirs)) * other.covariances.row(m);
      for_components<Covariance>(m, n_components(), [&](Index k) {
        if (!(other.counts(k) > 0)) return;
        const double share = other.counts(k) / (counts(k) + other.counts(k));
        const RowVector delta = other.means.row(k) - means.row(k);
        const double within = Covariance::shared ? counts(k) / (mine + theirs) : 1 - share;
        Covariance::add_outer(covariances.row(m).data(), delta, within * share);
        means.row(k) = share < 1 ? RowVector(means.row(k) + share * delta) : RowVector(other.means.row(k));
      });
    });
    counts += other.counts;
    log_likelihood += other.log_likelihood;
    total_weight += other.total_weight;
  }

  /// The statistics of the same rows with all weights times `factor` > 0.
  void scale(double factor) {
    require(factor > 0, "the factor of a scaling must be positive");
    counts *= factor;
    log_likelihood *= factor;
    total_weight *= factor;
  }
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
