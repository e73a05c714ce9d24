// What EM does where the likelihood has no maximum: components that collapse or lose their rows, data of lower rank.
#include "gaussmix/fit.hpp"
#include "gaussmix/instances.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Data;
using gaussmix::Event;
using gaussmix::FitOptions;
using gaussmix::Mixture;

template <class Covariance>
struct FitRepair : testing::Test {
  FitOptions options;

  static void expect_finite(const gaussmix::FitResult<Covariance>& result) {
    const auto& m = result.mixture;
    EXPECT_TRUE(m.weights.allFinite() && m.means.allFinite() && m.covariances.allFinite());
    EXPECT_TRUE(m.precisions_cholesky.allFinite());
    EXPECT_TRUE(std::isfinite(result.lower_bound));
    EXPECT_NEAR(m.weights.sum(), 1, 1e-12);
  }
  /// I, as the covariances of K components, which is their precisions and factors too.
  static Matrix identities(Index k, Index d) {
    Matrix result = Matrix::Zero(gaussmix::n_matrices<Covariance>(k), Covariance::entries(d));
    for (Index m = 0; m < result.rows(); ++m) Covariance::add_diagonal(result.row(m).data(), d, 1);
    return result;
  }
  /// Three clusters, and a model whose last component is far from all of them.
  static Mixture<Covariance> lost(const Matrix& x) {
    FitOptions good;
    auto mixture = gaussmix::fit<Covariance>(Data(x), 3, good).mixture;
    mixture.means.row(2).setConstant(1e6);
    return mixture;
  }
};
TYPED_TEST_SUITE(FitRepair, AllTypes, TypeNames);

TYPED_TEST(FitRepair, a_component_that_collapses_is_floored_and_reported_once) {
  // Thirty copies of one row, far from a cluster: without regularisation their covariance is 0.
  Matrix x = normals(100, 2, 1);
  for (Index i = 0; i < 30; ++i) x.row(i) << 50, -50;
  this->options.reg_covar = 0;
  const auto result = gaussmix::fit<TypeParam>(Data(x), 2, this->options);
  this->expect_finite(result);
  if (TypeParam::shared) {  // the pooled covariance is not singular
    EXPECT_TRUE(result.events.empty());
    return;
  }
  ASSERT_EQ(result.events.size(), 1u);
  EXPECT_EQ(result.events[0].cause, Event::Cause::floored);
  const Index c = result.events[0].component;
  EXPECT_NEAR(result.mixture.weights(c), 0.3, 1e-9);
  EXPECT_TRUE(close(result.mixture.means.row(c), x.row(0), 1e-14L));
  // The floor is 2^20 eps of the mean variance of all rows.
  const auto all = reference::moments<gaussmix::Spherical>(x, Table(Matrix::Ones(100, 1)));
  EXPECT_NEAR(TypeParam::variance(result.mixture.covariance(c), 2, 0) / static_cast<double>(all.covariances(0, 0)),
              0x1p20 * std::numeric_limits<double>::epsilon(), 1e-15);
}

TYPED_TEST(FitRepair, a_start_1e8_deviations_from_the_rows_gives_their_moments) {
  for (const double offset : {1e8, 1e9, 1.7e12})
    for (int seed = 0; seed < 6; ++seed) {
      const Matrix x = normals(500, 3, seed).array() + offset;
      Mixture<TypeParam> start(1, 3);
      start.weights.setOnes();
      start.means.setZero();
      start.covariances = start.precisions_cholesky = this->identities(1, 3);
      this->options.reg_covar = 0;
      this->options.max_iter = 3;
      const auto result = gaussmix::fit<TypeParam>(Data(x), 1, this->options, &start);
      this->expect_finite(result);
      const auto expected = reference::moments<TypeParam>(x, Table(Matrix::Ones(500, 1)));
      EXPECT_TRUE(close(result.mixture.covariances, expected.covariances, 1e-9L)) << offset << " seed " << seed;
    }
}

TYPED_TEST(FitRepair, rows_far_narrower_than_the_start_and_far_from_its_mean_keep_their_variances) {
  for (const Index k : {2, 4, 12})
    for (const double width : {1e-3, 1e-5, 1e-6, 1e-8})
      for (int seed = 0; seed < 3; ++seed) {
        const Index d = 3, n = 60 * k;
        Matrix x = width * normals(n, d, seed);
        FitOptions options;
        options.reg_covar = 0;
        options.max_iter = 1;
        options.start.weights = Vector::Constant(k, 1.0 / static_cast<double>(k));
        options.start.means = 300 * normals(k, d, 100 + seed);
        options.start.precisions = this->identities(k, d);
        for (Index i = 0; i < n; ++i) x.row(i) += options.start.means->row(i % k);
        const auto result = gaussmix::fit<TypeParam>(Data(x), k, options);
        EXPECT_TRUE(result.events.empty()) << k << " components " << width << " wide, seed " << seed;
        Matrix own = Matrix::Zero(n, k);
        for (Index i = 0; i < n; ++i) own(i, i % k) = 1;
        const auto expected = reference::moments<TypeParam>(x, Table(own));
        EXPECT_TRUE(close(result.mixture.covariances, expected.covariances, 1e-6L))
            << k << " components " << width << " wide, seed " << seed;
      }
}

TYPED_TEST(FitRepair, a_component_that_collapses_among_floats_does_not_end_the_fit) {
  // Half of the rows are one, the others a cluster beside it; the start is wide, so that the first passes are of floats.
  for (int seed = 0; seed < 4; ++seed) {
    Eigen::MatrixXf x = (0.4 * normals(9000, 3, seed)).cast<float>();
    for (Index i = 0; i < 9000; i += 2) x.row(i) << 3.3f, -4.7f, 1.9f;
    FitOptions options;
    options.reg_covar = 0;
    options.max_iter = 4;
    options.start.weights = Vector::Constant(2, 0.5);
    options.start.means = Matrix::Zero(2, 3);
    options.start.means->row(0) << 3, -5, 2;
    options.start.precisions = this->identities(2, 3);
    this->expect_finite(gaussmix::fit<TypeParam>(Data(x), 2, options));
  }
}

TYPED_TEST(FitRepair, a_component_without_rows_is_seeded_anew) {
  const Matrix x = clusters(300, 2, 2);
  const auto mixture = this->lost(x);
  this->options.max_iter = 50;
  const auto result = gaussmix::fit<TypeParam>(Data(x), 3, this->options, &mixture);
  this->expect_finite(result);
  ASSERT_FALSE(result.events.empty());
  EXPECT_EQ(result.events[0].cause, Event::Cause::reseeded);
  EXPECT_EQ(result.events[0].component, 2);
  EXPECT_EQ(result.events[0].iteration, 1);
  EXPECT_GT(result.mixture.weights(2), 1.0 / 300);
  EXPECT_LE(result.mixture.means.row(2).norm(), 100);
  EXPECT_GT(result.lower_bound, result.lower_bounds.front());
}

TYPED_TEST(FitRepair, a_start_that_the_caller_gave_is_never_moved) {
  const Matrix x = clusters(300, 2, 3);
  const auto mixture = this->lost(x);
  auto& start = this->options.start;
  start.weights = mixture.weights;
  start.means = mixture.means;
  start.precisions = mixture.covariances;
  for (Index m = 0; m < mixture.covariances.rows(); ++m)
    TypeParam::precision(mixture.precisions_cholesky.row(m).data(), 2, start.precisions->row(m).data());
  const auto result = gaussmix::fit<TypeParam>(Data(x), 3, this->options);
  this->expect_finite(result);
  ASSERT_EQ(result.events.size(), 1u);
  EXPECT_EQ(result.events[0].cause, Event::Cause::abandoned);
  EXPECT_EQ(result.events[0].component, 2);
  EXPECT_TRUE(result.mixture.means.row(2) == mixture.means.row(2));
  EXPECT_LE(result.mixture.weights(2), 1e-15);
}

TYPED_TEST(FitRepair, data_of_lower_rank_without_regularisation) {
  Matrix x = normals(200, 3, 4);
  x.col(2) = x.col(0) - 2 * x.col(1);
  this->options.reg_covar = 0;
  if (TypeParam::entries(3) == 9) {
    EXPECT_THROW(gaussmix::fit<TypeParam>(Data(x), 2, this->options), gaussmix::DegenerateData);
  } else {
    this->expect_finite(gaussmix::fit<TypeParam>(Data(x), 2, this->options));
  }
  this->options.reg_covar = 1e-6;
  this->expect_finite(gaussmix::fit<TypeParam>(Data(x), 2, this->options));
}

TYPED_TEST(FitRepair, a_constant_feature_without_regularisation) {
  Matrix x = normals(200, 3, 5);
  x.col(1).setConstant(1.0 / 3);
  this->options.reg_covar = 0;
  if (TypeParam::entries(3) > 1) {
    EXPECT_THROW(gaussmix::fit<TypeParam>(Data(x), 2, this->options), gaussmix::DegenerateData);
  }
  this->options.reg_covar = 1e-6;
  this->expect_finite(gaussmix::fit<TypeParam>(Data(x), 2, this->options));
}

TYPED_TEST(FitRepair, identical_rows) {
  const Matrix x = Matrix::Constant(20, 2, 3.25);
  const auto result = gaussmix::fit<TypeParam>(Data(x), 3, this->options);
  this->expect_finite(result);
  EXPECT_TRUE(close(result.mixture.means, Matrix::Constant(3, 2, 3.25), 1e-14L));
  this->options.reg_covar = 0;
  EXPECT_THROW(gaussmix::fit<TypeParam>(Data(x), 3, this->options), gaussmix::DegenerateData);
}

TYPED_TEST(FitRepair, as_many_components_as_rows) {
  const Matrix x = normals(6, 2, 6);
  for (const auto method : {gaussmix::Initialization::kmeans, gaussmix::Initialization::kmeans_plus_plus,
                            gaussmix::Initialization::random, gaussmix::Initialization::random_from_data}) {
    this->options.initialization = method;
    this->expect_finite(gaussmix::fit<TypeParam>(Data(x), 6, this->options));
  }
}

TYPED_TEST(FitRepair, fewer_distinct_rows_than_components) {
  Matrix x(40, 2);
  for (Index i = 0; i < 40; ++i) x.row(i) << static_cast<double>(i % 3), static_cast<double>(i % 3 == 1);
  for (const auto method : {gaussmix::Initialization::kmeans, gaussmix::Initialization::kmeans_plus_plus,
                            gaussmix::Initialization::random, gaussmix::Initialization::random_from_data}) {
    this->options.initialization = method;
    this->expect_finite(gaussmix::fit<TypeParam>(Data(x), 8, this->options));
  }
}

TYPED_TEST(FitRepair, values_that_overflow_are_an_error) {
  Matrix x = normals(30, 2, 7);
  x(4, 1) = 1e200;
  EXPECT_THROW(gaussmix::fit<TypeParam>(Data(x), 2, this->options), gaussmix::DegenerateData);
  x(4, 1) = 1.7e308;
  x(5, 1) = -1.7e308;
  EXPECT_THROW(gaussmix::fit<TypeParam>(Data(x), 2, this->options), gaussmix::DegenerateData);
}

}  // namespace
