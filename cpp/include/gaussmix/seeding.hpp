// Rows to start from: drawn in proportion to their weight, or by greedy k-means++ (Arthur and Vassilvitskii, "k-means++:
// the advantages of careful seeding", 2007, section 6), where each new centre is the best of 2 + log K rows drawn with
// probability proportional to w D^2. A row cannot come nearer to a candidate that is at least twice as far from the row's
// centre as the row is: where that holds for all candidates, the row is passed over without being read.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "gaussmix/random.hpp"
#include "gaussmix/spread.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Draws K rows of a data set. Holds 12 bytes a row; rows that take up to 4 MB are packed once and for all.
class Seeding {
 public:
  Seeding(const Data& data, Spread spread, Index n_components, int n_threads, Interrupt interrupt)
      : data_(data),
        spread_(std::move(spread)),
        k_(n_components),
        n_threads_(n_threads),
        interrupt_(std::move(interrupt)),
        lanes_(Spread::lanes(data)) {}

  /// Draws K rows by greedy k-means++. Where fewer rows are distinct, some are drawn twice.
  template <class = void>
  std::vector<Index> k_means_plus_plus(const Random& random) {
    const int trials = 2 + static_cast<int>(std::log(static_cast<double>(k_)));
    const auto weight = [this](Index i) { return data_.weight(i); };
    const auto contribution = [this](Index i) { return data_.weight(i) > 0 ? data_.weight(i) * closest_(i) : 0.0; };
    const Vector weights = masses(weight);
    pack();
    nearest_.assign(static_cast<std::size_t>(data_.rows()), 0);
    closest_ = Vector::Constant(data_.rows(), std::numeric_limits<double>::infinity());
    std::uint64_t place = 0;
    std::vector<Index> chosen;
    Matrix centres(k_, data_.cols());
    Vector lane_masses = weights;
    for (Index k = 0; k < k_; ++k) {
      if (interrupt_ && interrupt_()) throw Stopped();
      // At first, and where all rows coincide with centres, rows are drawn by weight alone.
      const bool by_distance = k > 0 && lane_masses.maxCoeff() > 0;
      std::vector<Index> drawn;
      for (int t = 0; t < (k > 0 ? trials : 1); ++t) {
        const double u = random.uniform(place++)[0];
        drawn.push_back(by_distance ? pick(lane_masses, u, contribution) : pick(weights, u, weight));
      }
      Index best = 0;
      if (k > 0) gains(row_values(data_, drawn), centres.topRows(k)).maxCoeff(&best);
      chosen.push_back(drawn[static_cast<std::size_t>(best)]);
      centres.row(k) = row_values(data_, {chosen.back()});
      lane_masses = add_centre(centres, k);
    }
    return chosen;
  }

  /// Draws K different rows, with probability proportional to their weights.
  /// \throws DegenerateData if fewer rows have a positive weight.
  template <class = void>
  std::vector<Index> uniform(const Random& random) const {
    std::vector<Index> chosen;
    std::vector<bool> taken(static_cast<std::size_t>(data_.rows()), false);
    const auto remaining = [&](Index i) { return taken[static_cast<std::size_t>(i)] ? 0.0 : data_.weight(i); };
    Vector lane_masses = masses(remaining);
    for (std::uint64_t place = 0; static_cast<Index>(chosen.size()) < k_; ++place) {
      const Index i = pick(lane_masses, random.uniform(place)[0], remaining);
      if (i < 0) throw DegenerateData("There are fewer rows with a positive weight than components.");
      chosen.push_back(i);
      taken[static_cast<std::size_t>(i)] = true;
      const Index lane = lanes_.lane_of(i);
      lane_masses(lane) = lane_mass(lane, remaining);
    }
    return chosen;
  }

 private:
  template <class Mass>
  double lane_mass(Index lane, const Mass& mass) const {
    double sum = 0;
    for (Index i = lanes_.first(lane); i < lanes_.first(lane + 1); ++i) sum += mass(i);
    return sum;
  }

  /// Sums of mass(row) over each lane.
  template <class Mass>
  Vector masses(const Mass& mass) const {
    Vector sums(lanes_.count);
    parallel_for(lanes_.count, n_threads_, [&](Index lane) { sums(lane) = lane_mass(lane, mass); });
    return sums;
  }

  /// The row at which the cumulated mass passes u times the total; -1 if there is no mass.
  template <class Mass>
  Index pick(const Vector& lane_masses, double u, const Mass& mass) const {
    double target = u * lane_masses.sum();
    Index last_lane = lanes_.count - 1, lane = 0;
    while (last_lane > 0 && !(lane_masses(last_lane) > 0)) --last_lane;
    for (; lane < last_lane && target >= lane_masses(lane); ++lane) target -= lane_masses(lane);
    Index last = -1;
    for (Index i = lanes_.first(lane); i < lanes_.first(lane + 1); ++i) {
      const double m = mass(i);
      if (!(m > 0)) continue;
      last = i;
      if (target < m) break;
      target -= m;
    }
    return last;
  }

  /// The rows of a block that must be read.
  struct OpenRows {
    std::vector<Index> indices;
    Block x;
    Vector weights;
  };

  /// Those of rows first ... first + rows - 1 that have a weight and for which must_be_read(row), packed into `open`; of
  /// few features all that have a weight, which takes less time than to ask. Where all are packed already, these.
  template <class Condition>
  const OpenRows& read(Index first, Index rows, OpenRows& open, const Condition& must_be_read) const {
    if (!packed_.empty()) return packed_[static_cast<std::size_t>(first / lanes_.block)];
    open.indices.clear();
    const bool ask = data_.cols() > 8;
    for (Index i = first; i < first + rows; ++i)
      if (data_.weight(i) > 0 && (!ask || must_be_read(i))) open.indices.push_back(i);
    const auto count = static_cast<Index>(open.indices.size());
    open.x.resize(count, data_.cols());
    open.weights.resize(count);
    if (count == rows)
      data_.load(first, open.x);
    else
      data_.load(open.indices, open.x);
    for (Index r = 0; r < count; ++r) open.weights(r) = data_.weight(open.indices[static_cast<std::size_t>(r)]);
    return open;
  }

  /// Packs all rows, if they are few and all have a weight: to ask which must be read would take longer than to know all.
  void pack() {
    constexpr Index few = 1 << 19;  // numbers
    if (data_.rows() * (data_.cols() + 2) > few) return;
    std::vector<OpenRows> packed(static_cast<std::size_t>(lanes_.blocks));
    for (std::size_t b = 0; b < packed.size(); ++b) {
      const Index first = static_cast<Index>(b) * lanes_.block, rows = std::min(lanes_.block, data_.rows() - first);
      read(first, rows, packed[b], [](Index) { return true; });
      if (packed[b].x.rows() < rows) return;
    }
    packed_ = std::move(packed);
  }

  /// What each candidate as a further centre would take off sum_n w_n closest_n.
  template <class = void>
  RowVector gains(const Matrix& candidates, const Eigen::Ref<const Matrix>& centres) const {
    const Index trials = candidates.rows();
    Matrix apart(centres.rows(), trials);
    for (Index c = 0; c < centres.rows(); ++c)
      for (Index t = 0; t < trials; ++t) apart(c, t) = spread_.squared_distance(centres.row(c), candidates.row(t));
    const Vector least_apart = apart.rowwise().minCoeff();
    return sum_over_lanes(lanes_, n_threads_, [&](Index lane) {
      RowVector gain = RowVector::Zero(trials);
      OpenRows buffer;
      Vector closest, distances;
      lanes_.for_blocks(lane, [&](Index first, Index rows) {
        const OpenRows& open = read(first, rows, buffer, [&](Index i) {
          return least_apart(nearest_[static_cast<std::size_t>(i)]) < 4 * closest_(i);
        });
        if (open.indices.empty()) return;
        closest = closest_(open.indices);
        for (Index t = 0; t < trials; ++t) {
          spread_.squared_distances(open.x, candidates.row(t), distances);
          gain(t) += open.weights.dot((closest - distances).cwiseMax(0.0));
        }
      });
      return gain;
    });
  }

  /// Makes row k of `centres` a centre: updates labels and closest distances. Returns sum w closest over each lane.
  template <class = void>
  Vector add_centre(const Matrix& centres, Index k) {
    Vector apart(k + 1);
    for (Index c = 0; c <= k; ++c) apart(c) = spread_.squared_distance(centres.row(c), centres.row(k));
    Vector sums = Vector::Zero(lanes_.count);
    parallel_for(lanes_.count, n_threads_, [&](Index lane) {
      OpenRows buffer;
      Vector distances;
      lanes_.for_blocks(lane, [&](Index first, Index rows) {
        const OpenRows& open = read(first, rows, buffer, [&](Index i) {
          return k == 0 || apart(nearest_[static_cast<std::size_t>(i)]) < 4 * closest_(i);
        });
        if (!open.indices.empty()) spread_.squared_distances(open.x, centres.row(k), distances);
        for (std::size_t r = 0; r < open.indices.size(); ++r) {
          const Index i = open.indices[r];
          const double distance = distances(static_cast<Index>(r));
          auto& label = nearest_[static_cast<std::size_t>(i)];
          label = distance < closest_(i) ? static_cast<std::int32_t>(k) : label;
          closest_(i) = std::min(closest_(i), distance);
        }
        for (Index i = first; i < first + rows; ++i)
          if (data_.weight(i) > 0) sums(lane) += data_.weight(i) * closest_(i);
      });
    });
    return sums;
  }

  Data data_;
  Spread spread_;
  Index k_;
  int n_threads_;
  Interrupt interrupt_;
  Lanes lanes_;
  std::vector<OpenRows> packed_;       // all blocks of rows that are few; else none
  std::vector<std::int32_t> nearest_;  // centre that is nearest to each row so far
  Vector closest_;                     // squared distance to it
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
