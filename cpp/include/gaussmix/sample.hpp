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

/// How many of n rows fall to each component, as if each row drew a number in [0, 1), digit by binary digit, and looked it
/// up among the cumulated weights. Rows in an interval that holds the bound of no component are all that component's;
/// the others draw a digit each, which halves the interval, and of n digits only the number of ones matters. So a row
/// takes about log K bits, and sums, halves and comparisons are the same on every machine.
/// (Farach-Colton, Tsai, "Exact sublinear binomial sampling", 2015, has the halving for two components.)
class CountDraw {
 public:
  /// \throws std::invalid_argument unless the sum of the weights is positive and finite
  CountDraw(const Vector& weights, const Random& random)
      : random_(random), bounds_(static_cast<std::size_t>(weights.size())) {
    double total = 0;
    for (std::size_t c = 0; c < bounds_.size(); ++c) bounds_[c] = total += weights(static_cast<Index>(c));
    require(std::isfinite(total) && total > 0, "weights must be finite, not negative and not all zero");
    for (double& bound : bounds_) bound /= total;
  }

  Counts operator()(Index n) {
    counts_ = Counts::Zero(static_cast<Index>(bounds_.size()));
    place_ = 0;
    split(0, 1, n);
    return counts_;
  }

 private:
  /// Counts n rows in [low, low + width).
  void split(double low, double width, Index n) {
    if (n == 0) return;
    const auto owner = std::upper_bound(bounds_.begin(), bounds_.end(), low);
    // The bounds themselves are rounded to about 2^-52: what is so narrow goes to the component where it begins.
    if (low + width <= *owner || width < 0x1p-51) {
      counts_(owner - bounds_.begin()) += n;
      return;
    }
    const Index upper = ones(n);
    split(low, width / 2, n - upper);
    split(low + width / 2, width / 2, upper);
  }

  /// The number of ones among n digits.
  Index ones(Index n) {
    Index count = 0;
    for (constexpr Index digits = 128 * Random::batch; n >= digits; n -= digits, place_ += Random::batch)
      count += random_.ones(place_);
    for (; n > 0; n -= 128) {
      Index left = n;
      for (const std::uint32_t word : random_.bits(place_++)) {
        if (left > 0) count += Random::ones_of(left < 32 ? word >> (32 - left) : word);
        left -= 32;
      }
    }
    return count;
  }

  Random random_;
  std::uint64_t place_ = 0;
  Counts counts_;
  std::vector<double> bounds_;  // cumulated weights; the last is 1
};

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
  require(mixture.weights.minCoeff() >= 0, "weights must be finite, not negative and not all zero");
  const Index k = mixture.n_components(), d = mixture.n_features();
  const auto counts = detail::CountDraw(mixture.weights, Random(seed, Purpose::labels))(n);
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
  // A normal number takes about as long as 300 flops, beside its part of a product with the factor.
  const double work = static_cast<double>(n) * static_cast<double>(300 * d + 2 * Covariance::entries(d));
  parallel_for(static_cast<Index>(tasks.size()), worth_threads(work, n_threads), [&](Index t) {
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
