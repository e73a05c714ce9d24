// The screened kernel of the E-step, for components that lie apart: float first, double for what can matter.
//
// One product in float gives every log-density of a block up to a bound that is known beforehand. A pair (row, component)
// is dropped if its log-density l_nk is certain to lie this far below the row's best, l_n:
//
//   m_nk = 40 - log pi_k + log(1 + q_n / d),   q_n = 2 (max_k c_k - l_n), which bounds the row's Mahalanobis distances
//
// All that is dropped then changes the count of component k by less than e^-40 < 1e-17 of pi_k W, with W the weight of the
// rows, and its scatter by as little in proportion, however far out a row lies. The pairs that remain, about one a row where
// components are separated, are gathered by component and computed in double from the rows themselves, as in the centred
// kernel, so that what is kept is exact. A block where many pairs remain is left to the other kernels.
//
//   |L_float - L| <= t u (|P_k|_inf (|z| + |m_k|)^2 / 2 + |c_k|),   u = 2^-24
//
// (Higham, "Accuracy and stability of numerical algorithms", 2002, section 3.1: sums of slices of the D features, then of
// their sums, t = slice + number of slices + 8, of which 8 are for rounded factors and for the comparisons.)
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gaussmix/log_prob.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// How costly a pair is that the screen lets through: where the dense kernel takes two units for a pair of D features, the
/// screen takes one, and what it lets through 1.4 + cost / D more. Tests set it lower, so that small components are
/// screened too.
#ifndef GAUSSMIX_SCREEN_COST
#define GAUSSMIX_SCREEN_COST 1400.0
#endif

/// The pairs of a block that the screen let through, grouped by component.
template <class Covariance>
struct ScreenedBlock {
  Matrix x;  ///< rows as they are, `row_stride` apart
  Block z;   ///< the rows that are screened now, in the frame
  Vector weights;
  Vector log_norm;                       ///< log p(x_n)
  std::vector<std::vector<Index>> rows;  ///< of each component, within the block
  std::vector<Vector> responsibilities;  ///< of these rows
  Matrix offset;                         ///< some of one component's rows about its mean, as `x`
  FeaturePanels<Covariance, float> panels;
  Eigen::MatrixXf log_prob;
  Eigen::ArrayXf distance, bound, best;
};

/// Screens blocks of rows against one model.
template <class Covariance>
class Screen {
 public:
  /// Rows of a block at most: enough that each of K components has some, and so few that the n rows make two, four, or a
  /// multiple of eight blocks if they can, which the threads share evenly.
  static Index block_rows(Index n, Index d, Index k) {
    const Index part = gaussmix::block_rows<Covariance>(d, k), fewest = std::clamp<Index>(8 * k, 240, 2048);
    Index blocks = 1;
    while (blocks < 8 && n >= 2 * blocks * fewest) blocks *= 2;
    const Index most = 2048 / part * part;
    if (blocks == 8) blocks = std::max<Index>(1, (n + 8 * most - 1) / (8 * most)) * 8;
    return std::max<Index>(1, (n + blocks - 1) / blocks);
  }

  explicit Screen(const LogProb<Covariance>& log_prob) : log_prob_(log_prob) {
    const Index k = log_prob.n_components();
    const Index features = log_prob.coefficients().features();
    constexpr Index slice = FeaturePanels<Covariance, float>::slice;
    const double u = std::ldexp(1.0, -24),
                 terms = static_cast<double>(std::min(features, slice) + (features + slice - 1) / slice + 8);
    useful_ = !Covariance::shared && k >= 8 && 22 * static_cast<double>(features) >= GAUSSMIX_SCREEN_COST;
    if (!useful_) return;
    theta_ = Coefficients<float>(features, k);
    for (Index c = 0; c < k; ++c) theta_.column(c) = log_prob.coefficients().column(c).template cast<float>();
    half_norms_ = (0.5 * terms * u * log_prob.precision_norms()).template cast<float>();
    mean_norms_ = log_prob.mean_norms().template cast<float>();
    const auto finite = [](double c) { return std::isfinite(c) ? c : 0.0; };  // not of a weight of 0
    constants_ = (terms * u * log_prob.constants().unaryExpr(finite).cwiseAbs()).template cast<float>();
    log_weights_ = log_prob.log_weights().unaryExpr(finite).template cast<float>();
    highest_ = static_cast<float>(log_prob.constants().maxCoeff());
  }

  /// Packs rows first ... first + rows - 1 and computes the responsibilities of the pairs that matter; false if they are
  /// too many, or the rows too far out, for this kernel to pay.
  bool expect(const Data& data, Index first, Index rows, ScreenedBlock<Covariance>& block) const {
    if (!useful_) return false;
    const Index k = log_prob_.n_components(), d = log_prob_.n_features();
    block.x.resize(rows, row_stride(d));
    block.x.rightCols(block.x.cols() - d).setZero();
    block.offset.resize(pairs, block.x.cols());
    block.weights.resize(rows);
    block.rows.resize(static_cast<std::size_t>(k));
    block.responsibilities.resize(static_cast<std::size_t>(k));
    for (auto& r : block.rows) r.clear();

    const Index step = even_rows(rows, gaussmix::block_rows<Covariance>(d, k));
    Index kept = 0;
    double radius = 0;
    for (Index at = 0, n = 0; at < rows; at += n) {
      // The first rows tell for all: what does not pay is found out early.
      n = std::min(at == 0 ? panel_rows<float> : (at / step + 1) * step - at, rows - at);
      block.z.resize(n, d);
      data.load(first + at, block.z, log_prob_.frame());
      block.distance = block.z.cwiseAbs2().rowwise().sum().cwiseSqrt().template cast<float>();
      if (!(block.distance < 1e15f).all()) return false;  // nor is NaN
      radius = std::max<double>(radius, block.distance.maxCoeff());
      const double share = largest_share(log_prob_.centred(radius));
      kept += select(at, n, block);
      if (static_cast<double>(kept) > share * static_cast<double>((at + n) * k)) return false;
    }
    data.load_rows(first, block.x.leftCols(d));
    data.load_weights(first, block.weights);
    finish(block);
    return true;
  }

  /// The E-step of some rows by the kernel that pays: calls on_screened() after it has filled `screened`, or on_block()
  /// for each of its parts after LogProb has filled `block`.
  template <class OnScreened, class OnBlock>
  void expect(const Data& data, Index first, Index rows, ScreenedBlock<Covariance>& screened,
              BlockBuffers<Covariance>& block, const OnScreened& on_screened, const OnBlock& on_block) const {
    if (expect(data, first, rows, screened)) return on_screened();
    const Index most = gaussmix::block_rows<Covariance>(log_prob_.n_features(), log_prob_.n_components());
    for_blocks(first, rows, even_rows(rows, most), [&](Index at, Index n) {
      log_prob_.expect(data, at, n, block);
      on_block();
    });
  }

  /// Calls body(first, rows, offset) for some of component k's pairs at a time: with what `block.rows` lists, and
  /// (x - mu_k) * scale of rows[first], rows[first + 1], ...
  template <class Body>
  void for_pairs(ScreenedBlock<Covariance>& block, Index k, const Body& body) const {
    const auto& rows = block.rows[static_cast<std::size_t>(k)];
    if (rows.empty()) return;
    const Index d = log_prob_.n_features();
    RowVector mean = RowVector::Zero(block.x.cols()), scale = mean;
    mean.head(d) = log_prob_.means().row(k);
    scale.head(d) = log_prob_.frame().scale;
    for_blocks(0, static_cast<Index>(rows.size()), pairs, [&](Index first, Index n) {
      for (Index i = 0; i < n; ++i) {
        const auto x = block.x.row(rows[static_cast<std::size_t>(first + i)]);
        block.offset.row(i).array() = (x - mean).array() * scale.array();
      }
      body(first, rows, Rows(block.offset.topLeftCorner(n, d)));
    });
  }

 private:
  /// The largest share of pairs with which this kernel pays, beside the dense one or the centred one, which takes as long for
  /// a pair.
  double largest_share(bool centred) const {
    return centred ? 2.0 / 3 : 1 / (1.4 + GAUSSMIX_SCREEN_COST / static_cast<double>(theta_.features()));
  }

  /// What m_nk is for a component of weight 1 and a row at its mean, in nats.
  static constexpr float margin = 40;

  /// Pairs that are computed together: their rows stay in the first caches.
  static constexpr Index pairs = 96;

  /// Lists the pairs of some rows that can matter, and returns their number.
  Index select(Index at, Index n, ScreenedBlock<Covariance>& block) const {
    const Index k = log_prob_.n_components();
    block.panels.load(block.z);
    block.log_prob.resize(padded<float>(n), k);
    block.panels.multiply(theta_, block.log_prob);
    block.best = Eigen::ArrayXf::Constant(n, -std::numeric_limits<float>::infinity());
    for (Index c = 0; c < k; ++c) {
      block.bound = half_norms_(c) * (block.distance + mean_norms_(c)).square() + constants_(c);
      auto value = block.log_prob.col(c).head(n).array();
      block.best = block.best.max(value - block.bound);
      value += block.bound - log_weights_(c);
    }
    const float per_feature = 2.0f / static_cast<float>(log_prob_.n_features());
    block.best -= margin + ((highest_ - block.best).max(0.0f) * per_feature).log1p();
    Index kept = 0;
    for (Index c = 0; c < k; ++c) {
      auto& rows = block.rows[static_cast<std::size_t>(c)];
      const auto before = rows.size();
      const auto value = block.log_prob.col(c).head(n).array();
      for_blocks(0, n, panel_rows<float>, [&](Index first, Index count) {
        // Most have none, which takes no look at each.
        if ((value.segment(first, count) - block.best.segment(first, count)).maxCoeff() < 0) return;
        for (Index i = first; i < first + count; ++i)
          if (!(value(i) < block.best(i))) rows.push_back(at + i);
      });
      kept += static_cast<Index>(rows.size() - before);
    }
    return kept;
  }

  /// Log-densities of the listed pairs in double, and their responsibilities.
  void finish(ScreenedBlock<Covariance>& block) const {
    const Index k = log_prob_.n_components();
    block.log_norm = Vector::Constant(block.x.rows(), -std::numeric_limits<double>::infinity());
    for (Index c = 0; c < k; ++c) {
      const auto& rows = block.rows[static_cast<std::size_t>(c)];
      auto& value = block.responsibilities[static_cast<std::size_t>(c)];
      value.resize(static_cast<Index>(rows.size()));
      for_pairs(block, c, [&](Index first, const std::vector<Index>&, const Rows& offset) {
        Covariance::squared_norms(offset, log_prob_.factor(c), value.segment(first, offset.rows()));
      });
      value = (log_prob_.constants()(c) - 0.5 * value.array().min(largest_distance)).matrix();
      for (std::size_t i = 0; i < rows.size(); ++i)
        block.log_norm(rows[i]) = std::max(block.log_norm(rows[i]), value(static_cast<Index>(i)));
    }
    Vector sum = Vector::Zero(block.x.rows());
    for (Index c = 0; c < k; ++c) {
      const auto& rows = block.rows[static_cast<std::size_t>(c)];
      auto& value = block.responsibilities[static_cast<std::size_t>(c)];
      for (std::size_t i = 0; i < rows.size(); ++i) value(static_cast<Index>(i)) -= block.log_norm(rows[i]);
      value = (value.array().exp() - negligible<double>).cwiseMax(0.0).matrix();
      for (std::size_t i = 0; i < rows.size(); ++i) sum(rows[i]) += value(static_cast<Index>(i));
    }
    block.log_norm.array() += sum.array().log();
    sum = sum.cwiseInverse();
    for (Index c = 0; c < k; ++c) {
      const auto& rows = block.rows[static_cast<std::size_t>(c)];
      auto& value = block.responsibilities[static_cast<std::size_t>(c)];
      for (std::size_t i = 0; i < rows.size(); ++i) value(static_cast<Index>(i)) *= sum(rows[i]);
    }
  }

  const LogProb<Covariance>& log_prob_;
  bool useful_ = false;
  Coefficients<float> theta_;
  Eigen::ArrayXf half_norms_, mean_norms_, constants_, log_weights_;
  float highest_ = 0;  // of the constants c_k
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
