// Where EM starts: the sufficient statistics of a partition, of random responsibilities, or of given parameters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "gaussmix/accumulate.hpp"
#include "gaussmix/kmeans.hpp"
#include "gaussmix/maximize.hpp"
#include "gaussmix/random.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// How a start is made.
enum class Initialization {
  kmeans,            ///< k-means, one component a cluster
  kmeans_plus_plus,  ///< means at rows drawn by k-means++, covariances and weights of their nearest rows
  random,            ///< responsibilities uniform and normalised
  random_from_data,  ///< means at rows drawn at random, covariances and weights of their nearest rows
};

/// Parameters of the start that the caller gives; what is left out is estimated.
struct Start {
  std::optional<Vector> weights;     ///< K
  std::optional<Matrix> means;       ///< K x d
  std::optional<Matrix> precisions;  ///< as Mixture::covariances

  bool complete() const { return weights && means && precisions; }  ///< nothing is left to estimate
  bool any() const { return weights || means || precisions; }       ///< something is given
};

namespace detail {

/// Counts summed over scaled weights become those of the weights themselves, and their sum the total weight.
template <class Covariance>
void count_in_weights(Statistics<Covariance>& statistics, const Data& data) {
  statistics.total_weight = statistics.counts.sum();
  statistics.scale(1 / data.weight_scale());
}

}  // namespace detail

/// Statistics of a partition of the rows. Components without rows share those of the component with the nearest centre.
///
/// \param centres  K x d, a point near the rows of each component, about which moments are taken
/// \param labels   n labels, 0 ... K - 1
template <class Covariance>
Statistics<Covariance> statistics_of_labels(const Data& data, const Matrix& centres, const std::int32_t* labels,
                                            const Frame& frame, int n_threads) {
  const Index k = centres.rows(), d = centres.cols();
  const Lanes lanes(data.rows(), 1024, max_lanes(data.rows(), d, Covariance::entries(d) * k));
  std::vector<Moments<Covariance>> parts(static_cast<std::size_t>(lanes.count), Moments<Covariance>(k, d));
  parallel_for(lanes.count, worth_threads(flops<Covariance>(data.rows(), d, 1), n_threads), [&](Index lane) {
    auto& moments = parts[static_cast<std::size_t>(lane)];
    std::vector<std::vector<Index>> members(static_cast<std::size_t>(k));
    Frame about = frame;
    Block offset;
    Vector r;
    lanes.for_blocks(lane, [&](Index first, Index rows) {
      for (auto& own : members) own.clear();
      for (Index i = first; i < first + rows; ++i)
        if (data.weight(i) > 0) members[static_cast<std::size_t>(labels[i])].push_back(i);
      for (Index c = 0; c < k; ++c) {
        const auto& own = members[static_cast<std::size_t>(c)];
        const auto n = static_cast<Index>(own.size());
        if (n == 0) continue;
        about.origin = centres.row(c);
        offset.resize(n, d);
        data.load(own.data(), n, offset, about);
        r.resize(n);
        for (Index i = 0; i < n; ++i) r(i) = data.weight(own[static_cast<std::size_t>(i)]);
        moments.add(c, offset, r);
      }
    });
  });
  auto statistics = sum_in_order(parts).statistics(frame, centres, n_threads);

  std::vector<std::vector<Index>> sharers(static_cast<std::size_t>(k));
  for (Index c = 0; c < k; ++c) {
    if (statistics.counts(c) > 0) continue;
    Index owner = -1;
    double nearest = 0;
    for (Index o = 0; o < k; ++o) {
      const double distance = ((centres.row(o) - centres.row(c)).array() * frame.scale.array()).matrix().squaredNorm();
      if (statistics.counts(o) > 0 && (owner < 0 || distance < nearest)) owner = o, nearest = distance;
    }
    sharers[static_cast<std::size_t>(owner)].push_back(c);
  }
  for (Index o = 0; o < k; ++o) {
    const auto& with = sharers[static_cast<std::size_t>(o)];
    statistics.counts(o) /= static_cast<double>(with.size() + 1);
    for (const Index c : with) {
      statistics.counts(c) = statistics.counts(o);
      statistics.means.row(c) = statistics.means.row(o);
      statistics.covariances.row(matrix_of<Covariance>(c)) = statistics.covariances.row(matrix_of<Covariance>(o));
    }
  }
  detail::count_in_weights(statistics, data);
  return statistics;
}

/// Statistics of responsibilities that are uniform random numbers, normalised for each row. Rows without weight draw
/// none: the statistics are those without these rows.
template <class Covariance>
Statistics<Covariance> statistics_of_random(const Data& data, Index k, const Spread& spread, const Random& random,
                                            int n_threads) {
  const Index d = data.cols(), pairs = (k + 1) / 2;
  const Frame frame = spread.frame();
  const Lanes lanes(data.rows(), block_rows<Covariance>(d, k), max_lanes(data.rows(), d, Covariance::entries(d) * k));
  std::vector<std::uint64_t> before(static_cast<std::size_t>(lanes.count) + 1, 0);
  for (Index lane = 0; lane < lanes.count; ++lane) {
    auto& next = before[static_cast<std::size_t>(lane) + 1];
    next = before[static_cast<std::size_t>(lane)];
    for (Index i = lanes.first(lane); i < lanes.first(lane + 1); ++i) next += data.weight(i) > 0;
  }
  std::vector<Moments<Covariance>> parts(static_cast<std::size_t>(lanes.count), Moments<Covariance>(k, d));
  parallel_for(lanes.count, worth_threads(flops<Covariance>(data.rows(), d, k), n_threads), [&](Index lane) {
    auto& moments = parts[static_cast<std::size_t>(lane)];
    Block x, r;
    Vector w;
    std::uint64_t place = before[static_cast<std::size_t>(lane)] * static_cast<std::uint64_t>(pairs);
    lanes.for_blocks(lane, [&](Index first, Index rows) {
      x.resize(rows, d);
      w.resize(rows);
      r.setZero(rows, k);
      data.load(first, x);
      data.load_weights(first, w);
      x = (x.rowwise() - spread.mean) * spread.unit;
      for (Index i = 0; i < rows; ++i) {
        if (!(w(i) > 0)) {
          x.row(i).setZero();
          continue;
        }
        for (Index c = 0; c < k; c += 2) {
          const auto u = random.uniform(place++);
          r(i, c) = u[0];
          if (c + 1 < k) r(i, c + 1) = u[1];
        }
        r.row(i) *= w(i) / r.row(i).sum();
      }
      for (Index c = 0; c < k; ++c) moments.add(c, x, r.col(c));
    });
  });
  auto statistics = sum_in_order(parts).statistics(frame, spread.mean.replicate(k, 1), n_threads);
  detail::count_in_weights(statistics, data);
  return statistics;
}

namespace detail {

/// Gives the estimated components to the given weights and precisions so that the expected log-likelihood
///   sum_k N_k (log pi_k + log |U_k| - tr(P_k Sigma_k) / 2)
/// is as large as exchanges of pairs can make it: clusters are found in no order, the caller's components have one.
template <class Covariance>
void match(Statistics<Covariance>& statistics, const Start& start) {
  const Index k = statistics.n_components(), d = statistics.n_features();
  Matrix gain = Matrix::Zero(k, k);  // component given x component estimated
  RowVector u(statistics.covariances.cols());
  for (Index c = 0; c < k; ++c) {
    Matrix precision;
    double log_det = 0;
    if (start.precisions && !Covariance::shared) {
      precision = Covariance::dense(start.precisions->row(c).data(), d);
      if (Covariance::factor_precision(start.precisions->row(c).data(), d, u.data()))
        log_det = Covariance::log_det(u.data(), d);
    }
    for (Index e = 0; e < k; ++e) {
      double value = log_det;
      if (start.weights) value += std::max(-1e3, std::log((*start.weights)(c)));
      if (precision.size() > 0)
        value -= 0.5 * precision.cwiseProduct(Covariance::dense(statistics.covariances.row(e).data(), d)).sum();
      gain(c, e) = statistics.counts(e) * value;
    }
  }
  std::vector<Index> order(static_cast<std::size_t>(k));
  for (Index c = 0; c < k; ++c) order[static_cast<std::size_t>(c)] = c;
  for (bool improved = true; improved;) {
    improved = false;
    for (Index a = 0; a < k; ++a)
      for (Index b = 0; b < a; ++b) {
        auto &ea = order[static_cast<std::size_t>(a)], &eb = order[static_cast<std::size_t>(b)];
        const double now = gain(a, ea) + gain(b, eb), then = gain(a, eb) + gain(b, ea);
        if (then > now + 1e-12 * std::abs(now)) std::swap(ea, eb), improved = true;
      }
  }
  const Statistics<Covariance> found = statistics;
  for (Index c = 0; c < k; ++c) {
    const Index e = order[static_cast<std::size_t>(c)];
    statistics.counts(c) = found.counts(e);
    statistics.means.row(c) = found.means.row(e);
    statistics.covariances.row(matrix_of<Covariance>(c)) = found.covariances.row(matrix_of<Covariance>(e));
  }
}

}  // namespace detail

/// The statistics that EM starts from.
///
/// \param data           n x d rows, n >= K
/// \param n_components   K
/// \param method         how rows are assigned; not used where `start` has means: rows then go to the nearest one
/// \param start          parameters given by the caller, which the statistics are matched to
/// \param seed           of the random numbers
/// \param restart        which stream of them is drawn from
/// \param n_threads      threads at most
/// \param interrupt      asked between steps
/// \param spread         if given, that of these rows: several starts need measure it but once
/// \throws DegenerateData if the data overflow or fewer rows than components have a weight; Stopped if interrupted
template <class Covariance>
Statistics<Covariance> initialize(const Data& data, Index n_components, Initialization method, const Start& start,
                                  std::uint64_t seed, std::uint32_t restart, int n_threads, const Interrupt& interrupt,
                                  const Spread* spread = nullptr) {
  KMeans kmeans(data, n_components, n_threads, interrupt, spread);
  const Frame frame = kmeans.spread().frame();
  const Random random(seed, Purpose::seeding, restart);
  Matrix means;  // of the start, where they are not those of the clusters

  if (start.means) {
    kmeans.assign(*start.means);
  } else if (method == Initialization::random) {
    auto statistics = statistics_of_random<Covariance>(data, n_components, kmeans.spread(),
                                                       Random(seed, Purpose::responsibilities, restart), n_threads);
    if (start.any()) detail::match(statistics, start);
    return statistics;
  } else if (method == Initialization::kmeans) {
    kmeans.run(kmeans.rows(kmeans.seed(random)));
  } else {
    means = kmeans.rows(method == Initialization::random_from_data ? kmeans.draw(random) : kmeans.seed(random));
    kmeans.assign(means);
  }
  const Partition& partition = kmeans.partition();
  auto statistics =
      statistics_of_labels<Covariance>(data, partition.centres, partition.labels.data(), frame, n_threads);
  if (means.size() > 0) statistics.means = means;
  if (start.any() && !start.means) detail::match(statistics, start);
  return statistics;
}

/// The mixture that EM starts from: that of the statistics, with the given parameters in their places.
/// \throws NotPositiveDefinite if given precisions are not; as `maximize`
template <class Covariance>
Mixture<Covariance> apply_start(Mixture<Covariance> mixture, const Start& start) {
  if (start.weights) mixture.weights = *start.weights / start.weights->sum();
  if (start.means) mixture.means = *start.means;
  if (!start.precisions) return mixture;
  return from_precisions<Covariance>(mixture.weights, mixture.means, *start.precisions);
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
