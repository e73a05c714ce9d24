// Mean and scale of all rows: the frame in which a start is sought, and the unit of its distances.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "gaussmix/data.hpp"
#include "gaussmix/parallel.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Mean and scale of all rows.
struct Spread {
  RowVector mean;           ///< d
  double unit = 1;          ///< power of two near the inverse root of the mean variance
  double variance = 0;      ///< mean variance over the features, in squared units
  double total_weight = 0;  ///< of the rows, as scaled

  /// |a - b|^2 in these units: a sum of squared differences, exact at any offset.
  double squared_distance(const Eigen::Ref<const RowVector>& a, const Eigen::Ref<const RowVector>& b) const {
    return ((a - b) * unit).squaredNorm();
  }

  /// (x - mean) * unit
  Frame frame() const { return {mean, RowVector::Constant(mean.size(), unit)}; }

  /// How passes over rows that look for a start are cut: into blocks that stay in the first-level cache.
  static Lanes lanes(const Data& data) {
    return Lanes(data.rows(), std::clamp<Index>(4096 / data.cols() / 32 * 32, 32, 256), 64);
  }
};

/// The values of some rows.
inline Matrix row_values(const Data& data, const std::vector<Index>& indices) {
  Matrix result(static_cast<Index>(indices.size()), data.cols());
  for (Index r = 0; r < result.rows(); ++r) data.load_row(indices[static_cast<std::size_t>(r)], result.row(r));
  return result;
}

/// What rows of `squared_distances` are a multiple of.
inline constexpr Index distance_rows = 2 * detail::packet_size<double>;

/// |x_n - c_t|^2 in units of a spread, as sums of squared differences: exact at any offset.
///
/// \param x          n x d, n a multiple of `distance_rows`
/// \param c          K x d
/// \param distances  n x K
template <class = void>
void squared_distances(const Block& x, const Matrix& c, double unit, Block& distances) {
  using Packet = detail::Packet<double>;
  using namespace Eigen::internal;
  constexpr Index size = detail::packet_size<double>;
  eigen_assert(x.rows() % distance_rows == 0);
  distances.resize(x.rows(), c.rows());
  const auto units = pset1<Packet>(unit);
  for (Index i = 0; i < x.rows(); i += 2 * size)
    for (Index t = 0; t < c.rows(); t += detail::tile_columns)
      detail::with_constant<detail::tile_columns>(std::min<Index>(detail::tile_columns, c.rows() - t), [&](auto n) {
        Packet sum[n.value][2];
        detail::unroll<n.value>([&](int q) { sum[q][0] = sum[q][1] = pset1<Packet>(0.0); });
        for (Index j = 0; j < x.cols(); ++j) {
          const Packet rows[] = {ploadu<Packet>(&x(i, j)), ploadu<Packet>(&x(i + size, j))};
          detail::unroll<n.value>([&](int q) {
            const auto centre = pset1<Packet>(c(t + q, j));
            detail::unroll<2>([&](int m) {
              const auto difference = pmul(psub(rows[m], centre), units);
              sum[q][m] = pmadd(difference, difference, sum[q][m]);
            });
          });
        }
        detail::unroll<n.value>(
            [&](int q) { detail::unroll<2>([&](int m) { pstoreu(&distances(i + m * size, t + q), sum[q][m]); }); });
      });
}

namespace detail {

/// Sums over rows about a reference point, in a unit of theirs.
struct RowSums {
  double weight = 0, largest = 0;  ///< the largest is that of all |x - reference|
  RowVector first, second;         ///< d, weighted; NaN if a value is

  RowSums& operator+=(const RowSums& other) {
    weight += other.weight;
    largest = std::max(largest, other.largest);
    first += other.first;
    second += other.second;
    return *this;
  }
};

/// Of the rows that have a weight: one without may be anything.
template <class = void>
RowSums sum_rows(const Data& data, const RowVector& reference, double unit, const Lanes& lanes, int n_threads) {
  const Index d = data.cols();
  const Frame frame{reference, RowVector::Constant(d, unit)};
  return sum_over_lanes(lanes, n_threads, [&](Index lane) {
    RowSums sums{0, 0, RowVector::Zero(d), RowVector::Zero(d)};
    Block x;
    Vector w;
    lanes.for_blocks(lane, [&](Index first, Index n) {
      x.resize(n, d);
      w.resize(n);
      data.load(first, x, frame);
      data.load_weights(first, w);
      sums.weight += w.sum();
      for (Index j = 0; j < d; ++j) {
        auto column = x.col(j);
        if (data.weighted()) column = (w.array() > 0).select(column.array(), 0.0).matrix();
        sums.largest = std::max(sums.largest, column.cwiseAbs().maxCoeff());
        sums.first(j) += w.dot(column);
        sums.second(j) += w.dot(column.cwiseAbs2());
      }
    });
    return sums;
  });
}

}  // namespace detail

/// Measured about the first row that counts; where squares could overflow or vanish, in units of the largest shift from it.
template <class = void>
Spread measure_spread(const Data& data, int n_threads) {
  Index present = 0;
  while (present + 1 < data.rows() && !(data.weight(present) > 0)) ++present;
  const RowVector reference = row_values(data, {present});
  const Lanes lanes = Spread::lanes(data);
  auto sums = detail::sum_rows(data, reference, 1, lanes, n_threads);
  // A power of two, and its inverse, that are normal numbers even where the data are not.
  const auto inverse_scale = [](double x) { return x > 0 ? std::ldexp(1.0, -std::max(-1000, std::ilogb(x))) : 1.0; };
  const bool in_range = std::isfinite(sums.largest);
  const double unit = in_range ? inverse_scale(sums.largest) : 1.0;
  if (sums.largest > 0x1p-400 && sums.largest < 0x1p400) {
    sums.first *= unit;
    sums.second *= unit * unit;
  } else if (in_range) {
    sums = detail::sum_rows(data, reference, unit, lanes, n_threads);
  }
  if (!in_range || std::isnan(sums.first.sum())) {
    RowVector x(data.cols());
    for (Index i = 0; i < data.rows(); ++i) {
      if (!(data.weight(i) > 0)) continue;
      data.load_row(i, x);
      require(x.allFinite(), "the data must not contain NaN or infinity");
    }
    throw DegenerateData("The values of the data overflow; scale the input data.");
  }
  const RowVector mean = sums.first / sums.weight;
  const double variance = std::max(0.0, (sums.second / sums.weight - mean.cwiseAbs2()).mean());
  const double to_root = unit < 0x1p900 ? inverse_scale(std::sqrt(variance)) : 1.0;
  return {reference + mean / unit, unit * to_root, variance * to_root * to_root, sums.weight};
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
