// Draws from a mixture: x = mu_k + A_k z, A_k A_k^T = Sigma_k, z standard normal, k with probability pi_k.
//
// Row i of a draw depends on the seed, on i and on the labels only, so that any thread may make it. Rows come grouped
// by component, as scikit-learn gives them; shuffle them where the order matters.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "gaussmix/mixture.hpp"
#include "gaussmix/parallel.hpp"
#include "gaussmix/random.hpp"

namespace gaussmix {

/// Rows that a mixture generated.
struct Sample {
  Matrix x;                          ///< n x d
  std::vector<std::int64_t> labels;  ///< n, ascending
};

/// Draws n rows.
///
/// \param mixture    uses weights, means and covariances
/// \param n          rows, at least 1
/// \param seed       of the generator: equal seeds, equal rows at any number of threads
/// \param n_threads  threads at most
/// \throws NotPositiveDefinite if a covariance is not; std::invalid_argument if n < 1; std::bad_alloc if n is too large
template <class Covariance>
Sample sample(const Mixture<Covariance>& mixture, Index n, std::uint64_t seed, int n_threads = 1) {
  require(n >= 1, "at least one row must be drawn");
  require(mixture.means.allFinite(), "means must be finite");
  require(mixture.weights.allFinite() && mixture.weights.sum() > 0 && mixture.weights.minCoeff() >= 0,
          "weights must be finite, not negative and not all zero");
  const Index k = mixture.n_components(), d = mixture.n_features();
  constexpr Index block = 4096;
  // First of all: more rows than there is memory for are refused before any work.
  Sample result{Matrix(n, d), std::vector<std::int64_t>(static_cast<std::size_t>(n))};

  // Labels by inversion of the cumulated weights: sums and comparisons only, the same on every machine.
  std::vector<double> cumulated(static_cast<std::size_t>(k));
  double total = 0;
  for (Index c = 0; c < k; ++c) cumulated[static_cast<std::size_t>(c)] = total += mixture.weights(c);
  const Random label_stream(seed, Purpose::labels);
  const Lanes lanes(n, block, 64);
  std::vector<std::vector<Index>> counts(static_cast<std::size_t>(lanes.count),
                                         std::vector<Index>(static_cast<std::size_t>(k), 0));
  Index last = k - 1;
  while (last > 0 && !(mixture.weights(last) > 0)) --last;
  parallel_for(lanes.count, n_threads, [&](Index lane) {
    auto& mine = counts[static_cast<std::size_t>(lane)];
    for (Index i = lanes.first(lane); i < lanes.first(lane + 1); ++i) {
      const double u = label_stream.uniform(static_cast<std::uint64_t>(i))[0] * total;
      const auto c = std::upper_bound(cumulated.begin(), cumulated.end(), u) - cumulated.begin();
      ++mine[static_cast<std::size_t>(std::min<Index>(c, last))];
    }
  });

  struct Task {
    Index component, first, rows;
  };
  std::vector<Task> tasks;
  Index first = 0;
  for (Index c = 0; c < k; ++c) {
    Index rows = 0;
    for (const auto& lane : counts) rows += lane[static_cast<std::size_t>(c)];
    for (const Index end = first + rows; first < end; first += tasks.back().rows)
      tasks.push_back({c, first, std::min(block, end - first)});
  }

  const Random normal_stream(seed, Purpose::normals);
  const Index pairs = (d + 1) / 2;
  parallel_for(static_cast<Index>(tasks.size()), n_threads, [&](Index t) {
    const Task& task = tasks[static_cast<std::size_t>(t)];
    Matrix z(task.rows, d);
    for (Index i = 0; i < task.rows; ++i)
      for (Index p = 0; p < pairs; ++p) {
        const auto pair = normal_stream.normal(static_cast<std::uint64_t>((task.first + i) * pairs + p));
        z(i, 2 * p) = pair[0];
        if (2 * p + 1 < d) z(i, 2 * p + 1) = pair[1];
      }
    if (!Covariance::colour(mixture.covariance(task.component), d, z))
      throw NotPositiveDefinite("covariances must be positive-definite to sample from");
    result.x.middleRows(task.first, task.rows) = z.rowwise() + mixture.means.row(task.component);
    std::fill_n(result.labels.begin() + task.first, task.rows, task.component);
  });
  return result;
}

}  // namespace gaussmix
