// The scatter of all rows, and passes that are given it, against sums in long double and passes that gather it.
#include "gaussmix/total_scatter.hpp"

#include "gaussmix/instances.hpp"
#include "gaussmix/passes.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::accumulate;
using gaussmix::Data;
using gaussmix::Products;
using gaussmix::Tied;
using gaussmix::total_scatter;

TEST(TotalScatter, about_any_origin_is_the_sum_over_the_rows) {
  for (const Index n : {1, 700, 3000})
    for (const Index d : {1, 3, 17}) {
      Matrix x = normals(n, d, 1);
      x.rowwise() += RowVector::LinSpaced(d, -50, 50);
      const auto weights = uniforms(static_cast<std::size_t>(n), 0, 3, 2);
      Data data(x);
      data.set_weights(weights.data());
      const auto total = total_scatter(data, 1);
      const gaussmix::Frame frame{x.row(0), RowVector::Constant(d, 0.25)};
      const Matrix about = total.about(frame);
      Real radius = 0;
      reference::Table expected(d, d);
      for (Index i = 0; i < n; ++i) {
        Real square = 0;
        for (Index j = 0; j < d; ++j) {
          const Real zj = (Real{x(i, j)} - x(0, j)) / 4;
          square += zj * zj;
          for (Index l = 0; l < d; ++l) expected(j, l) += data.weight(i) * zj * (Real{x(i, l)} - x(0, l)) / 4;
        }
        radius = std::max(radius, std::sqrt(square));
      }
      EXPECT_TRUE(close(about, expected, 1e-12L, n)) << n << " rows, " << d;
      EXPECT_GE(total.radius(frame), radius);
      EXPECT_LE(total.radius(frame), 4 * std::sqrt(static_cast<Real>(d)) * (1 + radius));
      EXPECT_EQ(total.about(frame), total_scatter(data, 3).about(frame));
    }
}

TEST(TotalScatter, a_pass_that_is_given_it_equals_the_reference) {
  unsigned seed = 10;
  int used = 0;
  for (const Index d : {1, 2, 9})
    for (const Index k : {1, 2, 12})
      for (const bool weighted : {false, true}) {
        const auto mixture = random_mixture<Tied>(k, d, ++seed);
        const Matrix x = rows_near(mixture, 1500, seed);
        const auto weights = uniforms(weighted ? 1500 : 0, 0, 3, seed);
        Data data(x);
        if (weighted) data.set_weights(weights.data());
        const auto total = total_scatter(data, 1);
        const auto s = accumulate(mixture, data, 1, Products::single, &total);
        EXPECT_TRUE(close(s, reference::accumulate(mixture, x, weights), 1e-11L)) << d << ", " << k;
        EXPECT_TRUE(same_bits(accumulate(mixture, data, 3, Products::single, &total), s));
        EXPECT_TRUE(same_bits(accumulate(mixture, data, 1, Products::none, &total),
                              accumulate(mixture, data, 1, Products::none)));
        used += accumulate(mixture, data).log_likelihood != s.log_likelihood;
      }
  EXPECT_GE(used, 6);  // the sums are others, so that some of the last digits are
}

TEST(TotalScatter, rows_of_float_too) {
  using MatrixF = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto mixture = random_mixture<Tied>(20, 3, 30, 0.5, 2);
  MatrixF x = (0.7 * normals(9000, 3, 31)).cast<float>();
  x(10, 0) = 50;  // its block goes to double
  const Data data(x);
  const auto total = total_scatter(data, 1);
  const auto s = accumulate(mixture, data, 1, Products::single, &total);
  EXPECT_TRUE(close(s, reference::accumulate(mixture, x.cast<double>(), {}), 1e-5L));
  EXPECT_NE(s.log_likelihood, accumulate(mixture, data, 1, Products::full, &total).log_likelihood);
}

TEST(TotalScatter, is_left_where_rows_may_go_centred) {
  const auto mixture = random_mixture<Tied>(3, 3, 40);
  for (const double far : {1e5, 1e60}) {
    Matrix x = rows_near(mixture, 1200, 41);
    x.middleRows(500, 300) *= far;
    const auto total = total_scatter(Data(x), 1);
    EXPECT_TRUE(same_bits(accumulate(mixture, Data(x), 1, Products::single, &total), accumulate(mixture, Data(x))))
        << far;
  }
  Matrix x = rows_near(mixture, 100, 42);
  for (const double bad : {std::nan(""), 1e160, 1e308, std::numeric_limits<double>::infinity()}) {
    x(7, 1) = bad;
    const auto total = total_scatter(Data(x), 1);
    EXPECT_EQ(total.radius({mixture.means.row(0), RowVector::Ones(3)}), std::numeric_limits<double>::infinity());
    EXPECT_ANY_THROW(accumulate(mixture, Data(x), 1, Products::single, &total)) << bad;
  }
}

TEST(TotalScatter, offsets_lose_no_digits) {
  // A first row far from the mean, sorted rows, and an offset: the point that moments are about is near the mean.
  const auto mixture = random_mixture<Tied>(2, 4, 50);
  Matrix x = rows_near(mixture, 3000, 51);
  x.row(0) *= 20;
  auto shifted = mixture;
  shifted.means.array() += 1e6;
  x.array() += 1e6;
  std::sort(x.col(0).begin(), x.col(0).end());
  const auto total = total_scatter(Data(x), 1);
  EXPECT_TRUE(close(accumulate(shifted, Data(x), 1, Products::single, &total), reference::accumulate(shifted, x, {}),
                    1e-10L, 1e6L));
}

TEST(TotalScatter, rows_without_weight_do_not_count) {
  const auto mixture = random_mixture<Tied>(3, 4, 52);
  Matrix x = rows_near(mixture, 4000, 53);
  auto shifted = mixture;
  shifted.means.array() += 1e6;
  x.array() += 1e6;
  std::vector<double> weights(4000);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = static_cast<double>(i % 2);  // none of them in steps of two
  Data data(x);
  data.set_weights(weights.data());
  const auto total = total_scatter(data, 2);
  EXPECT_LT(total.radius({shifted.means.row(0), RowVector::Ones(4)}), 100);
  const auto s = accumulate(shifted, data, 1, Products::single, &total);
  EXPECT_TRUE(close(s, reference::accumulate(shifted, x, weights), 1e-10L, 1e6L));
  for (const double far : {1e200, std::numeric_limits<double>::infinity()}) {
    x.row(0).setConstant(far);
    const auto other = total_scatter(data, 1);
    EXPECT_EQ(other.radius({shifted.means.row(0), RowVector::Ones(4)}), std::numeric_limits<double>::infinity());
    EXPECT_TRUE(same_bits(accumulate(shifted, data, 1, Products::single, &other), accumulate(shifted, data)));
  }
}

TEST(TotalScatter, is_tight_in_any_units) {
  // Of normal rows the farthest is some deviations beyond sqrt(d); the bound holds it to a factor of two.
  Matrix x = normals(3000, 64, 54);
  const RowVector unit = RowVector::LinSpaced(64, -140, 140).unaryExpr([](double e) { return std::pow(10.0, e); });
  x = x * unit.asDiagonal();
  const gaussmix::Frame frame{RowVector::Zero(64), unit.cwiseInverse()};
  const double farthest = (x * frame.scale.asDiagonal()).rowwise().norm().maxCoeff();
  const auto total = total_scatter(Data(x), 1);
  EXPECT_GE(total.radius(frame), farthest);
  EXPECT_LE(total.radius(frame), 2 * farthest);
  const Matrix about = total.about(frame) / 3000;
  EXPECT_LT((about - Matrix::Identity(64, 64)).cwiseAbs().maxCoeff(), 0.2);
}

TEST(TotalScatter, of_other_features_is_refused) {
  const auto mixture = random_mixture<Tied>(2, 3, 55);
  const auto total = total_scatter(Data(normals(10, 4, 56)), 1);
  const Matrix x = normals(10, 3, 57);
  EXPECT_THROW(accumulate(mixture, Data(x), 1, Products::single, &total), std::invalid_argument);
}

TEST(TotalScatter, passes_over_data_use_it) {
  const auto mixture = random_mixture<Tied>(4, 9, 60);
  const Matrix x = rows_near(mixture, 2000, 61);
  const gaussmix::PassesOverData<Tied> passes(x, 2);
  const auto total = total_scatter(Data(x), 1);
  const auto with = accumulate(mixture, Data(x), 1, Products::single, &total);
  EXPECT_TRUE(same_bits(passes.accumulate(mixture, Products::single), with));
  EXPECT_FALSE(same_bits(accumulate(mixture, Data(x)), with));
  EXPECT_NEAR(passes.score(mixture), with.mean_log_likelihood(), 1e-11);
}

}  // namespace
