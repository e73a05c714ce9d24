// k-means on weighted rows: a start for EM.
//
// Seeding: greedy k-means++ (Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", 2007, section 6):
// each new centre is the best of 2 + log K rows drawn with probability proportional to w D^2. Then Lloyd's iteration.
// Distances in seeding are sums of squared differences, exact at any offset; those of the assignment are one product,
// |z|^2 - 2 z c + |c|^2, about the mean of the data, unless the guard says that it would blur the partition.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "gaussmix/data.hpp"
#include "gaussmix/log_prob.hpp"
#include "gaussmix/parallel.hpp"
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
  double inertia = 0;                ///< sum_n w_n |x_n - centre|^2, in squared units of Spread::unit, weights as scaled
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
        lanes_(data.rows(), 256, 32),
        spread_(measure()),
        closest_(Vector::Zero(data.rows())) {
    partition_.labels.assign(static_cast<std::size_t>(data.rows()), 0);
  }

  const Spread& spread() const { return spread_; }
  const Partition& partition() const { return partition_; }

  /// Draws K rows by greedy k-means++. Where fewer rows are distinct, some are drawn twice.
  std::vector<Index> seed(const Random& random) {
    const int trials = 2 + static_cast<int>(std::log(static_cast<double>(k_)));
    const auto weight = [this](Index i) { return data_.weight(i); };
    const auto contribution = [this](Index i) { return data_.weight(i) * closest_(i); };
    const Vector weights = masses(weight);
    std::uint64_t place = 0;
    std::vector<Index> chosen{pick(weights, random.uniform(place++)[0], weight)};
    closest_.setConstant(std::numeric_limits<double>::infinity());
    update_closest(chosen.back());
    while (static_cast<Index>(chosen.size()) < k_) {
      check_interrupt();
      const Vector contributions = masses(contribution);
      const bool distinct = contributions.maxCoeff() > 0;
      std::vector<Index> drawn;
      for (int t = 0; t < trials; ++t) {
        const double u = random.uniform(place++)[0];
        drawn.push_back(distinct ? pick(contributions, u, contribution) : pick(weights, u, weight));
      }
      Index best = 0;
      potentials(rows(drawn)).minCoeff(&best);
      chosen.push_back(drawn[static_cast<std::size_t>(best)]);
      update_closest(chosen.back());
    }
    return chosen;
  }

  /// Draws K different rows, with probability proportional to their weights.
  /// \throws DegenerateData if fewer rows have a positive weight.
  std::vector<Index> draw(const Random& random) const {
    std::vector<Index> chosen;
    const auto remaining = [&](Index i) {
      return std::find(chosen.begin(), chosen.end(), i) == chosen.end() ? data_.weight(i) : 0.0;
    };
    for (std::uint64_t place = 0; static_cast<Index>(chosen.size()) < k_; ++place) {
      const Index i = pick(masses(remaining), random.uniform(place)[0], remaining);
      if (i < 0) throw DegenerateData("There are fewer rows with a positive weight than components.");
      chosen.push_back(i);
    }
    return chosen;
  }

  /// The values of some rows.
  Matrix rows(const std::vector<Index>& indices) const {
    Matrix result(static_cast<Index>(indices.size()), data_.cols());
    for (Index r = 0; r < result.rows(); ++r)
      for (Index j = 0; j < result.cols(); ++j) result(r, j) = data_(indices[static_cast<std::size_t>(r)], j);
    return result;
  }

  /// Assigns every row to the nearest of K centres; true if that changes a label.
  bool assign(const Matrix& centres) {
    partition_.centres = centres;
    const Block scaled = ((centres.rowwise() - spread_.mean) * spread_.unit).transpose();
    const RowVector half_norms = 0.5 * scaled.colwise().squaredNorm();
    // Squared distances of about the mean one must be right to 6 digits; at first the variance stands in for it.
    const double typical = partition_.inertia > 0 ? partition_.inertia / total_weight_ : spread_.variance;
    struct Part {
      Vector counts;
      Matrix sums;
      double inertia = 0;
      bool changed = false;
    };
    std::vector<Part> parts(static_cast<std::size_t>(lanes_.count));
    for_lanes([&](Index lane, Buffers& b) {
      auto& part = parts[static_cast<std::size_t>(lane)];
      part.counts.setZero(k_);
      part.sums.setZero(k_, data_.cols());
      Vector nearest, distance;
      lanes_.for_blocks(lane, [&](Index first, Index n) {
        load(first, n, b);
        b.z = (b.x.rowwise() - spread_.mean) * spread_.unit;
        const Vector norms = b.z.rowwise().squaredNorm();
        const bool product = std::numeric_limits<double>::epsilon() * norms.maxCoeff() <= 1e-6 * typical;
        if (product) {
          b.products = (-half_norms).replicate(n, 1);
          add_product(b.products, b.z, scaled);
        }
        nearest.setConstant(n, std::numeric_limits<double>::infinity());
        std::int32_t* label = partition_.labels.data() + first;
        std::vector<std::int32_t> before(label, label + n);
        for (Index k = 0; k < k_; ++k) {
          distance = product ? Vector(norms - 2 * b.products.col(k)) : exact_distances(b.x, centres.row(k));
          for (Index i = 0; i < n; ++i)
            if (distance(i) < nearest(i)) {
              nearest(i) = distance(i);
              label[i] = static_cast<std::int32_t>(k);
            }
        }
        for (Index i = 0; i < n; ++i) {
          part.changed |= before[static_cast<std::size_t>(i)] != label[i];
          closest_(first + i) = std::max(0.0, nearest(i));
          part.counts(label[i]) += b.w(i);
          part.sums.row(label[i]) += b.w(i) * b.z.row(i);
        }
        part.inertia += b.w.dot(closest_.segment(first, n));
      });
    });
    counts_.setZero(k_);
    sums_.setZero(k_, data_.cols());
    partition_.inertia = 0;
    bool changed = false;
    for (const Part& part : parts) {
      counts_ += part.counts;
      sums_ += part.sums;
      partition_.inertia += part.inertia;
      changed |= part.changed;
    }
    return changed;
  }

  /// Lloyd's iteration from the given centres, until their squared shifts add up to less than tol times the mean
  /// variance, or no row changes its centre.
  void run(const Matrix& centres, int max_iter = 300, double tol = 1e-4) {
    assign(centres);
    for (int iteration = 0; iteration < max_iter; ++iteration) {
      check_interrupt();
      const Matrix moved = moved_centres();
      const double shift = ((moved - partition_.centres) * spread_.unit).squaredNorm();
      if (!assign(moved) || shift <= tol * spread_.variance) break;
    }
  }

 private:
  struct Buffers {
    Block x, z, products;
    Vector w;
  };

  void check_interrupt() const {
    if (interrupt_ && interrupt_()) throw Stopped();
  }

  template <class Body>
  void for_lanes(const Body& body) const {
    parallel_for(lanes_.count, n_threads_, [&](Index lane) {
      Buffers buffers;
      body(lane, buffers);
    });
  }

  void load(Index first, Index n, Buffers& b) const {
    b.x.resize(n, data_.cols());
    b.w.resize(n);
    data_.load(first, b.x);
    data_.load_weights(first, b.w);
  }

  /// Mean and variance of all rows, about the first row and in units of the largest shift from it: no square overflows.
  Spread measure() {
    const RowVector reference = rows({0});
    Vector largest = Vector::Zero(lanes_.count), weights = largest;
    Matrix first = Matrix::Zero(lanes_.count, data_.cols()), second = first;
    for_lanes([&](Index lane, Buffers& b) {
      lanes_.for_blocks(lane, [&](Index i, Index n) {
        load(i, n, b);
        b.x = b.x.rowwise() - reference;
        for (Index r = 0; r < n; ++r)
          if (b.w(r) > 0) largest(lane) = std::max(largest(lane), b.x.row(r).cwiseAbs().maxCoeff());
      });
    });
    if (!std::isfinite(largest.maxCoeff())) throw DegenerateData("The values of the data overflow; scale the input data.");
    const double unit = largest.maxCoeff() > 0 ? std::ldexp(1.0, -std::ilogb(largest.maxCoeff())) : 1.0;
    for_lanes([&](Index lane, Buffers& b) {
      lanes_.for_blocks(lane, [&](Index i, Index n) {
        load(i, n, b);
        b.x = (b.x.rowwise() - reference) * unit;
        weights(lane) += b.w.sum();
        first.row(lane) += b.w.transpose() * b.x;
        second.row(lane) += b.w.transpose() * b.x.cwiseAbs2();
      });
    });
    total_weight_ = weights.sum();
    const RowVector mean = first.colwise().sum() / total_weight_;
    const double variance = std::max(0.0, (second.colwise().sum() / total_weight_ - mean.cwiseAbs2()).mean());
    const double to_root = variance > 0 ? std::ldexp(1.0, -std::ilogb(variance) / 2) : 1.0;
    return {reference + mean / unit, unit * to_root, variance * to_root * to_root};
  }

  /// Sums of mass(row) over each lane.
  template <class Mass>
  Vector masses(const Mass& mass) const {
    Vector sums = Vector::Zero(lanes_.count);
    parallel_for(lanes_.count, n_threads_, [&](Index lane) {
      for (Index i = lanes_.first(lane); i < lanes_.first(lane + 1); ++i) sums(lane) += mass(i);
    });
    return sums;
  }

  /// The row at which the cumulated mass passes u times the total; -1 if there is no mass.
  template <class Mass>
  Index pick(const Vector& lane_masses, double u, const Mass& mass) const {
    double target = u * lane_masses.sum();
    Index last = -1;
    for (Index lane = 0; lane < lanes_.count; ++lane) {
      if (!(lane_masses(lane) > 0)) continue;
      if (target >= lane_masses(lane) && lane + 1 < lanes_.count && lane_masses.tail(lanes_.count - lane - 1).maxCoeff() > 0) {
        target -= lane_masses(lane);
        continue;
      }
      for (Index i = lanes_.first(lane); i < lanes_.first(lane + 1); ++i) {
        const double m = mass(i);
        if (!(m > 0)) continue;
        last = i;
        if (target < m) break;
        target -= m;
      }
      break;
    }
    return last;
  }

  /// Squared distances of the rows of a block from one centre, in the units of the spread.
  Vector exact_distances(const Block& x, const Eigen::Ref<const RowVector>& centre) const {
    Vector sum = Vector::Zero(x.rows());
    for (Index j = 0; j < x.cols(); ++j) sum.array() += ((x.col(j).array() - centre(j)) * spread_.unit).square();
    return sum;
  }

  /// closest = min(closest, distance from a row).
  void update_closest(Index centre) {
    const RowVector at = rows({centre});
    for_lanes([&](Index lane, Buffers& b) {
      lanes_.for_blocks(lane, [&](Index first, Index n) {
        load(first, n, b);
        closest_.segment(first, n) = closest_.segment(first, n).cwiseMin(exact_distances(b.x, at));
      });
    });
  }

  /// What sum_n w_n closest_n would be with each candidate as a further centre.
  Vector potentials(const Matrix& candidates) const {
    Matrix sums = Matrix::Zero(lanes_.count, candidates.rows());
    for_lanes([&](Index lane, Buffers& b) {
      lanes_.for_blocks(lane, [&](Index first, Index n) {
        load(first, n, b);
        for (Index c = 0; c < candidates.rows(); ++c)
          sums(lane, c) += b.w.dot(closest_.segment(first, n).cwiseMin(exact_distances(b.x, candidates.row(c))));
      });
    });
    return sums.colwise().sum();
  }

  /// Means of the clusters. An empty one moves to the row that is farthest from its centre.
  Matrix moved_centres() const {
    Matrix centres = partition_.centres;
    std::vector<Index> taken;
    for (Index k = 0; k < k_; ++k) {
      if (counts_(k) > 0) {
        centres.row(k) = spread_.mean + sums_.row(k) / counts_(k) / spread_.unit;
        continue;
      }
      Index farthest = -1;
      for (Index i = 0; i < data_.rows(); ++i)
        if (data_.weight(i) > 0 && closest_(i) > (farthest < 0 ? 0.0 : closest_(farthest)) &&
            std::find(taken.begin(), taken.end(), i) == taken.end())
          farthest = i;
      if (farthest < 0) continue;
      taken.push_back(farthest);
      centres.row(k) = rows({farthest});
    }
    return centres;
  }

  const Data& data_;
  Index k_;
  int n_threads_;
  Interrupt interrupt_;
  Lanes lanes_;
  double total_weight_ = 0;
  Spread spread_;
  Vector closest_;  // squared distance to the nearest centre so far
  Partition partition_;
  Vector counts_;  // weight of each cluster
  Matrix sums_;    // its weighted sum of (x - mean) * unit
};

}  // namespace gaussmix
