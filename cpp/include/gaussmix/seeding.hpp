// Rows to start from: drawn in proportion to their weight, or by greedy k-means++ (Arthur and Vassilvitskii, "k-means++:
// the advantages of careful seeding", 2007, section 6), where each new centre is the best of 2 + log K rows drawn with
// probability proportional to w D^2. A row cannot come nearer to a candidate that is at least twice as far from the row's
// centre as the row is: where that holds for all candidates, the row is passed over without being read. A pass over the rows
// tells them of the newest centre too, so that there is one for each centre.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
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
    centres_.resize(0, data_.cols());
    std::uint64_t place = 0;
    std::vector<Index> chosen;
    const auto choose = [&](Index row) {
      chosen.push_back(row);
      centres_.conservativeResize(centres_.rows() + 1, Eigen::NoChange);
      centres_.bottomRows(1) = row_values(data_, {row});
      settled_.assign(static_cast<std::size_t>(lanes_.count), 0);
    };
    choose(row_at(find_place(weights, random.uniform(place++)[0]), weight));
    Vector lane_masses;
    if (k_ > 1) lane_masses = potentials(centres_);
    while (static_cast<Index>(chosen.size()) < k_) {
      // Where all rows coincide with centres, they are drawn by weight alone.
      const bool by_distance = lane_masses.maxCoeff() > 0;
      std::vector<Place> places;
      for (int t = 0; t < trials; ++t)
        places.push_back(find_place(by_distance ? lane_masses : weights, random.uniform(place++)[0]));
      if (by_distance) settle(places);
      std::vector<Index> drawn;
      for (const Place& at : places) drawn.push_back(by_distance ? row_at(at, contribution) : row_at(at, weight));
      const Matrix with_candidates = potentials(row_values(data_, drawn));
      Index best = 0;
      with_candidates.colwise().sum().minCoeff(&best);
      choose(drawn[static_cast<std::size_t>(best)]);
      lane_masses = with_candidates.col(best);
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
      const Index i = row_at(find_place(lane_masses, random.uniform(place)[0]), remaining);
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

  /// Where the cumulated mass passes u times the total: a lane, and the mass of it that comes before.
  struct Place {
    Index lane;
    double before;
  };

  static Place find_place(const Vector& lane_masses, double u) {
    double target = u * lane_masses.sum();
    Index last_lane = lane_masses.size() - 1, lane = 0;
    while (last_lane > 0 && !(lane_masses(last_lane) > 0)) --last_lane;
    for (; lane < last_lane && target >= lane_masses(lane); ++lane) target -= lane_masses(lane);
    return {lane, target};
  }

  /// The row there; -1 if the lane has no mass.
  template <class Mass>
  Index row_at(const Place& place, const Mass& mass) const {
    double target = place.before;
    Index last = -1;
    for (Index i = lanes_.first(place.lane); i < lanes_.first(place.lane + 1); ++i) {
      const double m = mass(i);
      if (!(m > 0)) continue;
      last = i;
      if (target < m) break;
      target -= m;
    }
    return last;
  }

  /// The rows of a block that must be read, filled up to whole tiles.
  struct OpenRows {
    std::vector<Index> indices;
    Block x;
    Vector weights;
    double others = 0;  ///< sum of w closest over the rows that need not be read
  };

  /// Those of rows first ... first + rows - 1 that have a weight and for which must_be_read(row), packed into `open`; of
  /// few features all that have a weight, which takes less time than to ask. Where all are packed already, these.
  template <class Condition>
  const OpenRows& read(Index first, Index rows, OpenRows& open, const Condition& must_be_read) const {
    if (!packed_.empty()) return packed_[static_cast<std::size_t>(first / lanes_.block)];
    open.indices.resize(static_cast<std::size_t>(rows));
    const bool ask = data_.cols() > 8;
    std::size_t count = 0;
    open.others = 0;
    for (Index i = first; i < first + rows; ++i) {
      if (!(data_.weight(i) > 0)) continue;
      const bool is_open = !ask || must_be_read(i);
      open.indices[count] = i;
      count += is_open;
      open.others += is_open ? 0.0 : data_.weight(i) * closest_(i);
    }
    open.indices.resize(count);
    const auto n = static_cast<Index>(count);
    open.x.resize((n + distance_rows - 1) / distance_rows * distance_rows, data_.cols());
    open.x.bottomRows(open.x.rows() - n).setZero();
    data_.load(open.indices, open.x.topRows(n));
    open.weights.resize(n);
    for (Index r = 0; r < n; ++r) open.weights(r) = data_.weight(open.indices[static_cast<std::size_t>(r)]);
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
      if (packed[b].weights.size() < rows) return;
    }
    packed_ = std::move(packed);
  }

  /// sum w closest over each lane, if each of the candidates were a further centre: lanes x candidates.
  template <class = void>
  Matrix potentials(const Matrix& candidates) {
    if (interrupt_ && interrupt_()) throw Stopped();
    Matrix result(lanes_.count, candidates.rows());
    const Visit visit = prepare(candidates);
    parallel_for(lanes_.count, n_threads_, [&](Index lane) { result.row(lane) = look(lane, visit); });
    return result;
  }

  /// Tells the rows of the lanes of some places of the newest centre.
  template <class = void>
  void settle(const std::vector<Place>& places) {
    std::set<Index> lanes;
    for (const Place& place : places)
      if (!settled_[static_cast<std::size_t>(place.lane)]) lanes.insert(place.lane);
    const std::vector<Index> open(lanes.begin(), lanes.end());
    const Visit visit = prepare(Matrix(0, data_.cols()));
    parallel_for(static_cast<Index>(open.size()), n_threads_,
                 [&](Index i) { look(open[static_cast<std::size_t>(i)], visit); });
  }

  /// The newest centre and candidates for the next.
  struct Visit {
    Matrix points;           ///< of them
    Vector newest, nearest;  ///< squared distances of each centre to the newest, and to the nearest of the candidates
  };

  template <class = void>
  Visit prepare(const Matrix& candidates) const {
    Visit visit{Matrix(1 + candidates.rows(), data_.cols()), Vector(centres_.rows()), Vector(centres_.rows())};
    visit.points << centres_.bottomRows(1), candidates;
    for (Index c = 0; c < centres_.rows(); ++c) {
      visit.newest(c) = spread_.squared_distance(centres_.row(c), centres_.row(centres_.rows() - 1));
      visit.nearest(c) = std::numeric_limits<double>::infinity();
      for (Index t = 0; t < candidates.rows(); ++t)
        visit.nearest(c) = std::min(visit.nearest(c), spread_.squared_distance(centres_.row(c), candidates.row(t)));
    }
    return visit;
  }

  /// Updates labels and closest distances of a lane, unless it knows the newest centre; its potential with each candidate.
  template <class = void>
  RowVector look(Index lane, const Visit& visit) {
    const Index trials = visit.points.rows() - 1;
    const bool settled = settled_[static_cast<std::size_t>(lane)];
    const Vector reach = settled ? visit.nearest : visit.newest.cwiseMin(visit.nearest);
    RowVector masses_with = RowVector::Zero(trials);
    OpenRows buffer;
    Vector closest;
    Block distances;
    lanes_.for_blocks(lane, [&](Index first, Index rows) {
      const OpenRows& open = read(
          first, rows, buffer, [&](Index i) { return reach(nearest_[static_cast<std::size_t>(i)]) < 4 * closest_(i); });
      masses_with.array() += open.others;
      if (open.indices.empty()) return;
      squared_distances(open.x, visit.points, spread_.unit, distances);
      closest.resize(open.weights.size());
      for (Index r = 0; r < closest.size(); ++r) {
        const Index i = open.indices[static_cast<std::size_t>(r)];
        closest(r) = closest_(i);
        if (!settled && distances(r, 0) < closest(r)) {
          closest_(i) = closest(r) = distances(r, 0);
          nearest_[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(centres_.rows() - 1);
        }
      }
      for (Index t = 0; t < trials; ++t)
        masses_with(t) += open.weights.dot(closest.cwiseMin(distances.col(1 + t).head(closest.size())));
    });
    settled_[static_cast<std::size_t>(lane)] = 1;
    return masses_with;
  }

  Data data_;
  Spread spread_;
  Index k_;
  int n_threads_;
  Interrupt interrupt_;
  Lanes lanes_;
  std::vector<OpenRows> packed_;       // all blocks of rows that are few; else none
  Matrix centres_;                     // chosen so far
  std::vector<char> settled_;          // whether the rows of a lane know the newest
  std::vector<std::int32_t> nearest_;  // centre that is nearest to each row so far
  Vector closest_;                     // squared distance to it
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
