// The scatter of all rows together, which no model changes. Where components share one covariance matrix with the factor
// U, it is all that a pass needs of the rows beside counts and means:
//
//   pooled scatter = T - sum_k N_k (mu_k - o)(mu_k - o)^T,    sum_n w_n |U^T (x_n - o)|^2 = tr(P T),    P = U U^T
//   T = sum_n w_n (x_n - o)(x_n - o)^T = S + f (c - o)^T + (c - o) f^T + W (c - o)(c - o)^T
//
// for any origin o, with W, f and S the moments about a point c that is close to the mean.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "gaussmix/log_prob.hpp"
#include "gaussmix/parallel.hpp"
#include "gaussmix/product.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Moments of all rows about a point, in the coordinates of the data, and how far rows are from it.
struct TotalScatter {
  RowVector centre;    ///< d
  RowVector scale;     ///< d, about the inverse deviations
  double weight = 0;   ///< sum_n w_n, of scaled weights
  RowVector first;     ///< d
  Matrix second;       ///< d x d
  RowVector farthest;  ///< the largest distance in each feature, of rows without weight too
  double reach = 0;    ///< the largest |(x_n - centre) * scale|

  TotalScatter& operator+=(const TotalScatter& other) {
    weight += other.weight;
    first += other.first;
    second += other.second;
    farthest = farthest.cwiseMax(other.farthest);
    reach = std::max(reach, other.reach);
    return *this;
  }

  /// No row is farther than this from the origin of a frame, in the frame. Not finite if the squares overflow.
  double radius(const Frame& frame) const {
    constexpr double rounding = 1 + 1e-9;
    if (!all_finite(second)) return std::numeric_limits<double>::infinity();
    const RowVector shift = (centre - frame.origin).cwiseAbs();
    const double in_box = ((farthest + shift).array() * frame.scale.array()).matrix().norm();
    const double in_ball = reach * (frame.scale.array() / scale.array()).maxCoeff() +
                           (shift.array() * frame.scale.array()).matrix().norm();
    return rounding * std::min(in_box, in_ball);
  }

  /// T, about the origin of a frame and in its coordinates.
  Matrix about(const Frame& frame) const {
    const RowVector shift = ((centre - frame.origin).array() * frame.scale.array()).matrix();
    const RowVector sum = first.cwiseProduct(frame.scale);
    Matrix total = second;
    for (Index i = 0; i < total.rows(); ++i)
      for (Index j = 0; j < total.cols(); ++j)
        total(i, j) = total(i, j) * frame.scale(i) * frame.scale(j) + sum(i) * shift(j) + shift(i) * sum(j) +
                      weight * (shift(i) * shift(j));
    return total;
  }
};

/// One pass over the rows, with some thousand of them before it for a point near the mean and the deviations.
template <class = void>
TotalScatter total_scatter(const Data& data, int n_threads) {
  const Index n = data.rows(), d = data.cols(), step = (n + 1023) / 1024;
  TotalScatter none;
  none.centre = none.first = none.farthest = RowVector::Zero(d);
  none.second = Matrix::Zero(d, d);
  RowVector row(d), squares = RowVector::Zero(d);
  double of_sample = 0;
  for (Index i = 0; i < n; i += step) {
    Index present = i;
    while (present < std::min(i + step, n) && !(data.weight(present) > 0)) ++present;
    if (present == std::min(i + step, n)) continue;
    data.load_row(present, row);
    const double w = data.weight(present);
    of_sample += w;
    const RowVector before = row - none.centre;
    none.centre += w / of_sample * before;
    squares += w * before.cwiseProduct(row - none.centre);
  }
  const auto inverse_deviation = [of_sample](double sum) {
    const double deviation = std::sqrt(sum / of_sample);
    return deviation > 0 && std::isnormal(1 / deviation) ? 1 / deviation : 1.0;
  };
  none.scale = squares.unaryExpr(inverse_deviation);
  const Frame about{none.centre, RowVector::Ones(d)};
  const Lanes lanes(n, 240, max_lanes(n, d, d * d));
  const double work = static_cast<double>(n) * static_cast<double>(d * (d + 10));
  auto total = sum_over_lanes(lanes, worth_threads(work, n_threads), [&](Index lane) {
    TotalScatter part = none;
    Block z;
    Vector w;
    lanes.for_blocks(lane, [&](Index at, Index rows) {
      z.resize(rows, d);
      w.resize(rows);
      data.load(at, z, about);
      data.load_weights(at, w);
      part.weight += w.sum();
      part.first.noalias() += w.transpose() * z;
      part.farthest = part.farthest.cwiseMax(z.cwiseAbs().colwise().maxCoeff());
      add_scatter(z, w, part.second.data());
      w.setZero();
      for (Index j = 0; j < d; ++j) w += (z.col(j) * none.scale(j)).cwiseAbs2();
      part.reach = std::max(part.reach, std::sqrt(w.maxCoeff()));
    });
    return part;
  });
  Full::symmetrize(total.second.data(), d);
  return total;
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
