// E-step for a block of rows: the weighted log-densities log pi_k + log N(x_n | mu_k, Sigma_k), their log-sum-exp
// log p(x_n), and the responsibilities r_nk = exp(log pi_k + log N - log p).
//
// Five kernels, one meaning. Which of them a block takes depends on the block and the model only.
//
// *dense*     L = Phi Theta, one product of the features of the block with the coefficients of all components. Features are
//             taken in the model's own frame: from its mean as the origin, each scaled by a power of two near the largest
//             precision, which is exact, and no square overflows. It cancels: its error in a log-density is about
//             eps kappa_k, kappa_k = |P_k| (max_n |z_n| + |m_k|)^2, with z and m rows and means in the frame.
// *centred*   |(x - mu_k) U_k|^2 for each component, from the row itself: for components with eps kappa_k above
//             `dense_limit` in the block; for all, if those are most of them, or where they are few and it takes less time.
// *whitened*  dense of y = U^T z, where all share a covariance and would go centred: one triangular product in place of one
//             for each. The covariance of y is I, so that its features cancel eps (|y| + |U^T m_k|)^2 alone, and y is known
//             to eps sqrt(kappa) deviations. Where that is above `dense_limit`, all do go centred.
// *shifted*   |y - U^T m_k|^2, where the features of y would cancel all the same: clusters hundreds of deviations apart.
// *single*    dense in float, where that was asked for and all kappa_k are below `single_limit`: rows that come as floats
//             are themselves known to eps32 |x|.
//
// Where features are independent, no feature cancels against another: P_j (|z_j| + |m_j|)^2 <= P_j (8 m_j^2 + 2 (z_j - m_j)^2),
// of which the last is rounding of the distance itself. There kappa_k = 4 sum_j P_kj m_kj^2, however far out rows lie.
//
// Where dense would blur most components about the model's mean, the origin moves to a median of theirs, if it then blurs fewer.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "gaussmix/block_buffers.hpp"
#include "gaussmix/data.hpp"
#include "gaussmix/mixture.hpp"
#include "gaussmix/normalize.hpp"
#include "gaussmix/panels.hpp"
#include "gaussmix/parallel.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Largest error of a log-density, in nats, that the dense kernel may make before a component goes to the centred one.
inline constexpr double dense_limit = 1e-10;

/// Largest kappa of a block that goes dense in float: an error of a log-density of about eps32 kappa, 1e-5 nats.
inline constexpr double single_limit = 100;

/// Largest difference of the constants of two components in float, in nats: they are rounded to eps32 of it.
inline constexpr double single_spread = 64;

/// Smallest scaled weight of a row in such a block; a product of floats with less could be 0.
inline constexpr double single_weight = 1e-6;

/// Rows of a data set from which on floats may be computed as floats: fewer take no time, and nothing is then averaged out.
inline constexpr Index single_rows = 8192;

/// Whether a pass over these rows may ask for float. A part of a data set would decide by its own rows: where parts must
/// agree with the whole, `accumulate` is asked for exact products.
inline bool may_be_single(const Data& data) { return data.rows() >= single_rows && data.single(); }

/// Products of features that a pass may take: none, so that every block goes centred, and its moments may be about any point
/// of each component; those of double; or those of float as well, where the block allows it.
enum class Products { none, full, single };

/// About the flops that the log-densities of n rows take, and as many their statistics: 2 D for each row and component, 20
/// for an exponential, and 10 for each value that is read.
template <class Covariance>
double flops(Index n, Index d, Index k) {
  return static_cast<double>(n) * static_cast<double>(k * (2 * Covariance::features(d) + 20) + 10 * d);
}

/// The log-density of a mixture, prepared for evaluation over blocks of rows.
template <class Covariance>
class LogProb {
 public:
  explicit LogProb(const Mixture<Covariance>& mixture, int n_threads = 1, Products products = Products::full)
      : means_(mixture.means),
        factors_(mixture.precisions_cholesky.rows(), mixture.precisions_cholesky.cols()),
        products_(products) {
    const Index k = mixture.n_components(), d = mixture.n_features();
    require(all_finite(means_), "means must be finite");
    // The model's mean, whatever the weights sum to (rounded to float, they do not sum to 1).
    frame_.origin = mixture.weights.transpose() / mixture.weights.sum() * mixture.means;
    frame_.scale = RowVector::Ones(d);
    log_weights_ = mixture.weights.array().log();
    constants_ = -0.5 * static_cast<double>(d) * std::log(2 * std::acos(-1.0)) + log_weights_.array();
    Matrix precisions(factors_.rows(), factors_.cols());
    Vector log_dets(factors_.rows());
    const int team = worth_threads(factors_, n_threads);
    parallel_for(factors_.rows(), team, [&](Index m) {
      factors_.row(m) = mixture.precisions_cholesky.row(m);
      double* u = factors_.row(m).data();
      const bool upper = all_finite(factors_.row(m)) && Covariance::make_upper(u, d);
      log_dets(m) = upper ? Covariance::log_det(u, d) : std::numeric_limits<double>::quiet_NaN();
      Covariance::precision(u, d, precisions.row(m).data());
    });
    if (constants_.hasNaN() || !all_finite(log_dets) || !all_finite(precisions) || !all_finite(frame_.origin))
      throw NotPositiveDefinite(
          "weights must not be negative or all 0, and precision Cholesky factors must be finite, as must be their "
          "squares, with a positive diagonal");
    if (!Covariance::shared) set_origin(mixture.weights, precisions);
    set_scale(precisions);
    const RowVector inverse = frame_.scale.cwiseInverse();
    parallel_for(factors_.rows(), team, [&](Index m) {
      Covariance::rescale(precisions.row(m).data(), inverse);
      Covariance::rescale_factor(factors_.row(m).data(), frame_.scale);
    });
    for (Index c = 0; c < k; ++c) constants_(c) += log_dets(matrix_of<Covariance>(c));
    set_coefficients(precisions, team);
    if (products == Products::single) set_single();
  }

  Index n_components() const { return means_.rows(); }
  Index n_features() const { return means_.cols(); }
  Products products() const { return products_; }
  const Frame& frame() const { return frame_; }
  const Matrix& means() const { return means_; }
  const Matrix& factors() const { return factors_; }  ///< U_k, in the frame
  const double* factor(Index k) const { return factors_.row(matrix_of<Covariance>(k)).data(); }
  const Vector& log_weights() const { return log_weights_; }  ///< log pi_k
  const Vector& constants() const { return constants_; }      ///< log pi_k - d/2 log 2 pi + log |U_k|
  const Coefficients<double>& coefficients() const { return theta_; }
  const Vector& precision_norms() const { return precision_norms_; }  ///< largest row sum of |P_k|, in the frame
  const Vector& mean_norms() const { return mean_norms_; }            ///< |mu_k - origin|, in the frame

  /// The density of the first t features, as a mixture without covariances.
  Mixture<Covariance> leading(Index t) const {
    Mixture<Covariance> mixture(n_components(), t);
    mixture.weights = log_weights_.array().exp();
    mixture.means = means_.leftCols(t);
    const RowVector inverse = frame_.scale.head(t).cwiseInverse();
    for (Index m = 0; m < factors_.rows(); ++m) {
      double* u = mixture.precisions_cholesky.row(m).data();
      Covariance::leading(factors_.row(m).data(), n_features(), t, u);
      Covariance::rescale_factor(u, inverse);
    }
    return mixture;
  }

  /// max_k |P_k| (radius + |mu_k - origin|)^2, for rows up to `radius` from the origin, in the frame; also where features
  /// are independent.
  double kappa(double radius) const { return kappas(radius).maxCoeff(); }
  /// Whether the dense kernel would blur such rows for some component, by that measure.
  bool blurred(double radius) const { return blurs(kappa(radius)); }
  /// The share of the components for which such rows go centred: dense they would be blurred, or the components are few.
  double centred_share(double radius) const {
    if (Covariance::centred_pays(n_features(), n_components())) return 1;
    const Index count = dense_kappas(radius).unaryExpr([this](double k) { return Index{blurs(k)}; }).sum();
    // Where they are most, to make the others dense saves no time; a shared scatter is of one kind.
    if (Covariance::shared ? count > 0 : 2 * count > n_components()) return 1;
    return static_cast<double>(count) / static_cast<double>(n_components());
  }

  /// Packs rows first ... first + rows - 1 and computes their responsibilities and log-densities.
  void expect(const Data& data, Index first, Index rows, BlockBuffers<Covariance>& block) const {
    block.resize(rows, n_features(), n_components());
    block.panels.for_panels([&](Index at, auto z) { data.load(first + at, z.matrix(), frame_); });
    data.load_weights(first, block.weights);
    block.kernel = kernel_of(block);
    const bool about_means = block.kernel == Kernel::centred || block.kernel == Kernel::shifted;
    if (about_means || !block.recentred.empty()) {
      block.x.resize(rows, n_features());
      data.load(first, block.x);
    }
    if (about_means) {
      for (Index c = 0; c < n_components(); ++c)
        block.kernel == Kernel::shifted ? set_shifted(block, c) : set_centred(block, c);
      return normalize(rows, block.table, block.log_norm, block.inverse_sum);
    }
    if (block.kernel == Kernel::single) {
      block.single_table.resize(padded<float>(rows), n_components());
      block.single_panels.resize(rows, n_features());
      block.single_panels.assign_rows(block.panels);
      block.single_panels.multiply(single_theta_, block.single_table);
      normalize(rows, block.single_table, block.log_norm, block.inverse_sum);
      block.log_norm.array() += single_offset_;
    } else {
      block.panels.multiply(block.kernel == Kernel::whitened ? whitened_theta_ : theta_, block.table);
      for (const Index c : block.recentred) set_centred(block, c);
      normalize(rows, block.table, block.log_norm, block.inverse_sum);
    }
    if (!Covariance::shared || block.total_known) return;
    // The term that all components share, and that the features leave out.
    if (block.kernel != Kernel::whitened) Covariance::squared_norms(block.z(), factor(0), block.distances);
    block.log_norm -= 0.5 * block.distances;
  }

  /// The first rows of block.offset = (x - about) * scale of the rows with a responsibility for component k, and block.share
  /// = that times their weight; their number.
  Index centre_responsible(BlockBuffers<Covariance>& block, Index k, const Eigen::Ref<const RowVector>& about) const {
    block.share = block.responsibilities().col(k).cwiseProduct(block.weights);
    block.responsible.clear();
    for (Index i = 0; i < block.rows(); ++i)
      if (block.share(i) != 0) block.responsible.push_back(i);
    const auto n = static_cast<Index>(block.responsible.size());
    if (2 * n > block.rows()) {
      centre(block.x, about, block.offset);
      return block.rows();
    }
    for (Index i = 0; i < n; ++i) block.share(i) = block.share(block.responsible[static_cast<std::size_t>(i)]);
    centre(block.x(block.responsible, Eigen::all), about, block.offset);
    return n;
  }

 private:
  /// Moves the origin to where sum_k pi_k |m_kj - o_j| sqrt(P_kjj) is least, if dense would blur most components else, and
  /// then fewer: one that lies far from all others draws the mean away from them, and those that are narrow in a feature often
  /// lie at one point of it.
  void set_origin(const Vector& weights, const Matrix& precisions) {
    const Index k = n_components(), d = n_features();
    const auto precision = [&](Index c, Index j) { return Covariance::variance(precisions.row(c).data(), d, j); };
    const auto n_blurred = [&](const RowVector& origin) {
      Index count = 0;
      for (Index c = 0; c < k; ++c) {
        double distance = 0;
        for (Index j = 0; j < d; ++j) distance += precision(c, j) * std::pow(means_(c, j) - origin(j), 2);
        count += Index{blurs(4 * distance)};
      }
      return count;
    };
    const Index blurred_about_mean = n_blurred(frame_.origin);
    if (2 * blurred_about_mean <= k) return;
    RowVector origin = frame_.origin;
    std::vector<Index> order(static_cast<std::size_t>(k));
    std::iota(order.begin(), order.end(), Index{0});
    for (Index j = 0; j < d; ++j) {
      const auto mass = [&](Index c) { return weights(c) * std::sqrt(precision(c, j)); };
      double left = 0;
      for (const Index c : order) left += 0.5 * mass(c);
      std::sort(order.begin(), order.end(), [&](Index a, Index b) { return means_(a, j) < means_(b, j); });
      for (const Index c : order) {
        left -= mass(c);
        origin(j) = means_(c, j);
        if (left <= 0) break;
      }
    }
    if (n_blurred(origin) < blurred_about_mean) frame_.origin = origin;
  }

  void set_scale(const Matrix& precisions) {
    const Index d = n_features();
    for (Index j = 0; j < d; ++j) {
      double largest = 0;
      for (Index m = 0; m < precisions.rows(); ++m)
        largest = std::max(largest, Covariance::variance(precisions.row(m).data(), d, j));
      if (largest > 0 && std::isfinite(largest)) frame_.scale(j) = std::ldexp(1.0, std::ilogb(largest) / 2);
    }
  }

  void set_coefficients(const Matrix& precisions, int team) {
    const Index k = n_components(), d = n_features();
    theta_ = Coefficients<double>(Covariance::features(d), k);
    if (Covariance::shared) whitened_theta_ = Coefficients<double>(1 + d, k);
    precision_norms_ = mean_norms_ = mean_distances_ = Vector::Zero(k);
    parallel_for(k, team, [&](Index c) {
      const Index m = matrix_of<Covariance>(c);
      const double* precision = precisions.row(m).data();
      precision_norms_(c) = Covariance::largest_row_sum(precision, d);
      const RowVector offset = ((means_.row(c) - frame_.origin).array() * frame_.scale.array()).matrix();
      Block panel = Block::Zero(padded<double>(1), d);
      Vector distance(1);
      panel.row(0) = offset;
      mean_norms_(c) = offset.norm();
      Covariance::squared_norms(panel, factors_.row(m).data(), distance);
      mean_distances_(c) = distance(0);
      auto theta = theta_.column(c);
      theta(0) = constants_(c) - 0.5 * distance(0);
      theta.segment(1, d) = Covariance::product(offset, precision).transpose();
      if constexpr (Covariance::shared) {
        auto whitened = whitened_theta_.column(c);
        whitened.tail(d) = Covariance::product(offset, factor(0)).transpose();
        // Of these rounded numbers: what rounding takes from one term, it then gives to the other.
        whitened(0) = constants_(c) - 0.5 * whitened.tail(d).squaredNorm();
      }
      Covariance::quadratic_coefficients(precision, d, theta.tail(theta.size() - 1 - d));
    });
    for (Index c = 0; c < whitened_theta_.n_components(); ++c)
      whitened_means_ = std::max(whitened_means_, whitened_theta_.column(c).tail(d).norm());
  }

  /// Rounds the coefficients to float. What the constants have in common stays in double: it would cost all rows the
  /// same digits. None are set where the constants differ too much.
  void set_single() {
    double highest = -std::numeric_limits<double>::infinity(), lowest = -highest;
    for (Index c = 0; c < n_components(); ++c) {
      const double constant = theta_.column(c)(0);
      if (!std::isfinite(constant)) continue;  // a weight of 0
      highest = std::max(highest, constant);
      lowest = std::min(lowest, constant);
    }
    if (!(highest - lowest <= single_spread)) return;
    single_offset_ = highest;
    single_theta_ = Coefficients<float>(theta_.features(), n_components());
    for (Index c = 0; c < n_components(); ++c) {
      Vector theta = theta_.column(c);
      theta(0) -= single_offset_;
      single_theta_.column(c) = theta.template cast<float>();
    }
  }

  /// The kernel that the rows of a block need.
  Kernel kernel_of(BlockBuffers<Covariance>& block) const {
    Vector& radii2 = block.distances;
    block.panels.squared_norms(radii2);
    block.radius2 = radii2.maxCoeff();
    if (std::isnan(radii2.sum())) require(!block.z().hasNaN(), "the data must not contain NaN");
    const double radius = std::sqrt(block.radius2);
    const auto enough = [](double w) { return w == 0 || w >= single_weight; };
    const bool all_enough = block.weights.minCoeff() >= single_weight;  // as a rule
    block.recentred.clear();
    if (block.may_be_single && single_theta_.n_components() > 0 && kappa(radius) <= single_limit &&
        !Covariance::centred_pays(n_features(), 2 * n_components()) &&  // in float, dense takes half the time
        (all_enough || std::all_of(block.weights.begin(), block.weights.end(), enough)))
      return Kernel::single;
    const double share = centred_share(radius);
    if (share == 1) return whiten(block);
    const Eigen::ArrayXd kappa_of = dense_kappas(radius);
    for (Index c = 0; c < n_components() && share > 0; ++c)
      if (blurs(kappa_of(c))) block.recentred.push_back(c);
    return Kernel::dense;
  }

  /// Where all would be blurred: brings rows in the frame to y = U^T z if they are known well enough, and sets |y|^2.
  Kernel whiten(BlockBuffers<Covariance>& block) const {
    if constexpr (Covariance::shared) {
      const double kappa = this->kappa(std::sqrt(block.radius2));
      if (blurs(std::sqrt(kappa))) return Kernel::centred;
      const Block& z = block.z();
      block.panels.for_panels([&](Index at, auto y) {
        multiply_triangular(z.cols(), z.data() + at, z.rows(), factor(0), y.data(), y.outerStride());
      });
      block.panels.squared_norms(block.distances);
      const double reach = std::sqrt(block.distances.maxCoeff()) + whitened_means_;
      return blurs(reach * reach) ? Kernel::shifted : Kernel::whitened;
    }
    return Kernel::centred;
  }

  auto kappas(double radius) const { return precision_norms_.array() * (radius + mean_norms_.array()).square(); }
  /// What decides whether a component is dense. Beyond all distances that data have, where squares overflow, none is.
  Eigen::ArrayXd dense_kappas(double radius) const {
    if (Covariance::independent && radius < 1e100) return 4 * mean_distances_.array();
    return kappas(radius);
  }
  bool blurs(double kappa) const {
    return products_ == Products::none || !(std::numeric_limits<double>::epsilon() * kappa <= dense_limit);
  }

  /// The first rows of offset = (x - about) * scale: from rows themselves, so that it keeps the digits that they have.
  template <class Values>
  void centre(const Values& x, const Eigen::Ref<const RowVector>& about, Block& offset) const {
    constexpr double largest = 1e150;  // its square is still a number
    offset.topRows(x.rows()) =
        ((x.rowwise() - about).array().rowwise() * frame_.scale.array()).cwiseMin(largest).cwiseMax(-largest).matrix();
  }

  /// Puts log-densities of component k into the table, from the rows themselves.
  void set_centred(BlockBuffers<Covariance>& block, Index k) const {
    centre(block.x, means_.row(k), block.offset);
    Covariance::squared_norms(block.offset, factor(k), block.distances);
    block.table.col(k).head(block.rows()) = constants_(k) - 0.5 * block.distances.array().min(largest_distance);
  }

  /// The same from whitened rows.
  void set_shifted(BlockBuffers<Covariance>& block, Index k) const {
    const Vector mean = whitened_theta_.column(k).tail(n_features());
    block.panels.squared_distances(mean.data(), block.distances);
    block.table.col(k).head(block.rows()) = constants_(k) - 0.5 * block.distances.array().min(largest_distance);
  }

  Matrix means_, factors_;  // factors in the frame
  Products products_;
  Frame frame_;
  Vector log_weights_, constants_, precision_norms_, mean_norms_;
  Vector mean_distances_;                          // |U_k^T (mu_k - origin)|^2
  Coefficients<double> theta_, whitened_theta_;    // of z, and of y where the covariance is shared
  Coefficients<float> single_theta_;               // empty unless asked for
  double single_offset_ = 0, whitened_means_ = 0;  // the largest |U^T (mu_k - origin)|
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
