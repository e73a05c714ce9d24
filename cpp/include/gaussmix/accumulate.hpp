// The pass over the data that an EM iteration makes: responsibilities block by block, and what they sum up to. No
// n x K array exists. Rows are cut into lanes of fixed size; each lane sums into moments of its own, which become
// mergeable `Statistics`, merged in the order of the lanes: the same bits at any number of threads.
//
// dense blocks:    S = Phi^T (w o R), moments about the origin of the frame
// centred blocks:  for each k the moments of x - mu_k, so that nothing cancels
// both leave as    mu = ref + M1 / N,   Sigma = M2 / N - (M1 / N)(M1 / N)^T
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "gaussmix/data.hpp"
#include "gaussmix/log_prob.hpp"
#include "gaussmix/parallel.hpp"
#include "gaussmix/statistics.hpp"

namespace gaussmix {

/// Weighted moments of a component's rows about a reference point, in the coordinates of a frame.
template <class Covariance>
struct Moments {
  Vector counts;  ///< K
  Matrix first;   ///< K x d
  Matrix second;  ///< as the covariances of Statistics

  Moments(Index k, Index d)
      : counts(Vector::Zero(k)),
        first(Matrix::Zero(k, d)),
        second(Matrix::Zero(n_matrices<Covariance>(k), Covariance::entries(d))) {}

  /// Adds component k's share of a block: rows `offset` from its reference, with weights r.
  void add(Index k, const Block& offset, const Eigen::Ref<const Vector>& r) {
    counts(k) += r.sum();
    first.row(k).noalias() += r.transpose() * offset;
    Covariance::add_scatter(offset, r, second.row(matrix_of<Covariance>(k)).data());
  }

  /// Statistics in the coordinates of the data; `reference` is K x d, in those coordinates too.
  Statistics<Covariance> statistics(const Frame& frame, const Matrix& reference) const {
    const Index k = first.rows(), d = first.cols();
    Statistics<Covariance> result(k, d);
    result.counts = counts;
    result.means = reference;
    result.covariances = second;
    for (Index m = 0; m < second.rows(); ++m)
      result.covariances.row(m) *= result.mass(m) > 0 ? 1 / result.mass(m) : 0.0;
    for (Index c = 0; c < k; ++c) {
      if (!(counts(c) > 0)) continue;
      const Index m = matrix_of<Covariance>(c);
      const RowVector shift = first.row(c) / counts(c);
      Covariance::add_outer(result.covariances.row(m).data(), shift, -counts(c) / result.mass(m));
      result.means.row(c).array() += shift.array() / frame.scale.array();
    }
    const RowVector inverse = frame.scale.cwiseInverse();
    for (Index m = 0; m < second.rows(); ++m) {
      Covariance::symmetrize(result.covariances.row(m).data(), d);
      Covariance::rescale(result.covariances.row(m).data(), inverse);
    }
    return result;
  }
};

namespace detail {

/// The sums over the features of dense blocks.
template <class Covariance>
struct FeatureSums {
  Block sums;    // features x K
  Matrix total;  // tied: d x d

  FeatureSums(Index k, Index d)
      : sums(Block::Zero(Covariance::features(d), k)), total(Matrix::Zero(Covariance::shared ? d : 0, d)) {}

  void add(const BlockBuffers& block) {
    add_transposed_product(sums, block.features, block.log_prob);
    Covariance::add_total(block.z, block.weights, total);
  }

  Moments<Covariance> moments(Index d) const {
    Moments<Covariance> result(sums.cols(), d);
    result.counts = sums.row(0);
    result.first = sums.middleRows(1, d).transpose();
    if (Covariance::shared) result.second = Eigen::Map<const Matrix>(total.data(), 1, total.size());
    for (Index k = 0; k < sums.cols() && !Covariance::shared; ++k)
      Covariance::second_moment(sums.col(k).tail(sums.rows() - 1 - d), d, result.second.row(k).data());
    return result;
  }
};

/// Lanes for a pass over n rows whose accumulators hold `numbers` doubles each: together they stay within 16 MB, and a
/// lane has the rows that pay for them.
inline Index max_lanes(Index n, Index numbers) {
  return std::clamp<Index>((Index{2} << 20) / std::max<Index>(numbers, 1), 2, std::clamp<Index>(n / 256, 2, 32));
}

/// Merges in order, into the first.
template <class Part>
Part merge_in_order(std::vector<Part>& parts) {
  for (std::size_t i = 1; i < parts.size(); ++i) parts[0].merge(parts[i]);
  return std::move(parts[0]);
}

}  // namespace detail

/// E-step over all rows and the sufficient statistics of the M-step.
///
/// \param mixture    the current model, K components in d dimensions
/// \param data       n x d rows, with weights or without
/// \param n_threads  threads at most
/// \returns counts, means and covariances under the responsibilities of `mixture`, and its log-likelihood; a component
///          without a count keeps the mean that it has
/// \throws std::invalid_argument if the sizes differ
/// \throws DegenerateData if the squares of the data overflow
template <class Covariance>
Statistics<Covariance> accumulate(const Mixture<Covariance>& mixture, const Data& data, int n_threads = 1) {
  require(mixture.n_features() == data.cols(), "the data must have as many columns as the mixture has features");
  const Index k = mixture.n_components(), d = mixture.n_features();
  const LogProb<Covariance> log_prob(mixture);
  const Lanes lanes(data.rows(), block_rows<Covariance>(d), detail::max_lanes(data.rows(), Covariance::features(d) * k));
  std::vector<Statistics<Covariance>> parts(static_cast<std::size_t>(lanes.count));

  parallel_for(lanes.count, n_threads, [&](Index lane) {
    BlockBuffers block;
    std::optional<detail::FeatureSums<Covariance>> dense;
    std::optional<Moments<Covariance>> centred;
    double log_likelihood = 0, total_weight = 0;
    lanes.for_blocks(lane, [&](Index first, Index rows) {
      log_prob.expect(data, first, rows, block);
      log_likelihood += block.weights.dot(block.log_norm);
      total_weight += block.weights.sum();
      block.log_prob.array().colwise() *= block.weights.array();
      if (block.dense) {
        if (!dense) dense.emplace(k, d);
        return dense->add(block);
      }
      if (!centred) centred.emplace(k, d);
      for (Index c = 0; c < k; ++c) {
        log_prob.centre(block, c);
        centred->add(c, block.offset, block.log_prob.col(c));
      }
    });
    auto& part = parts[static_cast<std::size_t>(lane)];
    if (centred) part = centred->statistics(log_prob.frame(), log_prob.means());
    if (dense) {
      auto sums = dense->moments(d).statistics(log_prob.frame(), log_prob.frame().origin.replicate(k, 1));
      centred ? part.merge(sums) : void(part = std::move(sums));
    }
    part.log_likelihood = log_likelihood;
    part.total_weight = total_weight;
  });

  auto statistics = detail::merge_in_order(parts);
  for (Index c = 0; c < k; ++c)
    if (!(statistics.counts(c) > 0)) statistics.means.row(c) = mixture.means.row(c);
  statistics.scale(1 / data.weight_scale());
  if (!statistics.means.allFinite() || !statistics.covariances.allFinite() ||
      !std::isfinite(statistics.mean_log_likelihood()))
    throw DegenerateData("The squares of the data overflow; scale the input data.");
  return statistics;
}

}  // namespace gaussmix
