// The pass over the data that an EM iteration makes: responsibilities block by block, and what they sum up to. No
// n x K array exists. Rows are cut into lanes of fixed size; each lane sums into moments of its own, which are added in
// the order of the lanes, so that the bits are the same at any number of threads, and become mergeable `Statistics`.
//
// dense blocks:    S = Phi^T (w o R), moments about the origin of the frame
// whitened blocks: the same of U^T z, about that origin
// centred blocks:  for each k the moments of x - mu_k, or about a point that is given for it, so that nothing cancels, over
//                  the rows that have a part in k; those of shifted blocks too
// screened blocks: the same, over the rows that can matter to k
// all leave as     mu = ref + M1 / N,   Sigma = M2 / N - (M1 / N)(M1 / N)^T
//
// A block is screened if that pays (screen.hpp); else its parts go dense, or centred: where the components are few all of
// them, or those that dense would blur (log_prob.hpp). Both rules look at the block and the model only, and the blocks
// follow from the sizes, so that a fit that is resumed has the same bits.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "gaussmix/data.hpp"
#include "gaussmix/log_prob.hpp"
#include "gaussmix/parallel.hpp"
#include "gaussmix/screen.hpp"
#include "gaussmix/statistics.hpp"
#include "gaussmix/total_scatter.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

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

  Moments& operator+=(const Moments& other) {
    counts += other.counts;
    first += other.first;
    second += other.second;
    return *this;
  }

  /// Adds component k's share of a block: rows `offset` from its reference, the first of them with weights r.
  void add(Index k, const Block& offset, const Eigen::Ref<const Vector>& r) {
    counts(k) += r.sum();
    first.row(k).noalias() += r.transpose() * offset.topRows(r.size());
    Covariance::add_scatter(offset, r, second.row(matrix_of<Covariance>(k)).data());
  }

  /// The same of rows that lie one after the other, `row_stride` apart.
  void add(Index k, const Rows& offset, const Eigen::Ref<const Vector>& r) {
    counts(k) += r.sum();
    add_sums(offset, r, first.row(k).data());
    Covariance::add_scatter(offset, r, second.row(matrix_of<Covariance>(k)).data());
  }

  /// Statistics in the coordinates of the data; `reference` is K x d, in those coordinates too. Uses the moments up.
  /// \param factor  U, where the moments are of whitened rows U^T z, else null
  Statistics<Covariance> statistics(const Frame& frame, const Matrix& reference, int n_threads,
                                    const double* factor = nullptr) && {
    const Index k = first.rows(), d = first.cols();
    Statistics<Covariance> result;
    result.counts = std::move(counts);
    result.means = reference;
    result.covariances = std::move(second);
    const RowVector inverse = frame.scale.cwiseInverse();
    parallel_for(result.covariances.rows(), worth_threads(result.covariances, n_threads), [&](Index m) {
      auto covariance = result.covariances.row(m);
      const double mass = result.mass(m);
      // Divided, not multiplied by an inverse: that of a count near the smallest double is not finite.
      if (mass > 0) covariance /= mass;
      for_components<Covariance>(m, k, [&](Index c) {
        if (!(result.counts(c) > 0)) return;
        RowVector shift = first.row(c) / result.counts(c);
        Covariance::add_outer(covariance.data(), shift, -result.counts(c) / mass);
        if constexpr (Covariance::shared)
          if (factor) Covariance::unwhiten(factor, shift);
        result.means.row(c).array() += shift.array() / frame.scale.array();
      });
      Covariance::symmetrize(covariance.data(), d);
      if constexpr (Covariance::shared)
        if (factor) Covariance::unwhiten_covariance(factor, d, covariance.data());
      Covariance::rescale(covariance.data(), inverse);
    });
    return result;
  }
};

namespace detail {

/// The sums over the features of dense blocks, whose products are of `Scalar`.
template <class Covariance, class Scalar>
struct DenseSums {
  FeatureSums<Scalar> sums;
  Matrix total;  // tied: d x d, unless it is known

  DenseSums(Index k, Index d, bool total_known)
      : sums(Covariance::features(d), k), total(Matrix::Zero(Covariance::shared && !total_known ? d : 0, d)) {}

  template <class Panels, class Table>
  void add(Panels& panels, const Table& table, BlockBuffers<Covariance>& block) {
    panels.accumulate(table, block.weights.cwiseProduct(block.inverse_sum), sums);
    if (total.size() > 0) Covariance::add_total(block.z(), block.weights, total);
  }

  DenseSums& operator+=(const DenseSums& other) {
    sums += other.sums;
    total += other.total;
    return *this;
  }

  Moments<Covariance> moments(Index d, int n_threads) const {
    Moments<Covariance> result(sums.n_components(), d);
    if (total.size() > 0) result.second = Eigen::Map<const Matrix>(total.data(), 1, total.size());
    parallel_for(sums.n_components(), worth_threads(result.second, n_threads), [&](Index k) {
      const Vector own = sums.column(k);
      result.counts(k) = own(0);
      result.first.row(k) = own.segment(1, d).transpose();
      if (!Covariance::shared) Covariance::second_moment(own.tail(own.size() - 1 - d), d, result.second.row(k).data());
    });
    return result;
  }
};

/// Numbers that the sums of a lane hold: components fill registers, of at most eight.
template <class Covariance>
Index sum_numbers(Index k, Index d) {
  return Covariance::features(d) * ((k + 7) / 8 * 8) + (Covariance::shared ? d * d : 0);
}

/// mine += theirs, of what may be missing.
template <class Part>
void add(std::optional<Part>& mine, std::optional<Part>& theirs) {
  if (mine && theirs)
    *mine += *theirs;
  else if (theirs)
    mine = std::move(theirs);
}

/// What one lane of a pass sums up; each kind of moments is made when the first block needs it.
template <class Covariance>
struct Sums {
  std::optional<DenseSums<Covariance, double>> dense;
  std::optional<DenseSums<Covariance, float>> single;
  std::optional<DenseSums<Covariance, double>> whitened;
  std::optional<Moments<Covariance>> centred;
  double log_likelihood = 0, total_weight = 0;

  Sums& operator+=(Sums& other) {
    detail::add(dense, other.dense);
    detail::add(single, other.single);
    detail::add(whitened, other.whitened);
    detail::add(centred, other.centred);
    log_likelihood += other.log_likelihood;
    total_weight += other.total_weight;
    return *this;
  }
};

}  // namespace detail

/// E-step over all rows and the sufficient statistics of the M-step.
///
/// \param log_prob   the current model, K components in d dimensions: it may serve many parts of the rows, and says whether
///                   many rows of floats may be computed as such
/// \param data       n x d rows, with weights or without
/// \param n_threads  threads at most
/// \param total      if given, the `total_scatter` of these rows and weights: a shared covariance needs no other, unless
///                   some rows are so far out that dense would blur them, or all must go centred
/// \param about      if given, K x d: points near the new means, about which moments cannot cancel, of a model that allows no
///                   products
/// \returns counts, means and covariances under the responsibilities of the model, and its log-likelihood; a component
///          without a count keeps the mean that it has
/// \throws std::invalid_argument if the sizes differ, or the model allows products where points are given
/// \throws DegenerateData if the squares of the data overflow
template <class Covariance>
Statistics<Covariance> accumulate(const LogProb<Covariance>& log_prob, const Data& data, int n_threads = 1,
                                  const TotalScatter* total = nullptr, const Matrix* about = nullptr) {
  require(log_prob.n_features() == data.cols(), "the data must have as many columns as the mixture has features");
  const Index k = log_prob.n_components(), d = log_prob.n_features();
  require(!total || total->centre.size() == d, "the total scatter must have as many features as the data");
  require(!about || (about->rows() == k && about->cols() == d), "moments must be about one point for each component");
  require(!about || log_prob.products() == Products::none,
          "moments are about given points where no products are allowed");
  const Matrix& reference = about ? *about : log_prob.means();
  const Index block_rows = Screen<Covariance>::block_rows(data.rows(), d, k);
  const Screen<Covariance> screen(log_prob, block_rows, n_threads);
  const Lanes lanes(data.rows(), block_rows, max_lanes(data.rows(), d, detail::sum_numbers<Covariance>(k, d)));
  std::vector<detail::Sums<Covariance>> parts(static_cast<std::size_t>(lanes.count));
  const bool total_known = Covariance::shared && total && !log_prob.blurred(total->radius(log_prob.frame()));

  parallel_for(lanes.count, worth_threads(2 * flops<Covariance>(data.rows(), d, k), n_threads), [&](Index lane) {
    BlockBuffers<Covariance> block;
    block.total_known = total_known;
    block.may_be_single = true;
    ScreenedBlock<Covariance> screened;
    auto& sums = parts[static_cast<std::size_t>(lane)];
    const auto add_likelihood = [&](const Vector& w, const Vector& log_norm) {
      sums.log_likelihood += w.dot(log_norm);
      sums.total_weight += w.sum();
    };
    const auto add_block = [&] {
      if (block.overflows()) throw DegenerateData(overflow_message);
      add_likelihood(block.weights, block.log_norm);
      const auto add_centred = [&](Index c) {
        if (!sums.centred) sums.centred.emplace(k, d);
        const Index n = log_prob.centre_responsible(block, c, reference.row(c));
        if (n > 0) sums.centred->add(c, block.offset, block.share.head(n));
      };
      if (block.kernel == Kernel::dense) {
        for (const Index c : block.recentred) {
          add_centred(c);
          block.table.col(c).setZero();
        }
        if (!sums.dense) sums.dense.emplace(k, d, total_known);
        return sums.dense->add(block.panels, block.table, block);
      }
      if (block.kernel == Kernel::single) {
        if (!sums.single) sums.single.emplace(k, d, total_known);
        return sums.single->add(block.single_panels, block.single_table, block);
      }
      if (block.kernel == Kernel::whitened) {
        if (!sums.whitened) sums.whitened.emplace(k, d, false);
        return sums.whitened->add(block.panels, block.table, block);
      }
      for (Index c = 0; c < k; ++c) add_centred(c);
    };
    const auto add_screened = [&] {
      add_likelihood(screened.weights, screened.log_norm);
      if (!sums.centred) sums.centred.emplace(k, d);
      for (Index c = 0; c < k; ++c)
        screen.for_pairs(screened, c, 0, [&](Index at, const std::vector<Index>& rows, const Rows& offset) {
          auto r = screened.responsibilities[static_cast<std::size_t>(c)].segment(at, offset.rows());
          for (Index i = 0; i < r.size(); ++i) r(i) *= screened.weights(rows[static_cast<std::size_t>(at + i)]);
          sums.centred->add(c, offset, r);
        });
    };
    lanes.for_blocks(lane, [&](Index first, Index rows) {
      screen.expect(data, first, rows, screened, block, add_screened, add_block);
    });
  });

  // All lanes sum about the same points, so that their sums just add up.
  auto sums = sum_in_order(parts);
  std::optional<Statistics<Covariance>> all;
  const auto merge = [&](Moments<Covariance> moments, const Matrix& points, const double* factor = nullptr) {
    auto part = std::move(moments).statistics(log_prob.frame(), points, n_threads, factor);
    if (all)
      all->merge(part, n_threads);
    else
      all = std::move(part);
  };
  const Matrix origin = log_prob.frame().origin.replicate(k, 1);
  if (sums.centred) merge(std::move(*sums.centred), reference);
  if (sums.whitened) merge(sums.whitened->moments(d, n_threads), origin, log_prob.factor(0));
  // Dense sums are about the same origin, be they of double or of float.
  std::optional<Moments<Covariance>> dense, single;
  if (sums.dense) dense = sums.dense->moments(d, n_threads);
  if (sums.single) single = sums.single->moments(d, n_threads);
  detail::add(dense, single);
  if (dense) {
    if (total_known) {
      const Matrix known = total->about(log_prob.frame());
      dense->second = Eigen::Map<const Matrix>(known.data(), 1, known.size());
      Matrix precision(d, d);
      Covariance::precision(log_prob.factor(0), d, precision.data());
      sums.log_likelihood -= 0.5 * precision.cwiseProduct(known).sum();
    }
    merge(std::move(*dense), origin);
  }
  auto statistics = all ? std::move(*all) : Statistics<Covariance>(k, d);
  for (Index c = 0; c < k; ++c)
    if (!(statistics.counts(c) > 0)) statistics.means.row(c) = log_prob.means().row(c);
  statistics.log_likelihood = sums.log_likelihood;
  statistics.total_weight = sums.total_weight;
  statistics.scale(1 / data.weight_scale());
  if (!statistics.finite()) throw DegenerateData(overflow_message);
  return statistics;
}

/// The same of a mixture. \param products  `single` asks for those of float where the rows are many and floats
template <class Covariance>
Statistics<Covariance> accumulate(const Mixture<Covariance>& mixture, const Data& data, int n_threads = 1,
                                  Products products = Products::single, const TotalScatter* total = nullptr,
                                  const Matrix* about = nullptr) {
  if (about) products = Products::none;
  if (products == Products::single && !may_be_single(data)) products = Products::full;
  return accumulate(LogProb<Covariance>(mixture, n_threads, products), data, n_threads, total, about);
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
