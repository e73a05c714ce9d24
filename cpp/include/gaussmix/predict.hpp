// What a mixture says of rows: labels, responsibilities, log-densities, and their mean.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "gaussmix/data.hpp"
#include "gaussmix/log_prob.hpp"
#include "gaussmix/parallel.hpp"
#include "gaussmix/screen.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

namespace detail {
/// Calls body(lane, first_row, block) after the E-step of each block; lanes run in parallel, their blocks in order.
template <class Covariance, class Body>
Index for_expected_blocks(const LogProb<Covariance>& log_prob, const Data& data, int n_threads, const Body& body) {
  require(log_prob.n_features() == data.cols(), "the data must have as many columns as the mixture has features");
  const Index most = block_rows<Covariance>(data.cols(), log_prob.n_components());
  const Lanes lanes(data.rows(), even_rows(data.rows(), most), 64);
  const double work = flops<Covariance>(data.rows(), data.cols(), log_prob.n_components());
  parallel_for(lanes.count, worth_threads(work, n_threads), [&](Index lane) {
    BlockBuffers<Covariance> block;
    lanes.for_blocks(lane, [&](Index first, Index rows) {
      log_prob.expect(data, first, rows, block);
      body(lane, first, block);
    });
  });
  return lanes.count;
}
}  // namespace detail

/// log p(x_n) in nats, into n numbers. \throws std::invalid_argument if the numbers of features differ
template <class Covariance, class Scalar>
void log_densities(const LogProb<Covariance>& log_prob, const Data& data, Scalar* out, int n_threads = 1) {
  detail::for_expected_blocks(log_prob, data, n_threads, [&](Index, Index first, const auto& block) {
    // As float, a row far out would have a density of 0.
    constexpr double least = std::numeric_limits<Scalar>::lowest();
    for (Index i = 0; i < block.rows(); ++i) out[first + i] = static_cast<Scalar>(std::max(block.log_norm(i), least));
  });
}

/// r_nk = P(component k | x_n), into n x K numbers, row-major. Errors as `log_densities`.
template <class Covariance, class Scalar>
void responsibilities(const LogProb<Covariance>& log_prob, const Data& data, Scalar* out, int n_threads = 1) {
  const Index k = log_prob.n_components();
  detail::for_expected_blocks(log_prob, data, n_threads, [&](Index, Index first, const auto& block) {
    for (Index i = 0; i < block.rows(); ++i)
      for (Index c = 0; c < k; ++c) out[(first + i) * k + c] = static_cast<Scalar>(block.responsibility(i, c));
  });
}

/// The component of the largest responsibility, the first of equals, into n labels. Responsibilities are compared as
/// `Scalar`, so that labels are the argmax of what `responsibilities` gives in that type. Errors as `log_densities`.
template <class Scalar, class Covariance>
void labels(const LogProb<Covariance>& log_prob, const Data& data, std::int64_t* out, int n_threads = 1) {
  detail::for_expected_blocks(log_prob, data, n_threads, [&](Index, Index first, const auto& block) {
    for (Index i = 0; i < block.rows(); ++i) {
      Scalar highest = -1;
      for (Index c = 0; c < block.table.cols(); ++c) {
        const auto r = static_cast<Scalar>(block.responsibility(i, c));
        if (r > highest) {
          highest = r;
          out[first + i] = c;
        }
      }
    }
  });
}

namespace detail {
/// sum_n w_n f_n / sum_n w_n by the kernels of `accumulate`: f of the rows of a block, after its E-step, is what
/// of_screened(block) or of_block(block) returns.
template <class Covariance, class OfScreened, class OfBlock>
double mean_over_rows(const LogProb<Covariance>& log_prob, const Data& data, int n_threads,
                      const OfScreened& of_screened, const OfBlock& of_block) {
  require(log_prob.n_features() == data.cols(), "the data must have as many columns as the mixture has features");
  const Index rows = Screen<Covariance>::block_rows(data.rows(), data.cols(), log_prob.n_components());
  const Screen<Covariance> screen(log_prob, rows, n_threads);
  const Lanes lanes(data.rows(), rows, 64);
  const double work = flops<Covariance>(data.rows(), data.cols(), log_prob.n_components());
  const auto sums = sum_over_lanes(lanes, worth_threads(work, n_threads), [&](Index lane) {
    BlockBuffers<Covariance> block;
    ScreenedBlock<Covariance> screened;
    Eigen::Array2d sum = Eigen::Array2d::Zero();
    const auto add = [&](const Vector& w, const Vector& f) { sum += Eigen::Array2d(w.dot(f), w.sum()); };
    lanes.for_blocks(lane, [&](Index first, Index rows) {
      screen.expect(
          data, first, rows, screened, block, [&] { add(screened.weights, of_screened(screened)); },
          [&] { add(block.weights, of_block(block)); });
    });
    return sum;
  });
  return sums(0) / sums(1);
}
}  // namespace detail

/// The mean log-likelihood sum_n w_n log p(x_n) / sum_n w_n, in nats, by the kernels of `accumulate`.
/// Errors as `log_densities`.
template <class Covariance>
double score(const LogProb<Covariance>& log_prob, const Data& data, int n_threads = 1) {
  const auto log_norm = [](const auto& block) -> const Vector& { return block.log_norm; };
  return detail::mean_over_rows(log_prob, data, n_threads, log_norm, log_norm);
}

/// sum_n w_n log max_k r_nk / sum_n w_n: how sure the assignment to the likeliest component is, at most 0.
/// Errors as `log_densities`.
template <class Covariance>
double classification_log_likelihood(const LogProb<Covariance>& log_prob, const Data& data, int n_threads = 1) {
  return detail::mean_over_rows(
      log_prob, data, n_threads,
      [](const ScreenedBlock<Covariance>& block) {
        Vector largest = Vector::Zero(block.x.rows());
        for (std::size_t c = 0; c < block.rows.size(); ++c)
          for (std::size_t i = 0; i < block.rows[c].size(); ++i)
            largest(block.rows[c][i]) =
                std::max(largest(block.rows[c][i]), block.responsibilities[c](static_cast<Index>(i)));
        return Vector(largest.array().log());
      },
      [](const BlockBuffers<Covariance>& block) {
        return Vector(block.responsibilities().rowwise().maxCoeff().array().log());
      });
}

/// The `count` rows that the mixture explains worst: lowest log-density first, rows without weight left out.
template <class Covariance>
std::vector<Index> worst_rows(const LogProb<Covariance>& log_prob, const Data& data, std::size_t count, int n_threads) {
  using Ranked = std::pair<double, Index>;
  std::vector<std::vector<Ranked>> lowest(64);
  const auto keep = [count](std::vector<Ranked>& ranked) {
    std::sort(ranked.begin(), ranked.end());
    if (ranked.size() > count) ranked.resize(count);
  };
  detail::for_expected_blocks(log_prob, data, n_threads, [&](Index lane, Index first, const auto& block) {
    auto& mine = lowest[static_cast<std::size_t>(lane)];
    for (Index i = 0; i < block.log_norm.size(); ++i)
      if (block.weights(i) > 0) mine.emplace_back(block.log_norm(i), first + i);
    keep(mine);
  });
  for (std::size_t lane = 1; lane < lowest.size(); ++lane)
    lowest[0].insert(lowest[0].end(), lowest[lane].begin(), lowest[lane].end());
  keep(lowest[0]);
  std::vector<Index> rows;
  for (const Ranked& r : lowest[0]) rows.push_back(r.second);
  return rows;
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
