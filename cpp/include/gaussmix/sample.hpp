// Draws from a mixture: x = mu_k + A_k z, A_k A_k^T = Sigma_k, z standard normal, k with probability pi_k.
//
// Row i of a draw depends on the seed, on i and on the labels only, so that any thread may make it. Rows come grouped
// by component, as scikit-learn gives them, so that a draw of labels is one of counts; shuffle rows where the order
// matters.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "gaussmix/mixture.hpp"
#include "gaussmix/parallel.hpp"
#include "gaussmix/random.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Rows that a mixture generated.
struct Sample {
  Matrix x;                          ///< n x d
  std::vector<std::int64_t> labels;  ///< n, ascending
};

namespace detail {

using Counts = Eigen::Array<Index, Eigen::Dynamic, 1>;

/// How many of n rows fall to each component: by inversion of the cumulated weights, in sums and comparisons only, which
/// are the same on every machine. A table tells where to begin (Chen, Asau, "On generating random variates from an
/// empirical distribution", 1974).
template <class = void>
Counts draw_counts(const Vector& weights, Index n, const Random& random, int n_threads) {
  const Index k = weights.size();
  Vector cumulated(k);
  double total = 0;
  Index last = 0;
  for (Index c = 0; c < k; ++c) {
    cumulated(c) = total += weights(c);
    if (weights(c) > 0) last = c;
  }
  const auto buckets = static_cast<double>(k);
  std::vector<Index> guide(static_cast<std::size_t>(k));
  for (Index bucket = 0, c = 0; bucket < k; ++bucket) {
    while (c < last && cumulated(c) <= static_cast<double>(bucket) / buckets * total) ++c;
    guide[static_cast<std::size_t>(bucket)] = c;
  }
  const Lanes lanes((n + 1) / 2, 64 * Random::batch, 64);  // of places, which have two numbers each
  return sum_over_lanes(lanes, n_threads, [&](Index lane) {
    Counts counts = Counts::Zero(k);
    for_blocks(lanes.first(lane), lanes.first(lane + 1) - lanes.first(lane), Random::batch,
               [&](Index place, Index count) {
                 const auto pair = random.uniforms(static_cast<std::uint64_t>(place));
                 for (Index i = 0; i < 2 * count && 2 * place + i < n; ++i) {
                   const double u = pair[static_cast<std::size_t>(i % 2)](i / 2), target = u * total;
                   Index c = guide[static_cast<std::size_t>(u * buckets)];
                   while (c < last && cumulated(c) <= target) ++c;
                   while (c > 0 && cumulated(c - 1) > target) --c;
                   ++counts(c);
                 }
               });
    return counts;
  });
}

}  // namespace detail

/// Draws n rows.
///
/// \param mixture    uses weights, means and covariances
/// \param n          rows, at least 1
/// \param seed       of the generator: equal seeds, equal rows at any number of threads
/// \param rows       n x d numbers to be filled, row-major
/// \param labels     n numbers to be filled with the components of the rows, ascending
/// \param n_threads  threads at most
/// \throws NotPositiveDefinite if a covariance is not; std::invalid_argument if n < 1
template <class Covariance>
void sample(const Mixture<Covariance>& mixture, Index n, std::uint64_t seed, double* rows, std::int64_t* labels,
            int n_threads = 1) {
  require(n >= 1, "at least one row must be drawn");
  require(mixture.means.allFinite(), "means must be finite");
  require(std::isfinite(mixture.weights.sum()) && mixture.weights.sum() > 0 && mixture.weights.minCoeff() >= 0,
          "weights must be finite, not negative and not all zero");
  const Index k = mixture.n_components(), d = mixture.n_features();
  const auto counts = detail::draw_counts(mixture.weights, n, Random(seed, Purpose::labels), n_threads);
  struct Task {
    Index component, first, rows;
  };
  // What is made of a task stays in a core's cache, and its rows pay for the factor of its covariance.
  const Index block = std::max<Index>(std::clamp<Index>(32768 / d, 64, 4096), 4 * d);
  std::vector<Task> tasks;
  Index end = 0;
  for (Index c = 0; c < k; ++c) {
    end += counts(c);
    for_blocks(end - counts(c), counts(c), block,
               [&](Index first, Index count) { tasks.push_back({c, first, count}); });
  }

  const Random random(seed, Purpose::normals);
  const Index pairs = (d + 1) / 2;
  parallel_for(static_cast<Index>(tasks.size()), n_threads, [&](Index t) {
    const Task& task = tasks[static_cast<std::size_t>(t)];
    Block z(2 * pairs, task.rows);  // a column a row; of an odd number of features the last is left out
    for_blocks(0, task.rows * pairs, Random::batch, [&](Index place, Index count) {
      const auto pair = random.normals(static_cast<std::uint64_t>(task.first * pairs + place));
      for (Index i = 0; i < count; ++i) {
        z.data()[2 * (place + i)] = pair[0](i);
        z.data()[2 * (place + i) + 1] = pair[1](i);
      }
    });
    Eigen::Map<Block> x(rows + task.first * d, d, task.rows);
    x.colwise() = mixture.means.row(task.component).transpose();
    if (!Covariance::add_coloured(mixture.covariance(task.component), z.topRows(d), x))
      throw NotPositiveDefinite("covariances must be positive-definite to sample from");
    std::fill_n(labels + task.first, task.rows, task.component);
  });
}

/// Draws n rows into memory of their own; parameters and errors as above, and std::bad_alloc if n is too large.
template <class Covariance>
Sample sample(const Mixture<Covariance>& mixture, Index n, std::uint64_t seed, int n_threads = 1) {
  require(n >= 1, "at least one row must be drawn");
  Sample result{Matrix(n, mixture.n_features()), std::vector<std::int64_t>(static_cast<std::size_t>(n))};
  sample(mixture, n, seed, result.x.data(), result.labels.data(), n_threads);
  return result;
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
