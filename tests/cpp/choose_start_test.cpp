// Where a restart begins: rows that stand for all, and starts that are tried on them.
#include "gaussmix/choose_start.hpp"

#include <cmath>

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

TYPED_TEST(ChooseStart, falls_back_to_all_rows_where_a_part_is_singular) {
  // Nearly all weight is on equal rows: what is drawn of them is singular beside the others.
  Matrix x = Matrix::Zero(5000, 2);
  x.bottomRows(600) = normals(600, 2, 3);
  gaussmix::FitOptions options;
  options.reg_covar = 0;
  const auto result = gaussmix::fit<TypeParam>(Data(x), 2, options);
  EXPECT_TRUE(std::isfinite(result.lower_bound));
  EXPECT_TRUE(result.mixture.means.allFinite());
}

TEST(Stopping, between_trials) {
  const Matrix x = clusters(5000, 2, 7);
  gaussmix::FitOptions options;
  int asked = 0;
  options.callback = [&](const gaussmix::Progress& p) {
    return p.stage == gaussmix::Progress::Stage::seeding && ++asked == 2;
  };
  EXPECT_THROW(gaussmix::fit<gaussmix::Full>(Data(x), 3, options), gaussmix::Stopped);
  EXPECT_EQ(asked, 2);
}

}  // namespace
