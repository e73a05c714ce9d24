// M-step: the mixture that maximises the expected log-likelihood given sufficient statistics.
//
//   pi_k = N_k / N,   mu_k = M1_k / N_k,   Sigma_k = M2_k / N_k - mu_k mu_k^T + reg_covar I     (Bishop 2006, eq. 9.24-9.26)
//
// Where that has no solution (a covariance that is singular to working precision, a component without rows) the
// component is repaired and reported: its variances are raised by the floor max(reg_covar, 2^20 eps tr(Sigma_total) / d)
// in place of reg_covar. It keeps the floor for the rest of a fit: without it the next likelihood would be one of
// rounding, which is also why the floor is at half the digits of the data and not at the last one.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gaussmix/mixture.hpp"
#include "gaussmix/parallel.hpp"
#include "gaussmix/statistics.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Components that could not be estimated from their statistics alone.
struct Repairs {
  std::vector<Index> floored;  ///< matrices that were singular; those listed before the call get the floor too
  std::vector<Index> starved;  ///< components whose count is about 0: at most eps of the total
};

/// Mean over the features of the total variance that the statistics describe.
template <class Covariance>
double mean_total_variance(const Statistics<Covariance>& statistics) {
  const Index d = statistics.n_features();
  const double total = statistics.counts.sum();
  const RowVector mean = statistics.counts.transpose() / total * statistics.means;
  double sum = 0;
  for (Index k = 0; k < statistics.n_components(); ++k) {
    const double* covariance = statistics.covariances.row(matrix_of<Covariance>(k)).data();
    double variance = 0;
    for (Index j = 0; j < d; ++j) variance += Covariance::variance(covariance, d, j);
    sum += statistics.counts(k) / total * (variance + (statistics.means.row(k) - mean).squaredNorm());
  }
  return sum / static_cast<double>(d);
}

namespace detail {

/// Variances down to here have a precision that is a number.
inline constexpr double smallest_variance = 1e-307;

/// Factors a covariance, unless what is left of its smallest variance is rounding.
template <class Covariance>
bool factor_resolved(const double* covariance, const Eigen::Ref<const RowVector>& mean, double reg_covar, double* u) {
  constexpr double eps = std::numeric_limits<double>::epsilon();
  const Index d = mean.size();
  for (Index j = 0; j < d && reg_covar == 0; ++j) {
    const double resolution = 4 * eps * std::abs(mean(j));
    if (!(Covariance::variance(covariance, d, j) > std::max(resolution * resolution, smallest_variance))) return false;
  }
  // Pivots of a singular covariance are rounding of a few d eps.
  return Covariance::factor(covariance, d, 8 * static_cast<double>(d) * eps, u);
}

/// Average of the covariances, weighted by count: what a component without rows is given.
template <class Covariance>
RowVector pooled_covariance(const Statistics<Covariance>& statistics) {
  RowVector pooled = RowVector::Zero(statistics.covariances.cols());
  const double total = statistics.counts.sum();
  for (Index m = 0; m < statistics.covariances.rows(); ++m)
    pooled += statistics.mass(m) / total * statistics.covariances.row(m);
  return pooled;
}

}  // namespace detail

/// The mixture of maximal likelihood given the statistics.
///
/// \param statistics  K components in d dimensions, of positive total count
/// \param reg_covar   added to the variances, not negative
/// \param repairs     if given, components are repaired and listed here; else they are an error
/// \param n_threads   threads at most
/// \throws NotPositiveDefinite if a covariance is singular or a component has no rows, and nothing must be repaired
/// \throws DegenerateData if variances overflow, or are so small that their inverses do, or a repaired covariance is
///         still not positive-definite
template <class Covariance>
Mixture<Covariance> maximize(const Statistics<Covariance>& statistics, double reg_covar, Repairs* repairs = nullptr,
                             int n_threads = 1) {
  constexpr double eps = std::numeric_limits<double>::epsilon();
  const Index k = statistics.n_components(), d = statistics.n_features();
  const double total = statistics.counts.sum();
  require(total > 0, "statistics must have a positive total count");
  if (!statistics.finite()) throw DegenerateData(overflow_message);
  const NotPositiveDefinite singular("a covariance is singular; increase reg_covar or use fewer components");

  Mixture<Covariance> mixture;
  mixture.weights = statistics.counts / total;
  mixture.means = statistics.means;
  const Index matrices = statistics.covariances.rows();
  mixture.covariances.resize(matrices, statistics.covariances.cols());
  mixture.precisions_cholesky.resize(matrices, statistics.covariances.cols());
  const auto starved = [&](Index c) { return !(statistics.counts(c) > eps * total); };
  RowVector pooled;
  for (Index c = 0; c < k; ++c) {
    if (!starved(c)) continue;
    if (!repairs) throw singular;
    repairs->starved.push_back(c);
    if (!Covariance::shared && pooled.size() == 0) pooled = detail::pooled_covariance(statistics);
  }
  const auto known = [&](Index m) {
    return repairs && std::find(repairs->floored.begin(), repairs->floored.end(), m) != repairs->floored.end();
  };
  std::vector<char> resolved(static_cast<std::size_t>(matrices));
  parallel_for(matrices, worth_threads(mixture.covariances, n_threads), [&](Index m) {
    double* covariance = mixture.covariances.row(m).data();
    if (!Covariance::shared && starved(m))
      mixture.covariances.row(m) = pooled;
    else
      mixture.covariances.row(m) = statistics.covariances.row(m);
    Covariance::add_diagonal(covariance, d, reg_covar);
    resolved[static_cast<std::size_t>(m)] =
        !known(m) && detail::factor_resolved<Covariance>(covariance, mixture.means.row(m), reg_covar,
                                                         mixture.precisions_cholesky.row(m).data());
  });
  for (Index m = 0; m < matrices; ++m) {
    if (resolved[static_cast<std::size_t>(m)]) continue;
    if (!repairs) throw singular;
    if (!known(m)) repairs->floored.push_back(m);
    double* covariance = mixture.covariances.row(m).data();
    double* u = mixture.precisions_cholesky.row(m).data();
    const double floor = std::max(reg_covar, 0x1p20 * eps * mean_total_variance(statistics));
    if (!std::isfinite(floor)) throw DegenerateData(overflow_message);
    if (floor < detail::smallest_variance)
      throw DegenerateData(
          "The rows are equal, or so close that their variances underflow; increase reg_covar, or scale the input "
          "data.");
    Covariance::add_diagonal(covariance, d, floor - reg_covar);
    if (!Covariance::factor(covariance, d, 0, u))
      throw DegenerateData(
          "A covariance is not positive-definite beyond rounding; increase reg_covar or use fewer components.");
  }
  return mixture;
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
