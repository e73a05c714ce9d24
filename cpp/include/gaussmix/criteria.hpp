// Information criteria: what a likelihood is worth given the parameters that it took. The lower the better, in nats
// times two; n is the total weight of the rows.
//
//   AIC = -2 log L + 2 p                        Akaike, 1974
//   BIC = -2 log L + p log n                    Schwarz, 1978
//   ICL = BIC - 2 sum_n w_n log max_k r_nk      Biernacki, Celeux, Govaert, 2000, eq. (3): BIC of the classified data
#pragma once

#include <cmath>

#include "gaussmix/types.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// \param mean_log_likelihood  sum(w l) / sum(w)
/// \param n_parameters         free parameters of the mixture
/// \param total_weight         sum(w), the number of rows where there are no weights
inline double aic(double mean_log_likelihood, Index n_parameters, double total_weight) {
  return -2 * mean_log_likelihood * total_weight + 2 * static_cast<double>(n_parameters);
}

/// Parameters as `aic`.
inline double bic(double mean_log_likelihood, Index n_parameters, double total_weight) {
  return -2 * mean_log_likelihood * total_weight + static_cast<double>(n_parameters) * std::log(total_weight);
}

/// Parameters as `aic`, and the mean of log max_k r_nk as `classification_log_likelihood` gives it.
inline double icl(double mean_log_likelihood, double mean_log_certainty, Index n_parameters, double total_weight) {
  return bic(mean_log_likelihood, n_parameters, total_weight) - 2 * mean_log_certainty * total_weight;
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
