// Views of rows: what is loaded are the numbers that the caller's array holds, whatever its layout.
#include "gaussmix/data.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Block;
using gaussmix::Data;

/// Loads all rows in two parts and compares them, and single values, with x.
void expect_rows(const Data& data, const Matrix& x) {
  ASSERT_EQ(data.rows(), x.rows());
  ASSERT_EQ(data.cols(), x.cols());
  Block loaded(x.rows(), x.cols());
  const Index cut = x.rows() / 3;
  data.load(0, loaded.topRows(cut));
  data.load(cut, loaded.bottomRows(x.rows() - cut));
  EXPECT_TRUE(loaded == x);
  for (Index i = 0; i < x.rows(); ++i)
    for (Index j = 0; j < x.cols(); ++j) ASSERT_EQ(data(i, j), x(i, j));
  // In a frame, into a part of a matrix; and some rows of it, in another order.
  gaussmix::Frame frame{RowVector::LinSpaced(x.cols(), -1, 2), RowVector(x.cols())};
  for (Index j = 0; j < x.cols(); ++j) frame.scale(j) = std::ldexp(1.0, static_cast<int>(j % 7) - 3);
  const Matrix framed = (x.rowwise() - frame.origin) * frame.scale.asDiagonal();
  Block wide = Block::Zero(x.rows() + 2, x.cols() + 1);
  data.load(0, wide.block(1, 0, x.rows(), x.cols()), frame);
  EXPECT_EQ(wide.block(1, 0, x.rows(), x.cols()), framed);
  EXPECT_TRUE((wide.row(0).array() == 0).all() && (wide.bottomRows(1).array() == 0).all());
  std::vector<Index> rows;
  for (Index i = x.rows(); i-- > 0;)
    if (i % 3 != 1) rows.push_back(i);
  Block listed(static_cast<Index>(rows.size()), x.cols());
  const Index half = (listed.rows() + 1) / 2;  // of what is listed
  data.load(rows.data(), listed.rows(), listed.topRows(half), frame);
  data.load(rows.data() + half, listed.rows() - half, listed.bottomRows(listed.rows() - half), frame);
  EXPECT_EQ(listed, framed(rows, Eigen::all));
}

TEST(DataView, row_major_and_column_major) {
  const Matrix x = normals(10, 3, 1);
  const Eigen::MatrixXd by_column = x;
  const Eigen::MatrixXf single_by_column = x.cast<float>();
  expect_rows(Data(x), x);
  expect_rows(Data(by_column), x);
  expect_rows(Data(single_by_column), single_by_column.cast<double>());
}

TEST(DataView, rows_of_any_size_are_turned) {
  for (const Index d : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 19})
    for (const Index n : {1, 7, 8, 12, 23, 24, 61}) {
      const Matrix wide = normals(n, d + 1, 1), x = wide.leftCols(d);
      const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> single = x.cast<float>();
      expect_rows(Data(single), single.cast<double>());
      expect_rows(Data(x), x);
      expect_rows(Data(wide.leftCols(d)), x);
    }
}

TEST(DataView, one_column_or_one_row) {
  const Vector x = normals(10, 1, 2);
  expect_rows(Data(x), x);
  const RowVector row = normals(1, 5, 3);
  expect_rows(Data(row), row);
}

TEST(DataView, mapped_matrices_with_strides) {
  const Matrix x = normals(10, 6, 4);
  const Eigen::Map<const Matrix, 0, Eigen::OuterStride<>> left(x.data(), 10, 2, Eigen::OuterStride<>(6));
  expect_rows(Data(left), x.leftCols(2));
  using Stride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
  const Eigen::Map<const Matrix, 0, Stride> every_second(x.data(), 5, 3, Stride(12, 2));
  Matrix expected(5, 3);
  for (Index i = 0; i < 5; ++i)
    for (Index j = 0; j < 3; ++j) expected(i, j) = x(2 * i, 2 * j);
  expect_rows(Data(every_second), expected);
}

TEST(DataView, parts_of_matrices) {
  const Matrix x = normals(10, 6, 4);
  const Eigen::MatrixXf by_column = x.cast<float>();
  expect_rows(x.middleRows(2, 5), x.middleRows(2, 5));
  expect_rows(x.block(1, 2, 7, 3), x.block(1, 2, 7, 3));
  expect_rows(by_column.rightCols(4), by_column.rightCols(4).cast<double>());
  expect_rows(x.col(3), x.col(3));
  expect_rows(x.row(3), x.row(3));
  expect_rows(x.transpose(), x.transpose());
  expect_rows(Eigen::Ref<const Matrix>(x.leftCols(4)), x.leftCols(4));
  static_assert(!std::is_convertible_v<decltype(x + x), Data>, "the sum is nowhere in memory");
}

TEST(DataView, negative_strides) {
  const Matrix x = normals(8, 3, 5);
  expect_rows(Data(x.data() + 7 * 3, 8, 3, -3), x.colwise().reverse());
  expect_rows(Data(x.data() + 8 * 3 - 1, 8, 3, -3, -1), x.reverse());
  const Matrix wide = normals(61, 19, 2);  // registers full of columns, and a part of one
  expect_rows(Data(wide.data() + 60 * 19, 61, 19, -19), wide.colwise().reverse());
}

TEST(DataView, columns_of_two_types_in_arrays_of_their_own) {
  const Vector a = normals(7, 1, 6);
  const Eigen::VectorXf b = normals(14, 1, 7).cast<float>();
  Matrix expected(7, 2);
  for (Index i = 0; i < 7; ++i) expected.row(i) << a(i), static_cast<double>(b(2 * i));
  expect_rows(Data({{a.data(), 1, false}, {b.data(), 2, true}}, 7), expected);
}

TEST(DataView, sizes_must_be_positive) {
  const double x = 1;
  EXPECT_THROW(Data(&x, 0, 1, 1), std::invalid_argument);
  EXPECT_THROW(Data(&x, 1, 0, 1), std::invalid_argument);
  EXPECT_THROW(Data(std::vector<gaussmix::Column>{}, 1), std::invalid_argument);
}

TEST(DataWeights, absent_weights_are_ones) {
  const Matrix x = normals(4, 2, 8);
  const Data data(x);
  EXPECT_FALSE(data.weighted());
  Vector w(3);
  data.load_weights(1, w);
  EXPECT_TRUE(w == Vector::Ones(3));
  EXPECT_EQ(data.weight(2), 1);
  EXPECT_EQ(data.weight_scale(), 1);
}

TEST(DataWeights, the_scale_is_a_power_of_two_and_exact) {
  const Matrix x = normals(3, 2, 9);
  constexpr double tiniest = std::numeric_limits<double>::denorm_min(), largest = std::numeric_limits<double>::max();
  for (const double unit : {tiniest, 1e-300, 0.3, 1.0, 5.0, 1e20, 1e300, largest}) {
    const std::vector<double> weights{0, unit, unit / 4};
    Data data(x);
    data.set_weights(weights.data());
    EXPECT_TRUE(data.weighted());
    int exponent = 0;
    EXPECT_EQ(std::frexp(data.weight_scale(), &exponent), 0.5) << unit;
    EXPECT_TRUE(std::isfinite(1 / data.weight_scale())) << unit;
    if (unit >= 1e-300) {
      EXPECT_GE(data.weight(1), 1) << unit;
      EXPECT_LT(data.weight(1), 2) << unit;
    }
    Vector w(3);
    data.load_weights(0, w);
    for (Index i = 0; i < 3; ++i) {
      EXPECT_EQ(w(i) / data.weight_scale(), weights[static_cast<std::size_t>(i)]) << unit;
      EXPECT_EQ(w(i), data.weight(i));
    }
  }
}

TEST(DataWeights, bad_weights_are_refused) {
  const Matrix x = normals(3, 2, 10);
  for (const double bad : {-1.0, std::nan(""), HUGE_VAL}) {
    const std::vector<double> weights{1, bad, 1};
    EXPECT_THROW(Data(x).set_weights(weights.data()), std::invalid_argument) << bad;
  }
  const std::vector<double> zeros(3, 0.0);
  EXPECT_THROW(Data(x).set_weights(zeros.data()), std::invalid_argument);
}

}  // namespace
