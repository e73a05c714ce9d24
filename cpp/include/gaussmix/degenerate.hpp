// Data and results that no fit can be made of: told apart from components that merely collapsed, which are repaired.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "gaussmix/initialize.hpp"
#include "gaussmix/maximize.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {
namespace detail {

inline const char* const singular_message =
    "Fitting the mixture model failed because some components have ill-defined empirical covariance (for instance "
    "caused by singleton or collapsed samples). Try to decrease the number of components, increase reg_covar, or "
    "scale the input data.";

/// Whether fewer than k rows of positive weight are distinct.
inline bool fewer_distinct_rows(const Data& data, Index k) {
  Matrix distinct(k, data.cols());
  RowVector x(data.cols());
  Index found = 0;
  for (Index i = 0; i < data.rows() && found < k; ++i) {
    if (!(data.weight(i) > 0)) continue;
    data.load_row(i, x);
    Index same = 0;
    while (same < found && distinct.row(same) != x) ++same;
    if (same == found) distinct.row(found++) = x;
  }
  return found < k;
}

/// Whether the rows all together are singular for this type of covariance.
template <class Covariance>
bool lower_rank(const Data& data, int n_threads) {
  const Spread spread = measure_spread(data, worth_threads(flops<Covariance>(data.rows(), data.cols(), 1), n_threads));
  const Frame frame = spread.frame();
  const std::vector<std::int32_t> one_label(static_cast<std::size_t>(data.rows()), 0);
  const auto total = statistics_of_labels<Covariance>(data, spread.mean, one_label.data(), frame, n_threads);
  RowVector u(total.covariances.cols());
  return !factor_resolved<Covariance>(total.covariances.row(0).data(), total.means.row(0), 0, u.data());
}

/// The same of rows that are known by their statistics.
template <class Covariance>
bool lower_rank(const Statistics<Covariance>& statistics) {
  const Index d = statistics.n_features();
  Statistics<Covariance> total(1, d);
  for (Index k = 0; k < statistics.n_components(); ++k) {
    Statistics<Covariance> part(1, d);
    part.counts(0) = statistics.counts(k);
    part.means = statistics.means.row(k);
    part.covariances = statistics.covariances.row(matrix_of<Covariance>(k));
    total.merge(part);
  }
  RowVector u(total.covariances.cols());
  return !factor_resolved<Covariance>(total.covariances.row(0).data(), total.means.row(0), 0, u.data());
}

/// Rounds the parameters to what floats hold. \throws DegenerateData if variances are out of their range
template <class Covariance>
void round_to_single(Mixture<Covariance>& mixture) {
  mixture.weights = mixture.weights.template cast<float>().template cast<double>().eval();
  for (Matrix* m : {&mixture.means, &mixture.covariances, &mixture.precisions_cholesky})
    *m = m->template cast<float>().template cast<double>().eval();
  bool in_range = mixture.means.allFinite() && mixture.precisions_cholesky.cwiseAbs().maxCoeff() < 1e19;
  for (Index m = 0; m < mixture.covariances.rows(); ++m)
    for (Index j = 0; j < mixture.n_features(); ++j) {
      const double variance = Covariance::variance(mixture.covariances.row(m).data(), mixture.n_features(), j);
      in_range = in_range && variance > 0 && std::isfinite(variance);
    }
  if (!in_range)
    throw DegenerateData(
        "The variances are beyond the range of float32; pass float64 data, scale the input data, or increase "
        "reg_covar.");
}

}  // namespace detail
}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
