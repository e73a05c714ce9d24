// Where a restart begins: rows that stand for all, and starts that are tried on them.
#include "gaussmix/choose_start.hpp"

#include <Eigen/Eigenvalues>
#include <cmath>
#include <thread>

#include "gaussmix/instances.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Data;
using gaussmix::Purpose;
using gaussmix::Random;
using gaussmix::detail::draw_coreset;

Random random_of(int seed) { return {static_cast<std::uint64_t>(seed), Purpose::coreset, 0}; }

/// Rows of a heavy tail.
Matrix tailed(Index n, Index d) {
  Matrix x(n, d);
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < d; ++j) x(i, j) = std::pow(std::sin(static_cast<double>(1 + i * d + j) * 12.9898), 9) * 10;
  return x;
}

TEST(Coreset, its_weighted_sums_are_those_of_all_rows_on_average) {
  const Matrix x = tailed(4000, 3);
  Vector weights(4000);
  for (Index i = 0; i < 4000; ++i) weights(i) = static_cast<double>(i % 4);
  constexpr int draws = 200;
  const auto moments = [](const Matrix& rows, const Vector& w) {
    Vector m(7);
    m << w.sum(), (w.transpose() * rows).transpose(), (w.transpose() * rows.cwiseAbs2()).transpose();
    return m;
  };
  const Vector expected = moments(x, weights);
  Vector sum = Vector::Zero(7), squares = sum;
  for (int seed = 0; seed < draws; ++seed) {
    const auto coreset = draw_coreset(Data(x).set_weights(weights.data()), 500, random_of(seed), 1);
    const Vector m = moments(coreset.rows, coreset.weights);
    sum += m;
    squares += m.cwiseAbs2();
  }
  const Vector mean = sum / draws;
  const Vector deviation = ((squares / draws - mean.cwiseAbs2()) / draws).cwiseMax(0).cwiseSqrt();
  // Weights are relative: the draws of one coreset have one factor in common.
  const double factor = expected(0) / mean(0);
  for (Index m = 1; m < 7; ++m)
    EXPECT_NEAR(mean(m) * factor, expected(m), 5 * factor * deviation(m) + 1e-9 * std::abs(expected(m))) << m;
}

TEST(Coreset, rows_far_out_are_in_it_and_rows_without_weight_are_not) {
  Matrix x = tailed(5000, 2) * 1e-3;
  Vector weights = Vector::Ones(5000);
  x.row(1234) << 100, -100;
  x.row(4999) << -100, 50;
  for (Index i = 0; i < 5000; i += 3) {
    weights(i) = 0;
    x.row(i).setConstant(777);
  }
  for (int seed = 0; seed < 20; ++seed) {
    const auto coreset = draw_coreset(Data(x).set_weights(weights.data()), 300, random_of(seed), 1);
    EXPECT_LE(coreset.rows.rows(), 300);
    EXPECT_GT(coreset.weights.minCoeff(), 0);
    EXPECT_EQ((coreset.rows.array() == 777).count(), 0);
    EXPECT_EQ((coreset.rows.col(0).array() == 100).count(), 1);
    EXPECT_EQ((coreset.rows.col(0).array() == -100).count(), 1);
  }
}

TEST(Coreset, equal_rows_and_any_number_of_threads) {
  const Matrix equal = Matrix::Constant(3000, 2, 1e9);
  const auto of_equal = draw_coreset(Data(equal), 100, random_of(1), 1);
  EXPECT_EQ(of_equal.rows, Matrix::Constant(of_equal.rows.rows(), 2, 1e9));
  EXPECT_NEAR(of_equal.weights.sum(), 100, 1e-9);
  const Matrix x = tailed(5000, 4);
  const auto one = draw_coreset(Data(x), 600, random_of(2), 1), many = draw_coreset(Data(x), 600, random_of(2), 8);
  EXPECT_EQ(one.rows, many.rows);
  EXPECT_EQ(one.weights, many.weights);
}

template <class Covariance>
class ChooseStart : public testing::Test {};
TYPED_TEST_SUITE(ChooseStart, AllTypes, TypeNames);

/// n rows of six clusters that are apart, of which the last has one row of 250.
Matrix uneven(Index n, unsigned seed) {
  Matrix x = 0.3 * normals(n, 2, seed);
  for (Index i = 0; i < n; ++i) {
    const Index c = i % 250 == 0 ? 5 : i % 5;
    x.row(i) += RowVector{{10.0 * static_cast<double>(c), 10.0 * static_cast<double>(c * c % 5)}};
  }
  return x;
}

TYPED_TEST(ChooseStart, of_many_rows_finds_clusters_that_are_apart) {
  constexpr Index n = 6000, k = 6;
  const Matrix x = uneven(n, 1);
  ASSERT_GE(n, 2 * gaussmix::detail::coreset_rows<TypeParam>(n, 2, k));
  gaussmix::FitOptions options;
  gaussmix::Start truth;
  truth.means = Matrix(x.topRows(k));  // of the clusters 5, 1, 2, 3, 4, 0
  options.start = truth;
  const double best = gaussmix::fit<TypeParam>(Data(x), k, options).lower_bound;
  options.start = {};
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    options.seed = seed;
    EXPECT_NEAR(gaussmix::fit<TypeParam>(Data(x), k, options).lower_bound, best, 1e-3) << seed;
  }
}

TYPED_TEST(ChooseStart, of_many_rows_has_the_same_bits_with_any_number_of_threads) {
  const Matrix x = clusters(5000, 3, 7);
  gaussmix::FitOptions options;
  options.max_iter = 3;
  const auto expected = gaussmix::fit<TypeParam>(Data(x), 4, options);
  for (const int n_threads : {2, 3, 8}) {
    options.n_threads = n_threads;
    const auto result = gaussmix::fit<TypeParam>(Data(x), 4, options);
    EXPECT_TRUE(same_bits(result.mixture, expected.mixture)) << n_threads;
    EXPECT_EQ(result.lower_bounds, expected.lower_bounds) << n_threads;
  }
}

/// The best trial over a coreset.
template <class Covariance>
gaussmix::detail::Trial<Covariance> best_of(const gaussmix::detail::Coreset& coreset, Index k,
                                            const gaussmix::FitOptions& options) {
  const Data part = coreset.data();
  const gaussmix::detail::PassesOverCoreset<Covariance> passes(part, 1);
  return gaussmix::detail::best_trial<Covariance>(part, passes, k, options, 0, true);
}

TYPED_TEST(ChooseStart, goes_to_all_rows_where_a_part_is_singular) {
  // Two rows alone have a value in the last feature, none of them far out.
  constexpr Index n = 5000, k = 2;
  Matrix x = clusters(n, 3, 3);
  x.col(2).setZero();
  for (const Index i : {11, 4900}) x(i, 2) = 1e-3;
  gaussmix::FitOptions options;
  options.reg_covar = 0;
  const Data data(x);
  const auto size = gaussmix::detail::coreset_rows<TypeParam>(n, 3, k);
  int seed = -1;
  gaussmix::detail::Coreset coreset;
  do coreset = draw_coreset(data, size, random_of(++seed), 1);
  while ((coreset.rows.col(2).array() != 0).any());
  options.seed = static_cast<std::uint64_t>(seed);
  const auto of_part = best_of<TypeParam>(coreset, k, options);
  const gaussmix::PassesOverData<TypeParam> passes(data, 1);
  const auto chosen = gaussmix::choose_start<TypeParam>(data, passes, k, options, 0);
  // What all features share is not singular.
  EXPECT_EQ(!of_part.failure && of_part.rank.first, (std::is_same_v<TypeParam, gaussmix::Spherical>));
  EXPECT_EQ(chosen.of_part, (std::is_same_v<TypeParam, gaussmix::Spherical>));
  if (chosen.of_part) {
    EXPECT_TRUE(same_bits(chosen.mixture, of_part.reached));
  } else {
    const auto of_all = gaussmix::detail::best_trial<TypeParam>(data, passes, k, options, 0);
    ASSERT_FALSE(of_all.failure);
    EXPECT_TRUE(same_bits(chosen.mixture, of_all.start.mixture));
  }
}

/// Passes that are counted.
template <class Covariance>
struct CountedPasses : gaussmix::PassesOverData<Covariance> {
  using gaussmix::PassesOverData<Covariance>::PassesOverData;
  gaussmix::Statistics<Covariance> accumulate(const gaussmix::Mixture<Covariance>& mixture, gaussmix::Products products,
                                              const Matrix* about) const override {
    ++count;
    return gaussmix::PassesOverData<Covariance>::accumulate(mixture, products, about);
  }
  mutable int count = 0;
};

TYPED_TEST(ChooseStart, of_many_rows_is_where_the_best_short_run_over_a_part_ends) {
  constexpr Index n = 5000, k = 4;
  const Matrix x = clusters(n, 3, 7);
  const Data data(x);
  const gaussmix::FitOptions options;
  const CountedPasses<TypeParam> passes(data, 1);
  const auto chosen = gaussmix::choose_start<TypeParam>(data, passes, k, options, 0);
  EXPECT_EQ(passes.count, 0);
  EXPECT_TRUE(chosen.of_part);
  EXPECT_TRUE(chosen.passes.empty());
  const auto size = gaussmix::detail::coreset_rows<TypeParam>(n, 3, k);
  const auto best = best_of<TypeParam>(draw_coreset(data, size, random_of(0), 1), k, options);
  EXPECT_TRUE(same_bits(chosen.mixture, best.reached));
  // And the fit begins there.
  const auto fitted = gaussmix::fit<TypeParam>(data, k, options);
  const auto first = passes.accumulate(chosen.mixture, gaussmix::Products::single, nullptr);
  EXPECT_EQ(fitted.lower_bounds.front(), first.mean_log_likelihood());
}

TYPED_TEST(ChooseStart, after_a_part_the_first_iterations_must_rest_more) {
  const Matrix x = normals(3000, 3, 1);
  const auto start = random_mixture<TypeParam>(4, 3, 2);
  gaussmix::FitOptions options;
  const gaussmix::PassesOverData<TypeParam> passes(Data(x), 1);
  const auto iterations = [&](double tol, bool of_part) {
    options.tol = tol;
    gaussmix::detail::Run<TypeParam> run(passes, options, 0);
    const auto result = run.from(start, -HUGE_VAL, {}, of_part);
    EXPECT_TRUE(result.converged);
    for (std::size_t i = 1; i < result.lower_bounds.size(); ++i) {
      const double least = of_part && i < 10 ? 0.1 * options.tol : options.tol;
      const bool last = i + 1 == result.lower_bounds.size();
      EXPECT_EQ(std::abs(result.lower_bounds[i] - result.lower_bounds[i - 1]) < least, last) << i;
    }
    return result.n_iter();
  };
  EXPECT_LT(iterations(1e-2, false), 10);
  EXPECT_GT(iterations(1e-2, true), iterations(1e-2, false));
  // And only these: the eleventh, whose change is less than tol and more than a tenth of it, is the last.
  gaussmix::detail::Run<TypeParam> run(passes, options, 0);
  options.tol = 0;
  options.max_iter = 11;
  const auto bounds = run.from(start, -HUGE_VAL).lower_bounds;
  options.max_iter = 100;
  EXPECT_EQ(iterations(2 * std::abs(bounds[10] - bounds[9]), true), 11);
}

TEST(ChooseStartOfFull, a_small_cluster_in_many_dimensions_is_no_plane) {
  // 40 rows of 10,000, of which eight are drawn.
  constexpr Index n = 10000, d = 30, k = 5;
  Matrix x = normals(n, d, 5);
  for (Index i = 0; i < n; ++i) x(i, i % 250 == 0 ? 4 : i % 4) += 30;
  gaussmix::FitOptions options;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    options.seed = seed;
    const auto mixture = gaussmix::fit<gaussmix::Full>(Data(x), k, options).mixture;
    for (Index c = 0; c < k; ++c) {
      const Eigen::Map<const Matrix> covariance(mixture.covariances.row(c).data(), d, d);
      EXPECT_GT(Eigen::SelfAdjointEigenSolver<Matrix>(covariance).eigenvalues()(0), 1e-3) << seed << " " << c;
    }
  }
}

TEST(Smoothing, adds_the_pooled_covariance_in_rows) {
  const auto mixture = random_mixture<gaussmix::Full>(3, 4, 1);
  const Matrix x = rows_near(mixture, 500, 2);
  const auto before = gaussmix::accumulate(mixture, Data(x), 1);
  auto after = before;
  gaussmix::detail::smooth(after, 500);
  RowVector pooled = RowVector::Zero(16);
  for (Index c = 0; c < 3; ++c) pooled += before.counts(c) / 500 * before.covariances.row(c);
  for (Index c = 0; c < 3; ++c) {
    const RowVector expected =
        (before.counts(c) * before.covariances.row(c) + 6 * pooled) / (before.counts(c) + 6);  // d + 2
    EXPECT_TRUE(after.covariances.row(c).isApprox(expected, 1e-12)) << c;
  }
  EXPECT_EQ(after.means, before.means);
  EXPECT_EQ(after.counts, before.counts);
}

TEST(Stopping, between_trials_and_on_the_thread_that_called) {
  const Matrix x = clusters(5000, 2, 7);
  const auto here = std::this_thread::get_id();
  for (const int n_threads : {1, 3}) {
    gaussmix::FitOptions options;
    options.n_threads = n_threads;
    int asked = 0;
    options.callback = [&](const gaussmix::Progress& p) {
      EXPECT_EQ(std::this_thread::get_id(), here);
      return p.stage == gaussmix::Progress::Stage::seeding && ++asked == 2;
    };
    EXPECT_THROW(gaussmix::fit<gaussmix::Full>(Data(x), 3, options), gaussmix::Stopped);
    EXPECT_EQ(asked, 2);
  }
}

}  // namespace
