// A pass over the rows against the reference: every size, weights, views of the data, kernels, numbers of threads.
#include "gaussmix/accumulate.hpp"

#include "gaussmix/predict.hpp"

#include "gaussmix/instances.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::accumulate;
using gaussmix::Data;

template <class Covariance>
struct Accumulate : testing::Test {};
TYPED_TEST_SUITE(Accumulate, AllTypes, TypeNames);

TYPED_TEST(Accumulate, equals_the_reference) {
  unsigned seed = 0;
  for (const Index n : {1, 9, 300, 1500})
    for (const Index d : {1, 2, 5})
      for (const Index k : {1, 2, 6}) {
        if (n > 1 && n < 4 * k) continue;  // components of one row have only rounding for a covariance
        const auto mixture = random_mixture<TypeParam>(k, d, ++seed);
        const Matrix x = rows_near(mixture, n, seed);
        const auto s = accumulate(mixture, Data(x));
        EXPECT_EQ(s.total_weight, static_cast<double>(n));
        if (n > 1)
          EXPECT_TRUE(close(s, reference::accumulate(mixture, x, {}), 1e-11L)) << n << " rows, " << d << ", " << k;
        else  // one row has no covariance: what is left is rounding
          EXPECT_LE(s.covariances.cwiseAbs().maxCoeff(), 1e-13 * x.squaredNorm());
      }
}

TYPED_TEST(Accumulate, weights) {
  const auto mixture = random_mixture<TypeParam>(3, 4, 1);
  const Matrix x = rows_near(mixture, 700, 2);
  const auto weights = uniforms(700, 0, 3, 3);
  Data data(x);
  data.set_weights(weights.data());
  EXPECT_TRUE(close(accumulate(mixture, data), reference::accumulate(mixture, x, weights), 1e-11L));
}

TYPED_TEST(Accumulate, a_table_of_densities_serves_many_parts) {
  const auto mixture = random_mixture<TypeParam>(4, 5, 21);
  const gaussmix::LogProb<TypeParam> log_prob(mixture);
  for (const Index n : {3, 400}) {
    const Matrix x = rows_near(mixture, n, 22);
    const auto once = accumulate(mixture, Data(x)), again = accumulate(log_prob, Data(x), 2);
    EXPECT_TRUE(once.counts == again.counts && once.means == again.means && once.covariances == again.covariances);
    EXPECT_EQ(once.log_likelihood, again.log_likelihood);
  }
  EXPECT_THROW(accumulate(log_prob, Data(Matrix::Zero(3, 4).eval())), std::invalid_argument);
}

TYPED_TEST(Accumulate, weight_zero_is_an_absent_row_and_weight_two_a_repeated_one) {
  const auto mixture = random_mixture<TypeParam>(3, 3, 4);
  const Matrix x = rows_near(mixture, 400, 5);
  std::vector<double> weights(400);
  std::vector<Index> present;
  for (Index i = 0; i < 400; ++i) {
    weights[static_cast<std::size_t>(i)] = static_cast<double>(i % 3);
    for (Index copy = 0; copy < i % 3; ++copy) present.push_back(i);
  }
  Matrix far = x;  // the values of an absent row do not matter
  for (Index i = 0; i < 400; i += 3) far.row(i).setConstant(1e100);
  const Matrix repeated = x(present, Eigen::all);
  const auto expected = accumulate(mixture, Data(repeated));
  for (const Matrix* rows : {&x, static_cast<const Matrix*>(&far)}) {
    Data data(*rows);
    data.set_weights(weights.data());
    const auto s = accumulate(mixture, data);
    EXPECT_TRUE(close(s.counts, expected.counts, 1e-12L));
    EXPECT_TRUE(close(s.means, expected.means, 1e-12L));
    EXPECT_TRUE(close(s.covariances, expected.covariances, 1e-11L));
    EXPECT_NEAR(s.log_likelihood, expected.log_likelihood, 1e-9);
    EXPECT_EQ(s.total_weight, expected.total_weight);
  }
}

TYPED_TEST(Accumulate, the_unit_of_the_weights_does_not_matter) {
  const auto mixture = random_mixture<TypeParam>(3, 3, 6);
  const Matrix x = rows_near(mixture, 400, 7);
  const auto weights = uniforms(400, 0.5, 1.5, 8);
  const auto expected = reference::accumulate(mixture, x, weights);
  for (const double unit : {1e-300, 1e-20, 1e20, 1e300}) {
    auto scaled = weights;
    for (double& w : scaled) w *= unit;
    Data data(x);
    data.set_weights(scaled.data());
    const auto s = accumulate(mixture, data);
    EXPECT_TRUE(close(Vector(s.counts / unit), column(expected.counts), 1e-11L)) << unit;
    EXPECT_TRUE(close(s.means, expected.means, 1e-11L));
    EXPECT_TRUE(close(s.covariances, expected.covariances, 1e-11L));
    EXPECT_NEAR(s.mean_log_likelihood(), static_cast<double>(expected.log_likelihood / expected.total_weight), 1e-12);
    EXPECT_NEAR(s.total_weight / unit, static_cast<double>(expected.total_weight), 1e-9);
  }
}

TYPED_TEST(Accumulate, every_view_of_the_same_numbers_gives_the_same_bits) {
  const Index n = 300, d = 3;
  const auto mixture = random_mixture<TypeParam>(2, d, 9);
  using Floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Floats single = rows_near(mixture, n, 10).template cast<float>();
  const Matrix x = single.cast<double>();
  const auto expected = accumulate(mixture, Data(x));
  EXPECT_TRUE(same_bits(accumulate(mixture, Data(single)), expected));

  const Eigen::MatrixXd by_column = x;
  EXPECT_TRUE(same_bits(accumulate(mixture, Data(by_column)), expected));

  Matrix wide = Matrix::Constant(n, 2 * d + 1, std::nan(""));  // every second column of a wider array
  for (Index j = 0; j < d; ++j) wide.col(2 * j) = x.col(j);
  EXPECT_TRUE(same_bits(accumulate(mixture, Data(wide.data(), n, d, 2 * d + 1, 2)), expected));

  const Matrix reversed = x.colwise().reverse();
  EXPECT_TRUE(same_bits(accumulate(mixture, Data(reversed.data() + (n - 1) * d, n, d, -d)), expected));

  const Vector first = x.col(0);
  const Eigen::VectorXf second = single.col(1);
  const Data columns({{first.data(), 1, false}, {second.data(), 1, true}, {x.data() + 2, d, false}}, n);
  EXPECT_TRUE(same_bits(accumulate(mixture, columns), expected));
}

TYPED_TEST(Accumulate, same_bits_at_any_number_of_threads) {
  const auto mixture = random_mixture<TypeParam>(3, 3, 11);
  const Matrix x = rows_near(mixture, 20000, 12);
  const auto expected = accumulate(mixture, Data(x), 1);
  for (const int n_threads : {2, 3, 8})
    for (int repeat = 0; repeat < 3; ++repeat)
      EXPECT_TRUE(same_bits(accumulate(mixture, Data(x), n_threads), expected)) << n_threads;
}

TYPED_TEST(Accumulate, dense_and_centred_blocks_in_one_pass) {
  const auto mixture = random_mixture<TypeParam>(3, 3, 13);
  Matrix x = rows_near(mixture, 1200, 14);
  x.middleRows(500, 300) *= 1e5;  // these blocks go centred
  const auto expected = reference::accumulate(mixture, x, {});
  EXPECT_TRUE(close(accumulate(mixture, Data(x)), expected, 1e-10L, 1e5L));
}

TEST(Accumulate, whitened_and_centred_blocks_in_one_pass) {
  for (const bool far : {false, true}) {
    Narrow narrow(1200, 3, 5, 1e-4, 51);
    if (far) narrow.x.middleRows(500, 300).array() += 10;
    const auto weights = uniforms(1200, 0.5, 2, 52);
    Data data(narrow.x);
    data.set_weights(weights.data());
    const auto s = accumulate(narrow.mixture, data);
    const auto expected = reference::accumulate(narrow.mixture, narrow.x, weights);
    EXPECT_TRUE(close(s, expected, 1e-10L));
    EXPECT_NEAR(s.log_likelihood, static_cast<double>(expected.log_likelihood),
                1e-12 * std::abs(s.log_likelihood) + 1e-8);
    // The narrow direction too, as far as the digits of a covariance tell it: U^T Sigma U is about I.
    const reference::Table u = reference::dense(gaussmix::Tied(), narrow.mixture.factor(0), 5);
    const auto whitened = [&u](const reference::Table& covariance) {
      return reference::product(reference::transposed(u), reference::product(covariance, u));
    };
    const auto dense = [](const auto& row) { return reference::dense(gaussmix::Tied(), row.data(), 5); };
    const Vector rounded_covariance = problems::rounded(expected.covariances).transpose();
    EXPECT_TRUE(close(whitened(dense(s.covariances)), whitened(dense(rounded_covariance)), 1e-7L, far ? 0 : 1));
    for (const int n_threads : {2, 3}) EXPECT_TRUE(same_bits(accumulate(narrow.mixture, data, n_threads), s));
  }
}

TYPED_TEST(Accumulate, narrow_components_among_wide_ones) {
  // Those alone go centred, in dense blocks; each has rows of its own.
  auto mixture = random_mixture<TypeParam>(6, 3, 23);
  if (!TypeParam::shared) mixture.covariances.topRows(2) *= 1e-10;
  mixture = gaussmix::from_covariances<TypeParam>(mixture.weights, mixture.means, mixture.covariances);
  Matrix x = rows_near(mixture, 1200, 24);
  const Matrix z = normals(1200, 3, 26);
  for (Index i = 0; i < 1200; ++i)
    if (i % 6 < 2) x.row(i) = mixture.means.row(i % 6) + 1e-5 * z.row(i);
  const auto weights = uniforms(1200, 0.5, 2, 25);
  Data data(x);
  data.set_weights(weights.data());
  const auto s = accumulate(mixture, data);
  const auto expected = reference::accumulate(mixture, x, weights);
  EXPECT_TRUE(close(s, expected, 1e-10L));
  for (Index c = 0; c < s.covariances.rows(); ++c) {
    const Real largest = s.covariances.row(c).cwiseAbs().maxCoeff();
    for (Index j = 0; j < s.covariances.cols(); ++j)
      EXPECT_LE(std::abs(s.covariances(c, j) - expected.covariances(c, j)), 1e-9L * largest) << c;
  }
  EXPECT_TRUE(same_bits(accumulate(mixture, data, 3), s));
}

TYPED_TEST(Accumulate, a_narrow_component_of_weight_0_takes_nothing) {
  auto mixture = random_mixture<TypeParam>(6, 3, 27);
  if (!TypeParam::shared) mixture.covariances.row(0) *= 1e-10;
  mixture.weights(0) = 0;
  mixture = gaussmix::from_covariances<TypeParam>(mixture.weights, mixture.means, mixture.covariances);
  Matrix x = rows_near(mixture, 700, 28);
  x.row(5) = mixture.means.row(0);
  const auto s = accumulate(mixture, Data(x));
  EXPECT_EQ(s.counts(0), 0);
  EXPECT_EQ(s.means.row(0), mixture.means.row(0));
  auto expected = reference::accumulate(mixture, x, {});
  for (Index j = 0; j < 3; ++j) expected.means(0, j) = mixture.means(0, j);
  EXPECT_TRUE(close(s, expected, 1e-10L));
  EXPECT_NEAR(gaussmix::score(gaussmix::LogProb<TypeParam>(mixture), Data(x)),
              static_cast<double>(expected.log_likelihood / expected.total_weight), 1e-11);
}

TYPED_TEST(Accumulate, far_apart_needle_thin_components) {
  const auto mixture = random_mixture<TypeParam>(3, 3, 15, 1e4, 1e6);
  Matrix x(900, 3);
  const Matrix z = normals(900, 3, 16);
  for (Index i = 0; i < 900; ++i) {
    Block row = mixture.means.row(i % 3).transpose();
    ASSERT_TRUE(TypeParam::add_coloured(mixture.covariance(i % 3), z.row(i).transpose(), row));
    x.row(i) = row.transpose();
  }
  // Smallest deviation 1e-3 at 1e4: the rows themselves have 1e-9 of it, but they are what both sides are given.
  EXPECT_TRUE(close(accumulate(mixture, Data(x)), reference::accumulate(mixture, x, {}), 1e-10L, 1e4L));
}

TYPED_TEST(Accumulate, a_count_of_a_denormal_number_is_no_error) {
  // Log-densities 735 nats apart: the responsibility is above 0, but its inverse is not finite.
  auto mixture = random_mixture<TypeParam>(2, 2, 17);
  mixture.covariances.setZero();
  for (Index m = 0; m < mixture.covariances.rows(); ++m)
    TypeParam::add_diagonal(mixture.covariances.row(m).data(), 2, 1);
  mixture.means << 0, 0, std::sqrt(2 * 735.0), 0;
  mixture = gaussmix::from_covariances<TypeParam>(Vector::Ones(2), mixture.means, mixture.covariances);
  for (const Index n : {1, 3, 64}) {
    const Matrix x = 0.01 * normals(n, 2, 18);
    ASSERT_NO_THROW({
      const auto s = accumulate(mixture, Data(x));
      EXPECT_TRUE(s.covariances.allFinite());
      EXPECT_NEAR(s.counts(0), static_cast<double>(n), 1e-12);
    }) << n
       << " rows";
  }
  // A responsibility of e^-680 in a row whose own weight is small beside that of the others.
  Matrix x(2, 2);
  x << -100, 0, 55 / std::sqrt(2 * 735.0), 0;
  const std::vector<double> weights{1, 1e-20};
  Data data(x);
  data.set_weights(weights.data());
  ASSERT_NO_THROW({
    const auto s = accumulate(mixture, data);
    EXPECT_TRUE(s.covariances.allFinite());
    EXPECT_NEAR(s.counts(0), 1, 1e-12);
  });
}

TYPED_TEST(Accumulate, errors) {
  const auto mixture = random_mixture<TypeParam>(2, 3, 19);
  Matrix x = rows_near(mixture, 10, 20);
  EXPECT_THROW(accumulate(mixture, Data(x.data(), 10, 2, 3)), std::invalid_argument);
  x(3, 1) = std::nan("");
  EXPECT_THROW(accumulate(mixture, Data(x)), std::invalid_argument);
}

TYPED_TEST(Accumulate, squares_that_overflow_are_an_error) {
  const auto mixture = random_mixture<TypeParam>(2, 3, 21);
  Matrix x = rows_near(mixture, 10, 22);
  for (const double far : {1e155, 1e160, 1e300}) {
    x(3, 1) = far;
    EXPECT_THROW(accumulate(mixture, Data(x)), gaussmix::DegenerateData) << far;
  }
}

TYPED_TEST(Accumulate, floats_keep_their_digits) {
  using MatrixF = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  unsigned seed = 50;
  for (const Index k : {1, 2, 6, 20}) {
    const auto mixture = random_mixture<TypeParam>(k, 3, ++seed, 0.5, 2);
    // Blocks of float products, and one row that takes its block to double.
    MatrixF x = (0.7 * normals(9000, 3, seed)).template cast<float>();
    x(10, 0) = 500;
    const auto weights = uniforms(9000, 0.5, 3, seed);
    Data data(x);
    data.set_weights(weights.data());
    const auto s = accumulate(mixture, data);
    EXPECT_TRUE(close(s, reference::accumulate(mixture, x.template cast<double>(), weights), 1e-5L)) << k;
    EXPECT_TRUE(same_bits(accumulate(mixture, data, 2), s));
  }
}

}  // namespace
