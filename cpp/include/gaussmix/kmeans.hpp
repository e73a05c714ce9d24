// k-means on weighted rows: a start for EM.
//
// Seeding: greedy k-means++ (Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", 2007, section 6):
// each new centre is the best of 2 + log K rows drawn with probability proportional to w D^2. A row cannot come nearer to
// a candidate that is at least twice as far from the row's centre as the row is: where that holds for all candidates, the
// row is passed over without being read.
//
// Then Lloyd's iteration with the bounds of Hamerly, "Making k-means even faster", 2010: a row whose upper bound on the
// distance to its own centre is below its lower bound on the others cannot change, and is passed over too. Distances to
// all centres are one product, |z|^2 - 2 z c + |c|^2, about the mean of the data, unless the guard says that it would
// blur the partition.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "gaussmix/data.hpp"
#include "gaussmix/parallel.hpp"
#include "gaussmix/product.hpp"
#include "gaussmix/random.hpp"

namespace gaussmix {

/// Called now and then in long work; true asks to stop.
using Interrupt = std::function<bool()>;

/// Work was ended by its `Interrupt` before there was a result.
class Stopped : public std::runtime_error {
 public:
  Stopped() : std::runtime_error("stopped before there was a model") {}
};

/// Rows assigned to centres.
struct Partition {
  Matrix centres;                    ///< K x d
  std::vector<std::int32_t> labels;  ///< n
  double inertia = 0;  ///< sum_n w_n |x_n - centre|^2, in squared units of Spread::unit, weights as scaled
};

/// Mean and scale of all rows: the frame in which distances are taken.
struct Spread {
  RowVector mean;       ///< d
  double unit = 1;      ///< power of two near the root of the mean variance
  double variance = 0;  ///< mean variance over the features, in squared units
};

/// Runs k-means over one data set. Holds 12 bytes a row.
class KMeans {
 public:
  KMeans(const Data& data, Index n_components, int n_threads, Interrupt interrupt)
      : data_(data),
        k_(n_components),
        n_threads_(n_threads),
        interrupt_(std::move(interrupt)),
        lanes_(data.rows(), 256, 64),
        spread_(measure()) {
    partition_.labels.assign(static_cast<std::size_t>(data.rows()), 0);
  }

  const Spread& spread() const { return spread_; }
  const Partition& partition() const { return partition_; }

  /// Draws K rows by greedy k-means++. Where fewer rows are distinct, some are drawn twice.
  std::vector<Index> seed(const Random& random) {
    const int trials = 2 + static_cast<int>(std::log(static_cast<double>(k_)));
    const auto weight = [this](Index i) { return data_.weight(i); };
    const auto contribution = [this](Index i) { return data_.weight(i) > 0 ? data_.weight(i) * closest_(i) : 0.0; };
    const Vector weights = masses(weight);
    closest_ = Vector::Constant(data_.rows(), std::numeric_limits<double>::infinity());
    std::uint64_t place = 0;
    std::vector<Index> chosen;
    Matrix centres(k_, data_.cols());
    Vector lane_masses = weights;
    for (Index k = 0; k < k_; ++k) {
      check_interrupt();
      // At first, and where all rows coincide with centres, rows are drawn by weight alone.
      const bool by_distance = k > 0 && lane_masses.maxCoeff() > 0;
      std::vector<Index> drawn;
      for (int t = 0; t < (k > 0 ? trials : 1); ++t) {
        const double u = random.uniform(place++)[0];
        drawn.push_back(by_distance ? pick(lane_masses, u, contribution) : pick(weights, u, weight));
      }
      Index best = 0;
      if (k > 0) gains(rows(drawn), centres.topRows(k)).maxCoeff(&best);
      chosen.push_back(drawn[static_cast<std::size_t>(best)]);
      centres.row(k) = rows({chosen.back()});
      lane_masses = add_centre(centres, k);
    }
    closest_.resize(0);
    return chosen;
  }

  /// Draws K different rows, with probability proportional to their weights.
  /// \throws DegenerateData if fewer rows have a positive weight.
  std::vector<Index> draw(const Random& random) const {
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

  /// The values of some rows.
  Matrix rows(const std::vector<Index>& indices) const {
    Matrix result(static_cast<Index>(indices.size()), data_.cols());
    for (Index r = 0; r < result.rows(); ++r) data_.load_row(indices[static_cast<std::size_t>(r)], result.row(r));
    return result;
  }

  /// Assigns every row to the nearest of K centres.
  void assign(const Matrix& centres) {
    move_to(centres);
    bounds_.resize(static_cast<std::size_t>(data_.rows()));
    step(true);
    sum_clusters();
    measure_inertia();
  }

  /// Lloyd's iteration from the given centres, until their squared shifts add up to at most tol times the mean
  /// variance, or no row changes its centre.
  void run(const Matrix& centres, int max_iter = 300, double tol = 1e-4) {
    assign(centres);
    for (int iteration = 0; iteration < max_iter; ++iteration) {
      check_interrupt();
      const double shift = move_to(moved_centres());
      if (!step(false) || shift <= tol * spread_.variance) break;
    }
    measure_inertia();
    bounds_ = {};
  }

 private:
  /// Bounds on the distance of a row to its own centre, and to the nearest other one.
  struct Bounds {
    float upper, lower;
  };

  void check_interrupt() const {
    if (interrupt_ && interrupt_()) throw Stopped();
  }

  /// Calls body(lane) for all lanes, and adds up what it returns, in order.
  template <class Body>
  auto sum_over_lanes(const Body& body) const {
    std::vector<decltype(body(Index{}))> parts(static_cast<std::size_t>(lanes_.count));
    parallel_for(lanes_.count, n_threads_, [&](Index lane) { parts[static_cast<std::size_t>(lane)] = body(lane); });
    for (std::size_t i = 1; i < parts.size(); ++i) parts[0] += parts[i];
    return parts[0];
  }

  /// Mean and variance of all rows, about the first that counts and in units of the largest shift from it: no square overflows.
  Spread measure() {
    const Index d = data_.cols();
    Index present = 0;
    while (present + 1 < data_.rows() && !(data_.weight(present) > 0)) ++present;
    const RowVector reference = rows({present});
    Vector largest = Vector::Zero(lanes_.count);
    parallel_for(lanes_.count, n_threads_, [&](Index lane) {
      Block x;
      lanes_.for_blocks(lane, [&](Index first, Index n) {
        x.resize(n, d);
        data_.load(first, x);
        for (Index i = 0; i < n; ++i)
          if (data_.weight(first + i) > 0) {
            require(x.row(i).allFinite(), "the data must not contain NaN or infinity");
            x.row(i) -= reference;
            largest(lane) = std::max(largest(lane), x.row(i).cwiseAbs().maxCoeff());
          }
      });
    });
    if (!std::isfinite(largest.maxCoeff()))
      throw DegenerateData("The values of the data overflow; scale the input data.");
    // A power of two, and its inverse, that are normal numbers even where the data are not.
    const auto inverse_scale = [](double x) { return x > 0 ? std::ldexp(1.0, -std::max(-1000, std::ilogb(x))) : 1.0; };
    const double unit = inverse_scale(largest.maxCoeff());
    const RowVector sums = sum_over_lanes([&](Index lane) {
      RowVector sum = RowVector::Zero(2 * d + 1);  // weight, first and second moments
      Block x;
      Vector w;
      lanes_.for_blocks(lane, [&](Index first, Index n) {
        x.resize(n, d);
        w.resize(n);
        data_.load(first, x);
        data_.load_weights(first, w);
        // A row without weight may be so far out that its square is not a number.
        x = (w.array() > 0).replicate(1, d).select((x.rowwise() - reference) * unit, 0.0);
        sum(0) += w.sum();
        sum.segment(1, d) += w.transpose() * x;
        sum.tail(d) += w.transpose() * x.cwiseAbs2();
      });
      return sum;
    });
    total_weight_ = sums(0);
    const RowVector mean = sums.segment(1, d) / total_weight_;
    const double variance = std::max(0.0, (sums.tail(d) / total_weight_ - mean.cwiseAbs2()).mean());
    const double to_root = unit < 0x1p900 ? inverse_scale(std::sqrt(variance)) : 1.0;
    return {reference + mean / unit, unit * to_root, variance * to_root * to_root};
  }

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

  /// Squared distance in the units of the spread: a sum of squared differences, exact at any offset.
  double squared_distance(const Eigen::Ref<const RowVector>& a, const Eigen::Ref<const RowVector>& b) const {
    return ((a - b) * spread_.unit).squaredNorm();
  }

  /// What each candidate as a further centre would take off sum_n w_n closest_n.
  RowVector gains(const Matrix& candidates, const Eigen::Ref<const Matrix>& centres) const {
    const Index trials = candidates.rows();
    Matrix apart(centres.rows(), trials);
    for (Index c = 0; c < centres.rows(); ++c)
      for (Index t = 0; t < trials; ++t) apart(c, t) = squared_distance(centres.row(c), candidates.row(t));
    const Vector least_apart = apart.rowwise().minCoeff();
    // Eight candidates side by side, and four features, so that no sum waits for itself.
    constexpr Index wide = 8, deep = 4;
    using Candidates = Eigen::Array<double, wide, 1>;
    const auto filled = [](Index n, Index step) { return (n + step - 1) / step * step; };
    const Index d = data_.cols();
    Eigen::ArrayXXd by_feature = Eigen::ArrayXXd::Zero(filled(trials, wide), filled(d, deep));
    by_feature.topLeftCorner(trials, d) = candidates.array();
    return sum_over_lanes([&](Index lane) {
      RowVector gain = RowVector::Zero(trials), x = RowVector::Zero(by_feature.cols());
      for (Index i = lanes_.first(lane); i < lanes_.first(lane + 1); ++i) {
        if (!(data_.weight(i) > 0)) continue;
        const double closest = closest_(i);
        if (least_apart(partition_.labels[static_cast<std::size_t>(i)]) >= 4 * closest) continue;
        data_.load_row(i, x.head(d));
        for (Index t = 0; t < trials; t += wide) {
          Candidates parts[deep] = {Candidates::Zero(), Candidates::Zero(), Candidates::Zero(), Candidates::Zero()};
          for (Index j = 0; j < x.size(); j += deep)
            for (Index f = 0; f < deep; ++f)
              parts[f] += ((by_feature.col(j + f).segment<wide>(t) - x(j + f)) * spread_.unit).square();
          const Candidates distance = (parts[0] + parts[1]) + (parts[2] + parts[3]);
          for (Index s = 0; s < std::min(wide, trials - t); ++s)
            if (distance(s) < closest) gain(t + s) += data_.weight(i) * (closest - distance(s));
        }
      }
      return gain;
    });
  }

  /// Makes row k of `centres` a centre: updates labels and closest distances. Returns sum w closest over each lane.
  Vector add_centre(const Matrix& centres, Index k) {
    Vector apart(k + 1);
    for (Index c = 0; c <= k; ++c) apart(c) = squared_distance(centres.row(c), centres.row(k));
    Vector sums = Vector::Zero(lanes_.count);
    parallel_for(lanes_.count, n_threads_, [&](Index lane) {
      RowVector x(data_.cols());
      for (Index i = lanes_.first(lane); i < lanes_.first(lane + 1); ++i) {
        if (!(data_.weight(i) > 0)) continue;
        auto& label = partition_.labels[static_cast<std::size_t>(i)];
        if (k == 0 || apart(label) < 4 * closest_(i)) {
          data_.load_row(i, x);
          const double distance = squared_distance(x, centres.row(k));
          if (distance < closest_(i)) {
            closest_(i) = distance;
            label = static_cast<std::int32_t>(k);
          }
        }
        sums(lane) += data_.weight(i) * closest_(i);
      }
    });
    return sums;
  }

  /// Sets the centres, and what follows from them alone; the sum of their squared shifts, in the units of the spread.
  double move_to(const Matrix& centres) {
    shifts_ = Vector::Zero(k_);
    if (partition_.centres.size() == centres.size())
      shifts_ = ((centres - partition_.centres) * spread_.unit).rowwise().norm();
    partition_.centres = centres;
    scaled_ = ((centres.rowwise() - spread_.mean) * spread_.unit).transpose();
    half_norms_ = 0.5 * scaled_.colwise().squaredNorm();
    half_gaps_ = Vector::Constant(k_, std::numeric_limits<double>::infinity());
    for (Index a = 0; a < k_; ++a)
      for (Index b = 0; b < a; ++b) {
        const double gap = 0.5 * std::sqrt(squared_distance(centres.row(a), centres.row(b)));
        half_gaps_(a) = std::min(half_gaps_(a), gap);
        half_gaps_(b) = std::min(half_gaps_(b), gap);
      }
    return shifts_.squaredNorm();
  }

  /// Weights of clusters and weighted sums of their (x - mean) * unit, or what a lane changes in them.
  struct Change {
    Vector counts;
    Matrix sums;
    Index moved = 0;
    Change& operator+=(const Change& other) {
      counts += other.counts;
      sums += other.sums;
      moved += other.moved;
      return *this;
    }
  };

  /// Assigns rows to the centres they are now nearest to, all of them or those that the bounds leave open; true if any
  /// row changed its centre.
  bool step(bool all) {
    Index fastest = 0;
    const double largest_shift = shifts_.maxCoeff(&fastest);
    double second_shift = 0;
    for (Index k = 0; k < k_; ++k)
      if (k != fastest) second_shift = std::max(second_shift, shifts_(k));
    const Change change = sum_over_lanes([&](Index lane) {
      Change mine{Vector::Zero(k_), Matrix::Zero(k_, data_.cols()), 0};
      std::vector<Index> open;
      Nearest nearest;
      RowVector x(data_.cols());
      Block z;
      lanes_.for_blocks(lane, [&](Index first, Index n) {
        open.clear();
        for (Index i = first; i < first + n; ++i) {
          auto& bounds = bounds_[static_cast<std::size_t>(i)];
          const Index own = partition_.labels[static_cast<std::size_t>(i)];
          if (!all) {
            bounds.upper = rounded_up(bounds.upper + shifts_(own));
            bounds.lower = rounded_down(bounds.lower - (own == fastest ? second_shift : largest_shift));
          }
          if (all || bounds.upper > std::max<double>(bounds.lower, half_gaps_(own))) open.push_back(i);
        }
        if (open.empty()) return;
        z.resize(static_cast<Index>(open.size()), data_.cols());
        for (Index r = 0; r < z.rows(); ++r) {
          data_.load_row(open[static_cast<std::size_t>(r)], x);
          z.row(r) = (x - spread_.mean) * spread_.unit;
        }
        find_nearest(z, open, nearest);
        for (Index r = 0; r < z.rows(); ++r) {
          const Index i = open[static_cast<std::size_t>(r)];
          auto& label = partition_.labels[static_cast<std::size_t>(i)];
          const std::int32_t now = nearest.label[static_cast<std::size_t>(r)];
          bounds_[static_cast<std::size_t>(i)] = {
              rounded_up(std::sqrt(nearest.first(r) + nearest.error)),
              rounded_down(std::sqrt(std::max(0.0, nearest.second(r) - nearest.error)))};
          if (!all && now == label) continue;
          if (!all) {
            mine.counts(now) += 1;
            mine.counts(label) -= 1;
            mine.sums.row(now) += z.row(r);
            mine.sums.row(label) -= z.row(r);
            mine.moved += data_.weight(i) > 0;
          }
          label = now;
        }
      });
      return mine;
    });
    // A row that leaves takes its share along, unless weights differ so much that what stays would be its rounding.
    if (data_.weighted()) {
      if (change.moved > 0) sum_clusters();
    } else if (!all) {
      counts_ += change.counts;
      sums_ += change.sums;
    }
    return change.moved > 0;
  }

  void sum_clusters() {
    const Change sum = sum_over_lanes([&](Index lane) {
      Change mine{Vector::Zero(k_), Matrix::Zero(k_, data_.cols()), 0};
      RowVector x(data_.cols());
      for (Index i = lanes_.first(lane); i < lanes_.first(lane + 1); ++i) {
        const Index label = partition_.labels[static_cast<std::size_t>(i)];
        const double w = data_.weight(i);
        if (!(w > 0)) continue;
        data_.load_row(i, x);
        mine.counts(label) += w;
        mine.sums.row(label) += w * ((x - spread_.mean) * spread_.unit);
      }
      return mine;
    });
    counts_ = sum.counts;
    sums_ = sum.sums;
  }

  struct Nearest {
    Vector first, second;  ///< squared distances
    std::vector<std::int32_t> label;
    double error = 0;  ///< of the squared distances, at most
    Block products;
  };

  /// The nearest centre of each row of z, the first of equals, and the squared distances of it and the next.
  void find_nearest(const Block& z, const std::vector<Index>& indices, Nearest& nearest) const {
    const Index n = z.rows();
    const Vector norms = z.rowwise().squaredNorm();
    // Squared distances of about the mean one must be right to 6 digits; at first the variance stands in for it.
    const double typical = partition_.inertia > 0 ? partition_.inertia / total_weight_ : spread_.variance;
    nearest.products.resize(n, k_);
    const double blur = 8 * std::numeric_limits<double>::epsilon() * (norms.maxCoeff() + 2 * half_norms_.maxCoeff());
    nearest.error = 0;
    if (blur <= 1e-6 * typical) {
      nearest.error = blur;
      nearest.products = (-half_norms_).replicate(n, 1);
      add_product(nearest.products, z, scaled_);
      for (Index k = 0; k < k_; ++k) nearest.products.col(k) = (norms - 2 * nearest.products.col(k)).cwiseMax(0.0);
    } else {
      RowVector x(data_.cols());
      for (Index r = 0; r < n; ++r) {
        data_.load_row(indices[static_cast<std::size_t>(r)], x);
        for (Index k = 0; k < k_; ++k) nearest.products(r, k) = squared_distance(x, partition_.centres.row(k));
      }
    }
    nearest.first.setConstant(n, std::numeric_limits<double>::infinity());
    nearest.second = nearest.first;
    nearest.label.assign(static_cast<std::size_t>(n), 0);
    for (Index k = 0; k < k_; ++k)
      for (Index r = 0; r < n; ++r) {
        const double distance = nearest.products(r, k), first = nearest.first(r);
        nearest.second(r) = std::min(nearest.second(r), std::max(first, distance));
        nearest.first(r) = std::min(first, distance);
        nearest.label[static_cast<std::size_t>(r)] =
            distance < first ? static_cast<std::int32_t>(k) : nearest.label[static_cast<std::size_t>(r)];
      }
  }

  static float rounded_up(double x) { return static_cast<float>(x * (1 + 1e-6)); }
  static float rounded_down(double x) { return static_cast<float>(x * (x > 0 ? 1 - 1e-6 : 1 + 1e-6)); }

  /// Means of the clusters. An empty one moves to the row that is farthest from its centre.
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
        // The upper bound tells which rows need not be read.
        if (!(bounds_[static_cast<std::size_t>(i)].upper > std::sqrt(distance)) || !(data_.weight(i) > 0)) continue;
        if (std::find(taken.begin(), taken.end(), i) != taken.end()) continue;
        data_.load_row(i, x);
        const double own = squared_distance(x, partition_.centres.row(partition_.labels[static_cast<std::size_t>(i)]));
        if (own > distance) distance = own, farthest = i;
      }
      if (farthest < 0) continue;
      taken.push_back(farthest);
      centres.row(k) = rows({farthest});
    }
    return centres;
  }

  void measure_inertia() {
    partition_.inertia = sum_over_lanes([&](Index lane) {
      RowVector x(data_.cols());
      return lane_mass(lane, [&](Index i) {
        if (!(data_.weight(i) > 0)) return 0.0;
        data_.load_row(i, x);
        return data_.weight(i) *
               squared_distance(x, partition_.centres.row(partition_.labels[static_cast<std::size_t>(i)]));
      });
    });
  }

  const Data& data_;
  Index k_;
  int n_threads_;
  Interrupt interrupt_;
  Lanes lanes_;
  double total_weight_ = 0;
  Spread spread_;
  Partition partition_;
  Vector closest_;              // while seeding: squared distance to the nearest centre so far
  std::vector<Bounds> bounds_;  // while iterating
  Vector counts_;               // weight of each cluster
  Matrix sums_;                 // its weighted sum of (x - mean) * unit
  Block scaled_;                // d x K: centres in these units
  RowVector half_norms_;        // of them
  Vector half_gaps_;            // half the distance of each centre to the nearest other one
  Vector shifts_;               // how far each centre moved last
};

}  // namespace gaussmix
