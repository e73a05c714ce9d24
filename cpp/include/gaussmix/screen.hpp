// The screened kernel of the E-step, for components that lie apart: float first, double for what can matter.
//
// A product in float gives a bound h_nk that the log-density of a pair (row, component) is certain to be below. The best of
// the row is certain to be above some l_n. A pair is dropped if h_nk lies below l_n by
//
//   m_nk = 40 - log pi_k + log(1 + q_n / d),   q_n = 2 (max_k c_k - l_n), which bounds the row's Mahalanobis distances
//
// All that is dropped then changes the count of component k by less than e^-40 < 1e-17 of pi_k W, with W the weight of the
// rows, and its scatter by as little in proportion, however far out a row lies. The pairs that remain, about one a row where
// components are separated, are gathered by component and computed in double from the rows themselves, as in the centred
// kernel, so that what is kept is exact. A block where many pairs remain is left to the other kernels.
//
// Two bounds are tried in turn. A distance is a sum of squares, |U_k^T (x - mu_k)|^2 with U triangular, of which the first t
// are those of the first t features alone: it is at least their distance, whose D_t features are a fraction of all D. Where
// components lie apart in these already, nothing else is computed of most pairs, and l_n is the log-density of the row's
// likeliest pair, or of the next, in double. Else all D features give h_nk, and l_n too.
//
//   |L_float - L| <= s u (|P_k|_inf (|z| + |m_k|)^2 / 2 + |c_k|),   u = 2^-24
//
// (Higham, "Accuracy and stability of numerical algorithms", 2002, section 3.1: sums of slices of the features, then of
// their sums, s = slice + number of slices + 8, of which 8 are for rounded factors and for the comparisons; a feature that is
// a sum itself adds its length.)
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gaussmix/log_prob.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// How costly a pair is that the screen lets through: where the dense kernel takes two units for a pair of D features, the
/// screen takes one (by a part of the features that part of it), and what it lets through 1.4 + cost / D more. Tests set
/// it lower, so that small components are screened too.
#ifndef GAUSSMIX_SCREEN_COST
#define GAUSSMIX_SCREEN_COST 1400.0
#endif

/// The pairs of a block that the screen let through, grouped by component.
template <class Covariance>
struct ScreenedBlock {
  Matrix x;  ///< rows as they are, `row_stride` apart
  Vector weights;
  Vector log_norm;                       ///< log p(x_n)
  std::vector<std::vector<Index>> rows;  ///< of each component, within the block
  std::vector<Vector> responsibilities;  ///< of these rows

  Index packed = 0;      ///< first rows of x that are packed
  Block z;               ///< rows that are screened now, in the frame
  Eigen::MatrixXf part;  ///< their log-densities in float
  Eigen::ArrayXf distance, error;
  float radius = 0;         ///< the largest |z| so far
  Eigen::MatrixXf highest;  ///< h_nk of all rows
  Eigen::ArrayXf lowest;    ///< what the best log-density of a row is above
  Eigen::ArrayXf needed;    ///< what others must reach to matter, less log pi_k
  Eigen::ArrayXi likeliest;
  Matrix offset;  ///< some of one component's rows about its mean, as `x`
  FeaturePanels<Covariance, float> panels;
};

/// Screens blocks of rows against one model.
template <class Covariance>
class Screen {
 public:
  /// Rows of a block: enough that each of K components has some, if h_nk then stays within some MB, and so few that the n
  /// rows make two, four, eight or a multiple of eight blocks if they can, which threads share evenly.
  static Index block_rows(Index n, Index d, Index k) {
    const Index part = gaussmix::block_rows<Covariance>(d, k);
    const Index most = std::clamp<Index>((Index{1} << 20) / k, 240, 2048) / part * part;
    // A triangular product takes eight rows together, a distance from variances one by one.
    const Index of_each = Covariance::entries(d) > d ? 8 : 4;
    const Index fewest = std::clamp<Index>(of_each * k, 240, std::max<Index>(most / 2, 240));
    Index blocks = 1;
    while (blocks < 8 && n >= 2 * blocks * fewest) blocks *= 2;
    if (blocks == 8) blocks = std::max<Index>(1, (n + 4 * most) / (8 * most)) * 8;
    return rows_of_blocks(n, blocks);
  }

  /// \param rows  of a block
  Screen(const LogProb<Covariance>& log_prob, Index rows, int n_threads) : log_prob_(log_prob) {
    const Index k = log_prob.n_components(), d = log_prob.n_features(), features = Covariance::features(d);
    if (log_prob.products() == Products::none) return;
    if (Covariance::shared || k < 8 || 22 * static_cast<double>(features) < GAUSSMIX_SCREEN_COST) return;
    if (!(log_prob.mean_norms().maxCoeff() < farthest)) return;
    const auto finite = [](double c) { return std::isfinite(c) ? c : 0.0; };  // not of a weight of 0
    log_weights_ = log_prob.log_weights().unaryExpr(finite).template cast<float>();
    highest_ = static_cast<float>(log_prob.constants().maxCoeff());
    means_ = Matrix::Zero(k + 1, row_stride(d));
    means_.topLeftCorner(k, d) = log_prob.means();
    means_.row(k).head(d) = log_prob.frame().scale;
    Index t = std::min<Index>(d, 32);
    while (t > 1 && 3 * Covariance::features(t) > features) --t;
    // What the first t columns save pays for as many pairs in double; of a row there are two at least.
    const double share =
        largest_share() * (1 - static_cast<double>(Covariance::features(t)) / static_cast<double>(features));
    if (share * static_cast<double>(k) >= 2 && rows >= least_panels * panel_rows<float>)
      bounds_.emplace_back(LogProb<Covariance>(log_prob.leading(t), n_threads), log_prob, share);
    bounds_.emplace_back(log_prob, log_prob, largest_share());
  }

  /// Packs rows first ... first + rows - 1 and computes the responsibilities of the pairs that matter; false if they are
  /// too many, or the rows too far out, for this kernel to pay.
  bool expect(const Data& data, Index first, Index rows, ScreenedBlock<Covariance>& block) const {
    if (bounds_.empty()) return false;
    const auto k = static_cast<std::size_t>(log_prob_.n_components());
    block.x.resize(rows, row_stride(log_prob_.n_features()));
    block.offset.resize(pairs, block.x.cols());
    block.highest.resize(rows, log_prob_.n_components());
    block.weights.resize(rows);
    block.rows.resize(k);
    block.responsibilities.resize(k);
    block.packed = 0;
    data.load_weights(first, block.weights);
    for (const Bound& bound : bounds_)
      if (select(bound, data, first, block)) {
        normalize(block);
        return true;
      }
    return false;
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

  /// Calls body(at, rows, offset) for some of component k's pairs at a time, from pair `from` on: with what `block.rows`
  /// lists, and (x - mu_k) * scale of rows[at], rows[at + 1], ...
  template <class Body>
  void for_pairs(ScreenedBlock<Covariance>& block, Index k, Index from, const Body& body) const {
    const auto& rows = block.rows[static_cast<std::size_t>(k)];
    const Index count = static_cast<Index>(rows.size()) - from;
    if (count == 0) return;
    const Index stride = block.x.cols();
    const double *mean = means_.row(k).data(), *scale = means_.row(means_.rows() - 1).data();
    for_blocks(from, count, pairs, [&](Index at, Index n) {
      using Packet = detail::Packet<double>;
      for (Index i = 0; i < n; ++i) {
        const double* x = block.x.data() + rows[static_cast<std::size_t>(at + i)] * stride;
        double* offset = block.offset.data() + i * stride;
        for (Index j = 0; j < stride; j += detail::packet_size<double>) {
          const auto load = [j](const double* values) { return Eigen::internal::ploadu<Packet>(values + j); };
          Eigen::internal::pstoreu(offset + j,
                                   Eigen::internal::pmul(Eigen::internal::psub(load(x), load(mean)), load(scale)));
        }
      }
      body(at, rows, Rows(block.offset.topLeftCorner(n, log_prob_.n_features())));
    });
  }

 private:
  /// What gives h_nk: the coefficients of the first features in float, and what bounds their error.
  struct Bound {
    Index columns;  // of the data
    bool all;       // whether these are all
    Frame frame;
    Coefficients<float> theta;
    Eigen::ArrayXf half_norms, mean_norms, constant_errors;
    double share;  // of the pairs that may remain

    /// \param log_prob  of these columns  \param whole  of all
    Bound(const LogProb<Covariance>& log_prob, const LogProb<Covariance>& whole, double largest_share)
        : columns(log_prob.n_features()),
          all(columns == whole.n_features()),
          frame(log_prob.frame()),
          theta(log_prob.coefficients().features(), log_prob.n_components()),
          share(largest_share) {
      const Vector& constants = whole.constants();
      constexpr Index slice = FeaturePanels<Covariance, float>::slice;
      const Index depth = theta.features(), slices = (depth + slice - 1) / slice;
      const double unit = std::ldexp(1.0, -24) *
                          static_cast<double>(std::min(depth, slice) + slices + 8 + Covariance::feature_terms(columns));
      for (Index c = 0; c < theta.n_components(); ++c) {
        Vector column = log_prob.coefficients().column(c);
        if (std::isfinite(constants(c))) column(0) += constants(c) - log_prob.constants()(c);
        theta.column(c) = column.template cast<float>();
      }
      half_norms = (0.5 * unit * log_prob.precision_norms()).template cast<float>();
      mean_norms = log_prob.mean_norms().template cast<float>();
      const auto error = [unit](double c) { return std::isfinite(c) ? unit * std::abs(c) : 0.0; };
      constant_errors = constants.unaryExpr(error).template cast<float>();
    }
  };

  /// The largest share of pairs with which this kernel pays, beside the dense one.
  double largest_share() const {
    return 1 / (1.4 + GAUSSMIX_SCREEN_COST / static_cast<double>(Covariance::features(log_prob_.n_features())));
  }
  /// The same beside the centred one, which takes as long for a pair.
  static constexpr double share_beside_centred = 2.0 / 3;

  /// What m_nk is for a component of weight 1 and a row at its mean, in nats.
  static constexpr float margin = 40;

  /// Pairs that are computed together: their rows stay in the first caches.
  static constexpr Index pairs = 96;

  /// A distance from which on rows are too far out: floats hold its square.
  static constexpr double farthest = 1e15;

  /// Panels of a block from which on the first is a small part of it.
  static constexpr Index least_panels = 10;

  /// Lists the pairs of a block that can matter, with their log-densities; false if they are too many, or too far out.
  bool select(const Bound& bound, const Data& data, Index first, ScreenedBlock<Covariance>& block) const {
    const Index rows = block.x.rows();
    for (auto& listed : block.rows) listed.clear();
    for (auto& values : block.responsibilities) values.resize(0);
    block.log_norm = Vector::Constant(rows, -std::numeric_limits<double>::infinity());
    block.lowest = Eigen::ArrayXf::Constant(rows, -std::numeric_limits<float>::infinity());
    block.radius = 0;
    // The first rows tell for most: what does not pay is found out early.
    const Index few = std::min(panel_rows<float>, rows);
    if (!bound.all && rows < least_panels * few) return false;
    const Index step = even_rows(rows, gaussmix::block_rows<Covariance>(bound.columns, log_prob_.n_components()));
    const Index together = bound.all ? step : std::max(step, rows / 2);  // in double, each component needs some rows
    for (Index at = 0, n = 0, listed = 0; at < rows; at += n) {
      n = at == 0 ? few : std::min((at / step + 1) * step, rows) - at;
      if (!set_highest(bound, data, first, at, n, block)) return false;
      const Index end = at + n;
      if (at > 0 && end < rows && end - listed < together) continue;
      if (!list(bound, listed, end - listed, block)) return false;
      listed = end;
    }
    return evaluate(block);
  }

  /// h_nk of n rows; false if they are too far out.
  bool set_highest(const Bound& bound, const Data& data, Index first, Index at, Index n,
                   ScreenedBlock<Covariance>& block) const {
    // What the bound before this one has looked at, in steps of its own, is packed.
    if (const Index from = std::max(at, block.packed), end = at + n; from < end) {
      auto x = block.x.middleRows(from, end - from);
      data.load_rows(first + from, x.leftCols(log_prob_.n_features()));
      x.rightCols(x.cols() - log_prob_.n_features()).setZero();
      block.packed = end;
    }
    block.z.resize(n, bound.columns);
    data.load(first + at, block.z, bound.frame);
    block.distance = block.z.cwiseAbs2().rowwise().sum().cwiseSqrt().template cast<float>();
    if (!(block.distance < static_cast<float>(farthest)).all()) return false;  // nor is NaN
    block.radius = std::max(block.radius, block.distance.maxCoeff());
    block.panels.resize(n, bound.columns);
    block.panels.for_panels(
        [&block](Index row, auto part) { part = block.z.middleRows(row, part.rows()).template cast<float>(); });
    block.part.resize(padded<float>(n), log_prob_.n_components());
    block.panels.multiply(bound.theta, block.part);
    auto lowest = block.lowest.segment(at, n);
    for (Index c = 0; c < log_prob_.n_components(); ++c) {
      block.error = bound.half_norms(c) * (block.distance + bound.mean_norms(c)).square() + bound.constant_errors(c);
      const auto value = block.part.col(c).head(n).array();
      block.highest.col(c).segment(at, n) = (value + block.error).matrix();
      if (bound.all) lowest = lowest.max(value - block.error);
    }
    return true;
  }

  /// Lists the pairs of n rows; false if there are too many so far. Of some columns alone no bound from below is known:
  /// the likeliest pair gives one, or the next, which often is better.
  bool list(const Bound& bound, Index at, Index n, ScreenedBlock<Covariance>& block) const {
    const Index k = log_prob_.n_components();
    if (bound.all) set_needed(at, n, block);
    if (!bound.all && !(list_likeliest(at, n, true, block) && list_likeliest(at, n, false, block))) return false;
    for (Index c = 0; c < k; ++c) {
      auto& rows = block.rows[static_cast<std::size_t>(c)];
      const auto value = block.highest.col(c).segment(at, n).array();
      const float weight = log_weights_(c);
      for_blocks(0, n, panel_rows<float>, [&](Index first, Index count) {
        // Most have none, which takes no look at each.
        if ((value.segment(first, count) - block.needed.segment(first, count)).maxCoeff() < weight) return;
        std::size_t listed = rows.size();
        rows.resize(listed + static_cast<std::size_t>(count));
        for (Index i = first; i < first + count; ++i) {  // without a branch that no processor could foretell
          rows[listed] = at + i;
          listed += value(i) - block.needed(i) >= weight;
        }
        rows.resize(listed);
      });
    }
    std::size_t kept = 0;
    for (const auto& rows : block.rows) kept += rows.size();
    // What goes centred else, beside the dense product, takes as long there as here.
    const double centred = bound.all ? log_prob_.centred_share(double{block.radius}) : 0;
    const double share = centred == 1 ? share_beside_centred : std::min(bound.share + centred, share_beside_centred);
    return static_cast<double>(kept) <= share * static_cast<double>((at + n) * k);
  }

  /// Lists the pair with the highest h_nk of each of n rows, if it can matter or `always`, and takes it from `highest`.
  bool list_likeliest(Index at, Index n, bool always, ScreenedBlock<Covariance>& block) const {
    constexpr float none = -std::numeric_limits<float>::infinity();
    Eigen::ArrayXf highest = Eigen::ArrayXf::Constant(n, none);
    block.likeliest.setZero(n);
    for (Index c = 0; c < log_prob_.n_components(); ++c) {
      const float* value = block.highest.col(c).data() + at;
      float* best = highest.data();
      int* likeliest = block.likeliest.data();
      for (Index i = 0; i < n; ++i) {
        likeliest[i] = value[i] > best[i] ? static_cast<int>(c) : likeliest[i];
        best[i] = std::max(best[i], value[i]);
      }
    }
    for (Index i = 0; i < n; ++i) {
      const Index c = block.likeliest(i);
      if (!always && highest(i) - block.needed(i) < log_weights_(c)) continue;
      block.rows[static_cast<std::size_t>(c)].push_back(at + i);
      block.highest(at + i, c) = none;
    }
    if (!evaluate(block)) return false;
    const auto known = block.log_norm.segment(at, n).array();
    block.lowest.segment(at, n) = (known - std::ldexp(1.0, -23) * known.abs()).template cast<float>();
    set_needed(at, n, block);
    return true;
  }

  /// What others must reach, from what the best of a row is above.
  void set_needed(Index at, Index n, ScreenedBlock<Covariance>& block) const {
    const auto lowest = block.lowest.segment(at, n);
    const float per_feature = 2.0f / static_cast<float>(log_prob_.n_features());
    block.needed = lowest - margin - ((highest_ - lowest).max(0.0f) * per_feature).log1p();
  }

  /// The log-densities of the pairs that were listed since; false if a row is too far out.
  bool evaluate(ScreenedBlock<Covariance>& block) const {
    bool near = true;
    for (Index c = 0; c < log_prob_.n_components(); ++c) {
      const auto& rows = block.rows[static_cast<std::size_t>(c)];
      auto& value = block.responsibilities[static_cast<std::size_t>(c)];
      const Index from = value.size(), count = static_cast<Index>(rows.size()) - from;
      if (count == 0) continue;
      value.conservativeResize(from + count);
      for_pairs(block, c, from, [&](Index at, const std::vector<Index>&, const Rows& offset) {
        Covariance::squared_norms(offset, log_prob_.factor(c), value.segment(at, offset.rows()));
      });
      near = near && (value.tail(count).array() < farthest * farthest).all();  // nor is NaN
      value.tail(count) = (log_prob_.constants()(c) - 0.5 * value.tail(count).array()).matrix();
      for (Index i = from; i < from + count; ++i) {
        double& best = block.log_norm(rows[static_cast<std::size_t>(i)]);
        best = std::max(best, value(i));
      }
    }
    return near;
  }

  /// From the log-densities of the listed pairs and the best of each row to responsibilities and log p(x_n).
  void normalize(ScreenedBlock<Covariance>& block) const {
    Vector sum = Vector::Zero(block.x.rows());
    const auto for_lists = [&](const auto& body) {
      for (std::size_t c = 0; c < block.rows.size(); ++c) body(block.rows[c], block.responsibilities[c]);
    };
    for_lists([&](const std::vector<Index>& rows, Vector& value) {
      for (std::size_t i = 0; i < rows.size(); ++i) value(static_cast<Index>(i)) -= block.log_norm(rows[i]);
      value = (value.array().exp() - negligible).cwiseMax(0.0).matrix();
      for (std::size_t i = 0; i < rows.size(); ++i) sum(rows[i]) += value(static_cast<Index>(i));
    });
    block.log_norm.array() += sum.array().log();
    sum = sum.cwiseInverse();
    for_lists([&](const std::vector<Index>& rows, Vector& value) {
      for (std::size_t i = 0; i < rows.size(); ++i) value(static_cast<Index>(i)) *= sum(rows[i]);
    });
  }

  const LogProb<Covariance>& log_prob_;
  std::vector<Bound> bounds_;  // to be tried in this order
  Eigen::ArrayXf log_weights_;
  float highest_ = 0;  // of the constants c_k
  Matrix means_;       // K rows and one of the frame's scale, filled up with zeros to `row_stride`
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
