// What EM asks of the rows, and nothing else: one pass for the statistics of a model, one for its likelihood, and the
// rows that it explains worst. Rows in memory answer by `accumulate`; files and clusters by whatever sums up the same
// `Statistics` from their parts.
#pragma once

#include <optional>
#include <vector>

#include "gaussmix/accumulate.hpp"
#include "gaussmix/degenerate.hpp"
#include "gaussmix/predict.hpp"
#include "gaussmix/spread.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Passes over rows that may lie anywhere.
template <class Covariance>
class Passes {
 public:
  virtual ~Passes() = default;

  /// The statistics of all rows under a model of K components in d dimensions, by at most those products of features. With
  /// points `about`, K x d and near the new means, moments are taken about these, by no products, so that nothing cancels.
  virtual Statistics<Covariance> accumulate(const Mixture<Covariance>& mixture, Products products,
                                            const Matrix* about = nullptr) const = 0;

  /// The mean log-likelihood sum_n w_n log p(x_n) / sum_n w_n, in nats.
  virtual double score(const Mixture<Covariance>& mixture) const = 0;

  /// At most `count` rows of positive weight with the lowest log-densities, lowest first: m x d.
  virtual Matrix worst_rows(const Mixture<Covariance>& mixture, Index count) const = 0;

  /// Whether no fit without regularisation can be made of the rows whose statistics these are.
  virtual bool degenerate(const Statistics<Covariance>& statistics) const { return detail::lower_rank(statistics); }
};

/// Passes over rows in memory, which must outlive them.
template <class Covariance>
class PassesOverData : public Passes<Covariance> {
 public:
  PassesOverData(const Data& data, int n_threads) : data_(data), n_threads_(n_threads) {
    if constexpr (Covariance::shared) total_ = total_scatter(data, n_threads);
  }

  Statistics<Covariance> accumulate(const Mixture<Covariance>& mixture, Products products,
                                    const Matrix* about = nullptr) const override {
    return gaussmix::accumulate(mixture, data_, n_threads_, products, total_ ? &*total_ : nullptr, about);
  }

  double score(const Mixture<Covariance>& mixture) const override {
    return gaussmix::score(LogProb<Covariance>(mixture, n_threads_), data_, n_threads_);
  }

  Matrix worst_rows(const Mixture<Covariance>& mixture, Index count) const override {
    return row_values(data_, gaussmix::worst_rows(LogProb<Covariance>(mixture, n_threads_), data_,
                                                  static_cast<std::size_t>(count), n_threads_));
  }

  bool degenerate(const Statistics<Covariance>& statistics) const override {
    return detail::fewer_distinct_rows(data_, statistics.n_components()) ||
           detail::lower_rank<Covariance>(data_, n_threads_);
  }

 private:
  Data data_;
  int n_threads_;
  std::optional<TotalScatter> total_;  // of a shared covariance, for all passes
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
