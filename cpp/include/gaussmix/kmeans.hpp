// k-means on weighted rows: a start for EM.
//
// Lloyd's iteration with bounds as those of Hamerly, "Making k-means even faster", 2010: a row whose upper bound on the
// distance to its own centre is below its lower bounds on the others cannot change, and is passed over. As in Drake and
// Hamerly, "Accelerated k-means with adaptive distance bounds", 2012, the second nearest centre, which most rows that change
// go to, has a bound of its own: it seldom moves as far as the fastest centre, by which the bound on all the others must fall.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "gaussmix/data.hpp"
#include "gaussmix/nearest.hpp"
#include "gaussmix/parallel.hpp"
#include "gaussmix/seeding.hpp"
#include "gaussmix/spread.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Rows assigned to centres.
struct Partition {
  Matrix centres;                    ///< K x d
  std::vector<std::int32_t> labels;  ///< n
};

/// Runs k-means over one data set. Holds 16 bytes a row.
class KMeans {
 public:
  /// \param spread  of these rows, if it is known
  KMeans(const Data& data, Index n_components, int n_threads, Interrupt interrupt, const Spread* spread = nullptr)
      : data_(data),
        k_(n_components),
        n_threads_(worth_threads(work(data, n_components), n_threads)),
        interrupt_(std::move(interrupt)),
        lanes_(data.rows(), Spread::lanes(data).block, max_lanes(data.rows(), data.cols(), k_ * (data.cols() + 1))),
        spread_(spread ? *spread : measure_spread(data, n_threads_)),
        travelled_(Vector::Zero(n_components)) {}

  const Spread& spread() const { return spread_; }
  const Partition& partition() const { return partition_; }

  /// K rows drawn by greedy k-means++; where fewer rows are distinct, some are drawn twice.
  template <class = void>
  std::vector<Index> seed(const Random& random) const {
    return Seeding(data_, spread_, k_, n_threads_, interrupt_).k_means_plus_plus(random);
  }

  /// K different rows, drawn with probability proportional to their weights.
  /// \throws DegenerateData if fewer rows have a positive weight.
  template <class = void>
  std::vector<Index> draw(const Random& random) const {
    return Seeding(data_, spread_, k_, n_threads_, interrupt_).uniform(random);
  }

  /// The values of some rows.
  Matrix rows(const std::vector<Index>& indices) const { return row_values(data_, indices); }

  /// Assigns every row to the nearest of K centres.
  template <class = void>
  void assign(const Matrix& centres) {
    move_to(centres);
    partition_.labels.assign(static_cast<std::size_t>(data_.rows()), 0);
    typical_ = spread_.variance;  // for want of a better one
    step(true);
  }

  /// Lloyd's iteration from the given centres, until their squared shifts add up to at most tol times the mean
  /// variance, or no row changes its centre.
  template <class = void>
  void run(const Matrix& centres, int max_iter = 300, double tol = 1e-4) {
    bounds_.resize(static_cast<std::size_t>(data_.rows()));
    assign(centres);
    typical_ = mean_squared_distance();
    for (int iteration = 0; iteration < max_iter; ++iteration) {
      check_interrupt();
      const double shift = move_to(moved_centres());
      if (!step(false) || shift <= tol * spread_.variance) break;
    }
    bounds_ = std::vector<Bounds>();  // and their memory
  }

 private:
  /// When a row must be searched again: when its own centre and another one have travelled so far in all. Where they have
  /// travelled far, as floats keep them, rows that lie closer to a boundary than 2^-23 of the way are searched each time.
  struct Bounds {
    std::int32_t second;  ///< the nearest of the other centres when the row was searched
    float with_second;    ///< its own and this one
    float with_others;    ///< its own and each time the fastest
  };

  /// Whether the bounds of row i leave open which centre is nearest.
  bool may_change(Index i) const {
    const Bounds& bounds = bounds_[static_cast<std::size_t>(i)];
    const double own = travelled_(partition_.labels[static_cast<std::size_t>(i)]);
    // & and not &&: which of the two fails is not to be foreseen, and a jump would be waited for.
    return !((bounds.with_second > own + travelled_(bounds.second)) & (bounds.with_others > own + others_travelled_));
  }

  /// What row i is found to have at position r, from now on.
  void set_bounds(Index i, const Nearest& nearest, Index r) {
    const std::int32_t second = nearest.second[static_cast<std::size_t>(r)];
    const double own = travelled_(nearest.label[static_cast<std::size_t>(r)]) - nearest.upper(r) * (1 + rounding);
    bounds_[static_cast<std::size_t>(i)] = {second, rounded_down(nearest.lower(r) + own + travelled_(second)),
                                            rounded_down(nearest.others(r) + own + others_travelled_)};
  }

  /// Lists rows from i on, up to `end`, that may change, or all of them, as many as `open` has room for; the row after the
  /// last that was looked at.
  Index list_open(Index i, Index end, bool all, std::vector<Index>& open) const {
    std::size_t count = 0;
    while (i < end && count < open.size()) {
      const Index stop = std::min(end, i + static_cast<Index>(open.size() - count));
      for (; i < stop; ++i) {
        open[count] = i;
        count += all || may_change(i);
      }
    }
    open.resize(count);
    return i;
  }

  static float rounded_down(double x) {
    const double finite = std::clamp(x, -1e38, 1e38);
    return static_cast<float>(finite - std::abs(finite) * 0x1p-23 - double{std::numeric_limits<float>::min()});
  }

  static constexpr double rounding = 1e-12;  // of distances and of sums of shifts as doubles, at most

  /// About what a pass takes, in flops: distances, and for each row its values, its nearest centres and its bounds.
  static double work(const Data& data, Index k) {
    return static_cast<double>(data.rows()) * static_cast<double>((2 * k + 10) * data.cols() + 10 * k + 50);
  }

  void check_interrupt() const {
    if (interrupt_ && interrupt_()) throw Stopped();
  }

  /// Sets the centres, and what follows from them alone; the sum of their squared shifts, in the units of the spread.
  template <class = void>
  double move_to(const Matrix& centres) {
    Vector shifts = Vector::Zero(k_);
    if (partition_.centres.size() == centres.size())
      shifts = ((centres - partition_.centres) * spread_.unit).rowwise().norm();
    partition_.centres = centres;
    search_ = CentreSearch(centres, spread_);
    travelled_ += (1 + rounding) * shifts;
    others_travelled_ += (1 + rounding) * shifts.maxCoeff();
    return shifts.squaredNorm();
  }

  /// Weights of clusters and weighted sums of their (x - mean) * unit, or what a lane changes in them.
  struct Change {
    Vector counts;
    Matrix sums;
    Index moved = 0;

    /// Adds row r of z, w times.
    void add(Index k, double w, const Block& z, Index r) {
      counts(k) += w;
      for (Index j = 0; j < z.cols(); ++j) sums(k, j) += w * z(r, j);
    }

    Change& operator+=(const Change& other) {
      counts += other.counts;
      sums += other.sums;
      moved += other.moved;
      return *this;
    }
  };

  /// Assigns rows to the centres they are now nearest to, all of them or those that the bounds leave open; true if any
  /// row changed its centre.
  template <class = void>
  bool step(bool all) {
    const Frame frame = spread_.frame();
    const Change change = sum_over_lanes(lanes_, n_threads_, [&](Index lane) {
      Change mine{Vector::Zero(k_), Matrix::Zero(k_, data_.cols()), 0};
      std::vector<Index> open;
      Nearest nearest;
      Block z;
      const auto search = [&](Index at, Index n) {
        const Index* rows = open.data() + at;
        z.resize(n, data_.cols());
        data_.load(rows, static_cast<Index>(open.size()) - at, z, frame);
        search_.find(data_, rows, z, typical_, nearest);
        for (Index r = 0; r < z.rows(); ++r) {
          const Index i = rows[r];
          auto& label = partition_.labels[static_cast<std::size_t>(i)];
          const std::int32_t now = nearest.label[static_cast<std::size_t>(r)];
          if (!bounds_.empty()) set_bounds(i, nearest, r);
          if (!all && now == label) continue;
          const double w = data_.weight(i);
          if (w > 0) {
            mine.add(now, w, z, r);
            if (!all) mine.add(label, -w, z, r);
            ++mine.moved;
          }
          label = now;
        }
      };
      const Index end = lanes_.first(lane + 1);
      for (Index i = lanes_.first(lane); i < end;) {
        // Listed over many blocks, so that each search is of a whole one, however few rows are open.
        open.resize(static_cast<std::size_t>(8 * lanes_.block));
        i = list_open(i, end, all, open);
        for_blocks(0, static_cast<Index>(open.size()), lanes_.block, search);
      }
      return mine;
    });
    // A row that leaves takes its share along, unless weights differ so much that what stays would be its rounding.
    if (all) {
      counts_ = change.counts;
      sums_ = change.sums;
    } else if (!data_.weighted()) {
      counts_ += change.counts;
      sums_ += change.sums;
    } else if (change.moved > 0) {
      sum_clusters();
    }
    return change.moved > 0;
  }

  template <class = void>
  void sum_clusters() {
    const Frame frame = spread_.frame();
    const Change sum = sum_over_lanes(lanes_, n_threads_, [&](Index lane) {
      Change mine{Vector::Zero(k_), Matrix::Zero(k_, data_.cols()), 0};
      Block z;
      lanes_.for_blocks(lane, [&](Index first, Index n) {
        z.resize(n, data_.cols());
        data_.load(first, z, frame);
        for (Index r = 0; r < n; ++r) {
          const double w = data_.weight(first + r);
          if (w > 0) mine.add(partition_.labels[static_cast<std::size_t>(first + r)], w, z, r);
        }
      });
      return mine;
    });
    counts_ = sum.counts;
    sums_ = sum.sums;
  }

  /// Means of the clusters. An empty one moves to the row that is farthest from its centre.
  template <class = void>
  Matrix moved_centres() const {
    Matrix centres = partition_.centres;
    std::vector<Index> taken;
    RowVector x(data_.cols());
    for (Index k = 0; k < k_; ++k) {
      if (counts_(k) > 0) {
        centres.row(k) = spread_.mean + sums_.row(k) / counts_(k) / spread_.unit;
        continue;
      }
      Index farthest = -1;
      double distance = 0;
      for (Index i = 0; i < data_.rows(); ++i) {
        if (!(data_.weight(i) > 0)) continue;
        if (std::find(taken.begin(), taken.end(), i) != taken.end()) continue;
        data_.load_row(i, x);
        const double own =
            spread_.squared_distance(x, partition_.centres.row(partition_.labels[static_cast<std::size_t>(i)]));
        if (own > distance) distance = own, farthest = i;
      }
      if (farthest < 0) continue;
      taken.push_back(farthest);
      centres.row(k) = rows({farthest});
    }
    return centres;
  }

  /// sum_n w_n |z_n - c|^2 / sum_n w_n about the centres of the last assignment of all, but for rounding.
  double mean_squared_distance() const {
    const double of_all = spread_.variance * static_cast<double>(data_.cols());
    const Matrix c = (partition_.centres.rowwise() - spread_.mean) * spread_.unit;
    const double change = counts_.dot(c.rowwise().squaredNorm()) - 2 * sums_.cwiseProduct(c).sum();
    return std::max(of_all + change / spread_.total_weight, 1e-12 * of_all);
  }

  Data data_;  // a view, kept by value: the caller's may be a temporary
  Index k_;
  int n_threads_;
  Interrupt interrupt_;
  Lanes lanes_;
  Spread spread_;
  Partition partition_;
  double typical_ = 0;           // mean squared distance to a centre, in squared units
  std::vector<Bounds> bounds_;   // while iterating
  Vector travelled_;             // sum of the shifts of each centre
  double others_travelled_ = 0;  // sum of the largest shifts
  Vector counts_;                // weight of each cluster
  Matrix sums_;                  // its weighted sum of (x - mean) * unit
  CentreSearch search_;          // for the centre that is nearest to a row
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
