// The screened kernel of the E-step, for components that lie apart: float first, double for what can matter.
//
// One product in float gives every log-density of a block up to a bound that is known beforehand. A pair (row, component)
// whose log-density lies so far below the row's best that its responsibility is less than exp(-margin) is dropped: it
// would change a count that is not about 0 by less than 1e-12 of it. The pairs that remain, about one a row where
// components are separated, are gathered by component and computed in double from the rows themselves, as in the centred
// kernel, so that what is kept is exact. A block where many pairs remain is left to the other kernels.
//
//   |L_float - L| <= (D + 4) u (|P_k|_inf (|z| + |m_k|)^2 / 2 + |c_k|),   u = 2^-24,   D features
//
// (Higham, "Accuracy and stability of numerical algorithms", 2002, section 3.1: products of D terms, factors rounded once.)
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gaussmix/log_prob.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// The pairs of a block that the screen let through, grouped by component.
template <class Covariance>
struct ScreenedBlock {
  Block x;  ///< rows as they are
  Block z;  ///< the rows that are screened now, in the frame
  Vector weights;
  Vector log_norm;                       ///< log p(x_n)
  std::vector<std::vector<Index>> rows;  ///< of each component, within the block
  std::vector<Vector> responsibilities;  ///< of these rows
  Block offset;                          ///< one component's rows about its mean, in whole panels
  FeaturePanels<Covariance, float> panels;
  Eigen::MatrixXf log_prob;
  Eigen::ArrayXf distance, bound, best;
};

/// Screens blocks of rows against one model.
template <class Covariance>
class Screen {
 public:
  /// Rows of a block: enough that each of K components has some, and that the n rows make eight blocks if they can; whole
  /// blocks of the dense kernel, so that none of these is cut short.
  static Index block_rows(Index n, Index d, Index k) {
    const Index part = gaussmix::block_rows<Covariance>(d, k);
    const Index rows = std::clamp<Index>(n / 8, std::clamp<Index>(8 * k, 240, 2048), 2048);
    return std::max<Index>(1, rows / part) * part;
  }

  explicit Screen(const LogProb<Covariance>& log_prob) : log_prob_(log_prob) {
    const Index k = log_prob.n_components();
    const double u = std::ldexp(1.0, -24), terms = static_cast<double>(log_prob.coefficients().features() + 4);
    useful_ = !Covariance::shared && k >= 8 && log_prob.coefficients().features() >= 32;
    if (!useful_) return;
    theta_ = Coefficients<float>(log_prob.coefficients().features(), k);
    for (Index c = 0; c < k; ++c) theta_.column(c) = log_prob.coefficients().column(c).template cast<float>();
    half_norms_ = (0.5 * terms * u * log_prob.precision_norms()).template cast<float>();
    mean_norms_ = log_prob.mean_norms().template cast<float>();
    constants_ = log_prob.constants()
                     .unaryExpr([&](double c) { return std::isfinite(c) ? terms * u * std::abs(c) : 0.0; })
                     .template cast<float>();
    margin_ = 64 + std::log(static_cast<double>(k));
  }

  /// Packs rows first ... first + rows - 1 and computes the responsibilities of the pairs that matter; false if they are
  /// too many, or the rows too far out, for this kernel to pay.
  bool expect(const Data& data, Index first, Index rows, ScreenedBlock<Covariance>& block) const {
    if (!useful_) return false;
    const Index k = log_prob_.n_components(), d = log_prob_.n_features();
    block.x.resize(rows, d);
    block.weights.resize(rows);
    block.rows.resize(static_cast<std::size_t>(k));
    block.responsibilities.resize(static_cast<std::size_t>(k));
    for (auto& r : block.rows) r.clear();

    const Index step = gaussmix::block_rows<Covariance>(d, k);
    Index kept = 0;
    double radius = 0;
    for (Index at = 0, n = 0; at < rows; at += n) {
      // The first rows tell for all: what does not pay is found out early.
      n = std::min(at == 0 ? panel_rows<float> : (at / step + 1) * step - at, rows - at);
      data.load(first + at, block.x.middleRows(at, n));
      block.z.resize(n, d);
      for (Index j = 0; j < d; ++j) block.z.col(j) = block.x.col(j).segment(at, n).unaryExpr(log_prob_.frame()(j));
      block.distance = block.z.rowwise().norm().template cast<float>();
      if (!(block.distance < 1e15f).all()) return false;  // nor is NaN
      radius = std::max<double>(radius, block.distance.maxCoeff());
      // The largest share of pairs that pays: the centred kernel takes as long for a pair, the dense one a sixth of it.
      const double share = log_prob_.centred(radius) ? 2.0 / 3 : 1.0 / 6;
      kept += select(at, n, block);
      if (static_cast<double>(kept) > share * static_cast<double>((at + n) * k)) return false;
    }
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
    for_blocks(first, rows, gaussmix::block_rows<Covariance>(log_prob_.n_features(), log_prob_.n_components()),
               [&](Index at, Index n) {
                 log_prob_.expect(data, at, n, block);
                 on_block();
               });
  }

  /// offset = (x - mu_k) * scale for the rows of component k.
  void gather(ScreenedBlock<Covariance>& block, Index k) const {
    const auto& rows = block.rows[static_cast<std::size_t>(k)];
    const auto n = static_cast<Index>(rows.size());
    block.offset.resize(padded<double>(n), block.x.cols());
    for (Index j = 0; j < block.x.cols(); ++j) {
      const double mean = log_prob_.means()(k, j), scale = log_prob_.frame().scale(j);
      const double* x = block.x.col(j).data();
      double* offset = block.offset.col(j).data();
      for (Index i = 0; i < n; ++i) offset[i] = (x[rows[static_cast<std::size_t>(i)]] - mean) * scale;
      std::fill(offset + n, offset + block.offset.rows(), 0.0);
    }
  }

 private:
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
      value += block.bound;
    }
    block.best -= static_cast<float>(margin_);
    Index kept = 0;
    for (Index c = 0; c < k; ++c) {
      auto& rows = block.rows[static_cast<std::size_t>(c)];
      const auto before = rows.size();
      const float* value = block.log_prob.col(c).data();
      for (Index i = 0; i < n; ++i)
        if (!(value[i] < block.best(i))) rows.push_back(at + i);
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
      if (rows.empty()) continue;
      gather(block, c);
      Covariance::squared_norms(block.offset, log_prob_.factor(c), value);
      value = (log_prob_.constants()(c) - 0.5 * value.array().min(largest_distance)).matrix();
      for (std::size_t i = 0; i < rows.size(); ++i)
        block.log_norm(rows[i]) = std::max(block.log_norm(rows[i]), value(static_cast<Index>(i)));
    }
    Vector sum = Vector::Zero(block.x.rows());
    for (Index c = 0; c < k; ++c) {
      const auto& rows = block.rows[static_cast<std::size_t>(c)];
      auto& value = block.responsibilities[static_cast<std::size_t>(c)];
      if (rows.empty()) continue;
      value = ((value - block.log_norm(rows)).array().exp() - negligible<double>).cwiseMax(0.0).matrix();
      for (std::size_t i = 0; i < rows.size(); ++i) sum(rows[i]) += value(static_cast<Index>(i));
    }
    block.log_norm.array() += sum.array().log();
    for (Index c = 0; c < k; ++c) {
      const auto& rows = block.rows[static_cast<std::size_t>(c)];
      if (!rows.empty()) block.responsibilities[static_cast<std::size_t>(c)].array() /= sum(rows).array();
    }
  }

  const LogProb<Covariance>& log_prob_;
  bool useful_ = false;
  Coefficients<float> theta_;
  Eigen::ArrayXf half_norms_, mean_norms_, constants_;
  double margin_ = 0;
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
