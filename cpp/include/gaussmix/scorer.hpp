// What a mixture says of one row: log p(x), responsibilities and label, for rows that come one at a time.
//
//   l_k = log pi_k + log |U_k| - d/2 log 2 pi - |(x - mu_k) U_k|^2 / 2,   log p(x) = log sum_k exp(l_k)
//
// The centred kernel of log_prob.hpp, written for a single row: exact at any offset, K d^2 / 2 multiplications for full
// covariances, and no allocation after the constructor. For many rows at once predict.hpp is several times as fast.
#pragma once

#include <cmath>

#include "gaussmix/log_prob.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// A mixture with the buffers that scoring a row needs. One for each thread: scoring writes to them.
template <class Covariance>
class Scorer {
 public:
  /// Copies what it needs of the mixture. \throws NotPositiveDefinite as `LogProb`
  explicit Scorer(const Mixture<Covariance>& mixture)
      : log_prob_(mixture),
        offset_(Block::Zero(padded<double>(1), mixture.n_features())),
        responsibilities_(Vector::Zero(mixture.n_components())) {}

  Index n_components() const { return log_prob_.n_components(); }  ///< K
  Index n_features() const { return log_prob_.n_features(); }      ///< d

  /// Scores a row.
  ///
  /// \param row  d numbers, float or double, one after the other; infinite ones count as very large
  /// \returns log p(row) in nats, always finite
  /// \throws std::invalid_argument if a number of the row is NaN
  template <class Scalar>
  double log_density(const Scalar* row) {
    using Row = Eigen::Map<const Eigen::Matrix<Scalar, 1, Eigen::Dynamic>>;
    constexpr double largest = 1e150;  // its square is still a number
    const Row x(row, n_features());
    require(!x.hasNaN(), "the data must not contain NaN");
    for (Index k = 0; k < n_components(); ++k) {
      offset_.row(0) =
          ((x.template cast<double>() - log_prob_.means().row(k)).array() * log_prob_.frame().scale.array())
              .cwiseMin(largest)
              .cwiseMax(-largest);
      Covariance::squared_norms(offset_, log_prob_.factor(k), distance_);
      responsibilities_(k) = log_prob_.constants()(k) - 0.5 * std::min(distance_(0), largest_distance);
    }
    const double best = responsibilities_.maxCoeff(&label_);
    responsibilities_ = (responsibilities_.array() - best).exp();
    const double sum = responsibilities_.sum();
    responsibilities_ /= sum;
    return best + std::log(sum);
  }

  /// P(component k | row) of the row that was scored last, K numbers; zeros before the first.
  const Vector& responsibilities() const { return responsibilities_; }

  /// The likeliest component of the row that was scored last, the first of equals; 0 before the first row.
  Index label() const { return label_; }

 private:
  LogProb<Covariance> log_prob_;
  Block offset_;  // the row about a mean, in the first row of a panel
  Vector distance_ = Vector::Zero(1);
  Vector responsibilities_;
  Index label_ = 0;
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
