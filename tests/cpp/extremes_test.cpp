// Precision at the ends of the range: rows shifted by 1e8, in units of 1e-150 and 1e150, one feature unlike the others,
// and values that only rows without weight have.
#include "gaussmix/accumulate.hpp"
#include "gaussmix/instances.hpp"
#include "gaussmix/kmeans.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::accumulate;
using gaussmix::Data;
using gaussmix::KMeans;

template <class Covariance>
struct Extremes : testing::Test {
  static constexpr Index n = 1000, d = 3;
  gaussmix::Mixture<Covariance> mixture = random_mixture<Covariance>(3, d, 1);
  Matrix x = rows_near(mixture, n, 2);
};
TYPED_TEST_SUITE(Extremes, AllTypes, TypeNames);

TYPED_TEST(Extremes, rows_shifted_by_1e8) {
  this->mixture.means.array() += 1e8;
  this->x.array() += 1e8;  // the digit of a row is now 1.5e-8
  const auto s = accumulate(this->mixture, Data(this->x));
  const auto m = reference::accumulate(this->mixture, this->x, {});
  EXPECT_TRUE(close(s.counts, column(m.counts), 1e-10L));
  EXPECT_TRUE(close(s.means, m.means, 1e-15L));  // of 1e8
  EXPECT_TRUE(close(s.covariances, m.covariances, 2e-8L));
  EXPECT_NEAR(s.mean_log_likelihood(), static_cast<double>(m.log_likelihood / m.total_weight), 1e-11);
}

TYPED_TEST(Extremes, rows_in_units_of_1e150_and_1e_150) {
  for (const double unit : {1e-150, 1e-20, 1e20, 1e150}) {
    const auto mixture = gaussmix::from_covariances<TypeParam>(this->mixture.weights, unit * this->mixture.means,
                                                               unit * unit * this->mixture.covariances);
    const Matrix x = unit * this->x;
    const auto s = accumulate(mixture, Data(x));
    EXPECT_TRUE(close(s, reference::accumulate(mixture, x, {}), 1e-11L, unit)) << unit;
  }
}

TYPED_TEST(Extremes, features_in_units_of_their_own) {
  RowVector scale = RowVector::Constant(3, 1e3);
  if (TypeParam::entries(3) > 1) scale << 1e-12, 1, 1e12;
  for (Index m = 0; m < this->mixture.covariances.rows(); ++m)
    TypeParam::rescale(this->mixture.covariances.row(m).data(), scale);
  const auto mixture = gaussmix::from_covariances<TypeParam>(
      this->mixture.weights, this->mixture.means * scale.asDiagonal(), this->mixture.covariances);
  const Matrix x = this->x * scale.asDiagonal();
  auto s = accumulate(mixture, Data(x));
  const auto m = reference::accumulate(mixture, x, {});
  // Each entry by the deviations of its own two features.
  for (Index r = 0; r < s.covariances.rows(); ++r) {
    const Table expected = reference::dense(TypeParam{}, rounded(Table(s.covariances.row(r))).data(), 3);
    Table exact(1, m.covariances.cols);
    for (Index j = 0; j < exact.cols; ++j) exact(0, j) = m.covariances(r, j);
    const Table truth = reference::dense(TypeParam{}, rounded(exact).data(), 3);
    for (Index i = 0; i < 3; ++i)
      for (Index j = 0; j < 3; ++j)
        EXPECT_LE(std::abs(expected(i, j) - truth(i, j)), 1e-10L * std::sqrt(truth(i, i) * truth(j, j)));
  }
  for (Index j = 0; j < 3; ++j)
    for (Index c = 0; c < 3; ++c)
      EXPECT_NEAR(s.means(c, j) / scale(j), static_cast<double>(m.means(c, j)) / scale(j), 1e-11);
}

TYPED_TEST(Extremes, rows_without_weight_may_overflow) {
  std::vector<double> weights(static_cast<std::size_t>(this->n), 1.0);
  weights[10] = 0;
  const auto expected = accumulate(this->mixture, Data(this->x).set_weights(weights.data()));
  this->x.row(10).setConstant(1e200);
  ASSERT_NO_THROW({
    const auto s = accumulate(this->mixture, Data(this->x).set_weights(weights.data()));
    EXPECT_TRUE(close(s.covariances, expected.covariances, 1e-11L));
  });
}

TEST(ExtremesOfKMeans, spread_is_that_of_the_rows) {
  const Matrix x = normals(500, 3, 3);
  for (const double unit : {1e-290, 1e-150, 1.0, 1e150, 1e290})
    for (const double offset : {0.0, 1e8}) {
      const Matrix rows = unit * (x.array() + offset);
      const Data data(rows);
      const KMeans kmeans(data, 1, 1, {});
      const auto m = reference::moments<gaussmix::Spherical>(rows, Table(Matrix::Ones(500, 1)));
      EXPECT_TRUE(close(kmeans.spread().mean, m.means, 1e-15L, unit * (1 + offset)));
      const Real variance = Real{kmeans.spread().variance} / kmeans.spread().unit / kmeans.spread().unit;
      EXPECT_NEAR(static_cast<double>(variance / m.covariances(0, 0)), 1, 1e-12) << unit << " " << offset;
    }
}

TEST(ExtremesOfKMeans, rows_that_are_no_numbers_are_refused_if_they_count) {
  std::vector<double> weights(500, 1.0);
  for (const Index row : {0, 77})
    for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
      Matrix x = normals(500, 3, 5);
      x(row, 1) = bad;
      EXPECT_THROW(gaussmix::measure_spread(Data(x), 1), std::invalid_argument) << bad;
      weights[static_cast<std::size_t>(row)] = 0;
      const auto spread = gaussmix::measure_spread(Data(x).set_weights(weights.data()), 1);
      x.row(row).setZero();
      const auto expected = gaussmix::measure_spread(Data(x).set_weights(weights.data()), 1);
      EXPECT_TRUE(close(spread.mean, Table(Matrix(expected.mean)), 1e-12L, 1));
      weights[static_cast<std::size_t>(row)] = 1;
    }
  Matrix x = normals(500, 3, 6);
  x(0, 0) = 1.7e308;  // what others are compared with
  x(400, 0) = -1.7e308;
  EXPECT_THROW(gaussmix::measure_spread(Data(x), 1), gaussmix::DegenerateData);
}

TEST(ExtremesOfKMeans, the_first_row_may_be_absent_and_far_away) {
  Matrix x = normals(500, 3, 4);
  std::vector<double> weights(500, 1.0);
  weights[0] = 0;
  const Matrix present = x.bottomRows(499);
  const Data expected(present);
  x.row(0).setConstant(1e17);
  Data data(x);
  data.set_weights(weights.data());
  const KMeans kmeans(data, 1, 1, {}), other(expected, 1, 1, {});
  EXPECT_TRUE(close(kmeans.spread().mean, other.spread().mean, 1e-12L, 1));
  EXPECT_NEAR(kmeans.spread().variance / std::pow(kmeans.spread().unit, 2),
              other.spread().variance / std::pow(other.spread().unit, 2), 1e-12);
}

}  // namespace
