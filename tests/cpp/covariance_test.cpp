// The contract of a covariance type: each word of its vocabulary means what the dense matrix that it stands for says.
#include "gaussmix/covariance.hpp"

#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Block;
using reference::dense;
using reference::stored;

template <class Covariance>
struct CovarianceType : testing::Test {
  static constexpr Index dimensions[6] = {1, 2, 3, 7, 20, 41};

  static RowVector stored_covariance(Index d, unsigned seed) {
    return rounded(stored(Covariance{}, random_covariance(d, 100, seed)));
  }
  static Table dense_of(const RowVector& m, Index d) { return dense(Covariance{}, m.data(), d); }

  /// Rows that lie `row_stride` apart.
  static Matrix apart(const Block& x) {
    Matrix rows = Matrix::Zero(x.rows(), gaussmix::row_stride(x.cols()));
    rows.leftCols(x.cols()) = x;
    return rows;
  }

  /// Powers of two; equal where the type has one variance for all features.
  static RowVector scales(Index d) {
    RowVector s(d);
    for (Index j = 0; j < d; ++j) s(j) = std::ldexp(1.0, Covariance::entries(d) == 1 ? 5 : static_cast<int>(j % 5) - 2);
    return s;
  }
};
TYPED_TEST_SUITE(CovarianceType, AllTypes, TypeNames);

TYPED_TEST(CovarianceType, factor_is_the_cholesky_factor_of_the_precision) {
  for (const Index d : this->dimensions) {
    const RowVector sigma = this->stored_covariance(d, 1);
    RowVector u(sigma.size());
    ASSERT_TRUE(TypeParam::factor(sigma.data(), d, 0, u.data()));
    EXPECT_TRUE(
        close(Matrix(TypeParam::dense(u.data(), d)), reference::precision_factor(this->dense_of(sigma, d)), 1e-12L));
  }
}

TYPED_TEST(CovarianceType, factor_refuses_what_is_not_positive_definite) {
  const Index d = 3;
  for (const double bad : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    RowVector sigma = this->stored_covariance(d, 2), u = sigma;
    sigma(sigma.size() - 1) = bad;
    EXPECT_FALSE(TypeParam::factor(sigma.data(), d, 0, u.data())) << bad;
  }
}

TYPED_TEST(CovarianceType, factor_precision_inverts) {
  for (const Index d : this->dimensions) {
    const RowVector sigma = this->stored_covariance(d, 3);
    const Table inverse = reference::inverse(this->dense_of(sigma, d));
    const RowVector p = rounded(stored(TypeParam{}, inverse));
    RowVector u(p.size()), back(p.size());
    ASSERT_TRUE(TypeParam::factor_precision(p.data(), d, u.data()));
    EXPECT_TRUE(
        close(Matrix(TypeParam::dense(u.data(), d)), reference::precision_factor(this->dense_of(sigma, d)), 1e-12L));
    TypeParam::precision(u.data(), d, back.data());
    EXPECT_TRUE(close(back, p, 1e-13L));
    TypeParam::covariance(u.data(), d, back.data());
    EXPECT_TRUE(close(back, sigma, 1e-12L));
  }
}

TYPED_TEST(CovarianceType, factor_precision_refuses_what_is_not_positive_definite) {
  RowVector p = this->stored_covariance(3, 4), u = p;
  p(p.size() - 1) = -1;
  EXPECT_FALSE(TypeParam::factor_precision(p.data(), 3, u.data()));
}

TYPED_TEST(CovarianceType, log_det_is_half_the_log_of_the_determinant_of_the_precision) {
  for (const Index d : this->dimensions) {
    const RowVector sigma = this->stored_covariance(d, 5);
    RowVector u(sigma.size());
    ASSERT_TRUE(TypeParam::factor(sigma.data(), d, 0, u.data()));
    const Table lower = reference::cholesky(this->dense_of(sigma, d));
    Real expected = 0;
    for (Index j = 0; j < d; ++j) expected -= std::log(lower(j, j));
    EXPECT_NEAR(TypeParam::log_det(u.data(), d), static_cast<double>(expected), 1e-12 * static_cast<double>(d));
  }
}

TYPED_TEST(CovarianceType, squared_norms_are_those_of_rows_times_the_factor) {
  for (const Index d : this->dimensions) {
    const RowVector sigma = this->stored_covariance(d, 6);
    RowVector u(sigma.size());
    ASSERT_TRUE(TypeParam::factor(sigma.data(), d, 0, u.data()));
    const Block x = normals(gaussmix::padded<double>(75), d, 7);
    const Table y = reference::product(x, this->dense_of(u, d));
    for (const Index rows : {Index{1}, Index{9}, gaussmix::panel_rows<double>, Index{50}, Index{75}}) {
      Vector squares = Vector::Constant(rows, 99);  // what was there before does not count
      Vector of_rows = squares;
      TypeParam::squared_norms(x, u.data(), squares);
      const Matrix apart = this->apart(x);
      TypeParam::squared_norms(gaussmix::Rows(apart.topLeftCorner(rows, d)), u.data(), of_rows);
      for (Index n = 0; n < rows; ++n) {
        Real expected = 0;
        for (Index j = 0; j < d; ++j) expected += y(n, j) * y(n, j);
        EXPECT_NEAR(squares(n), static_cast<double>(expected), 1e-14 * static_cast<double>(d * expected)) << rows;
        EXPECT_NEAR(of_rows(n), static_cast<double>(expected), 1e-14 * static_cast<double>(d * expected)) << rows;
      }
    }
  }
}

TYPED_TEST(CovarianceType, make_upper_keeps_the_precision_of_any_factor) {
  for (const Index d : this->dimensions) {
    const RowVector sigma = this->stored_covariance(d, 19);
    RowVector u(sigma.size()), precision(sigma.size()), back(sigma.size());
    ASSERT_TRUE(TypeParam::factor(sigma.data(), d, 0, u.data()));
    const RowVector upper = u;
    EXPECT_TRUE(TypeParam::make_upper(u.data(), d));
    EXPECT_EQ(u, upper);
    if (TypeParam::entries(d) != d * d) continue;
    TypeParam::precision(u.data(), d, precision.data());
    // Columns in another order are a factor too, that of a lower one among them.
    Eigen::Map<Matrix> square(u.data(), d, d);
    square = Matrix(square.rowwise().reverse());
    EXPECT_TRUE(TypeParam::make_upper(u.data(), d));
    EXPECT_TRUE(square.template triangularView<Eigen::StrictlyLower>().toDenseMatrix().isZero(0));
    TypeParam::precision(u.data(), d, back.data());
    EXPECT_TRUE(close(Eigen::Map<const Matrix>(back.data(), d, d), this->dense_of(precision, d), 1e-13L));
  }
}

TYPED_TEST(CovarianceType, add_scatter_and_add_outer_add_projected_outer_products) {
  for (const Index d : this->dimensions)
    for (const Index count : {13, 1}) {
      const Block x = normals(count + 2, d, 8);  // the rows after those that have a weight do not count
      const Vector r = normals(count, 1, 9).cwiseAbs();
      const RowVector before = this->stored_covariance(d, 10);
      RowVector scatter = before, of_rows = before, outer = before, sums = RowVector::Ones(d);
      TypeParam::add_scatter(x, r, scatter.data());
      TypeParam::symmetrize(scatter.data(), d);
      const Matrix apart = this->apart(x);
      const gaussmix::Rows rows = apart.topLeftCorner(count, d);
      TypeParam::add_scatter(rows, r, of_rows.data());
      TypeParam::symmetrize(of_rows.data(), d);
      gaussmix::add_sums(rows, r, sums.data());
      for (Index n = 0; n < count; ++n) TypeParam::add_outer(outer.data(), x.row(n), r(n));
      Table sum = this->dense_of(before, d);
      for (Index n = 0; n < count; ++n)
        for (Index i = 0; i < d; ++i)
          for (Index j = 0; j < d; ++j) sum(i, j) += Real{r(n)} * Real{x(n, i)} * Real{x(n, j)};
      EXPECT_TRUE(close(scatter, stored(TypeParam{}, sum), 1e-14L));
      EXPECT_TRUE(close(of_rows, stored(TypeParam{}, sum), 1e-14L));
      EXPECT_TRUE((sums - RowVector::Ones(d)).isApprox(r.transpose() * x.topRows(count), 1e-13));
      EXPECT_TRUE(close(outer, stored(TypeParam{}, sum), 1e-14L));
    }
}

TYPED_TEST(CovarianceType, rescale_is_the_covariance_of_scaled_rows) {
  for (const Index d : this->dimensions) {
    const RowVector sigma = this->stored_covariance(d, 11), scale = this->scales(d);
    RowVector scaled = sigma, u(sigma.size()), expected(sigma.size());
    TypeParam::rescale(scaled.data(), scale);
    Table sum = this->dense_of(sigma, d);
    for (Index i = 0; i < d; ++i)
      for (Index j = 0; j < d; ++j) sum(i, j) *= Real{scale(i)} * Real{scale(j)};
    EXPECT_TRUE(close(scaled, stored(TypeParam{}, sum), 1e-15L));
    ASSERT_TRUE(TypeParam::factor(sigma.data(), d, 0, u.data()));
    ASSERT_TRUE(TypeParam::factor(scaled.data(), d, 0, expected.data()));
    TypeParam::rescale_factor(u.data(), scale);
    EXPECT_TRUE(close(u, expected, 1e-12L));
  }
}

TYPED_TEST(CovarianceType, features_times_coefficients_are_the_log_density) {
  for (const Index d : this->dimensions) {
    const RowVector sigma = this->stored_covariance(d, 12);
    RowVector u(sigma.size()), p(sigma.size());
    ASSERT_TRUE(TypeParam::factor(sigma.data(), d, 0, u.data()));
    TypeParam::precision(u.data(), d, p.data());
    const Block z = normals(9, d, 13);
    const Index features = TypeParam::features(d);
    Eigen::ArrayXXd phi = Eigen::ArrayXXd::Constant(9, features, 99);
    phi.col(0) = 1;
    phi.middleCols(1, d) = z;
    const Index quadratic = features - 1 - d;
    if (quadratic > 0) TypeParam::expand(z.array(), 0, phi.rightCols(quadratic));
    for (Index first = 0; first < quadratic; ++first) {  // slices of them, as long as three
      const Index count = std::min<Index>(3, quadratic - first);
      Eigen::ArrayXXd some(9, count);
      TypeParam::expand(z.array(), first, some.rightCols(count));
      EXPECT_TRUE((some == phi.middleCols(1 + d + first, count)).all()) << first;
    }

    // With mu: -|U^T (z - mu)|^2 / 2 = -mu P mu / 2 + z P mu - z P z / 2
    const Vector mu = normals(d, 1, 14);
    const Matrix dense_p = TypeParam::dense(p.data(), d);
    Vector theta(features);
    theta(0) = -0.5 * mu.dot(dense_p * mu);
    theta.segment(1, d) = dense_p * mu;
    TypeParam::quadratic_coefficients(p.data(), d, theta.tail(features - 1 - d));
    Vector log_density = phi.matrix() * theta;
    if (TypeParam::shared) log_density -= 0.5 * (z * Matrix(TypeParam::dense(u.data(), d))).rowwise().squaredNorm();
    const Table inverse = reference::inverse(this->dense_of(sigma, d));
    for (Index n = 0; n < 9; ++n) {
      Real expected = 0;
      for (Index i = 0; i < d; ++i)
        for (Index j = 0; j < d; ++j)
          expected -= inverse(i, j) * (Real{z(n, i)} - Real{mu(i)}) * (Real{z(n, j)} - Real{mu(j)}) / 2;
      EXPECT_NEAR(log_density(n), static_cast<double>(expected), 1e-11 * (1 + static_cast<double>(-expected)));
    }
  }
}

TYPED_TEST(CovarianceType, sums_over_features_hold_the_second_moment) {
  for (const Index d : this->dimensions) {
    const Block z = normals(17, d, 15);
    const Vector r = normals(17, 1, 16).cwiseAbs();
    Eigen::ArrayXXd phi(17, TypeParam::features(d) - 1 - d);
    if (phi.cols() > 0) TypeParam::expand(z.array(), 0, phi.rightCols(phi.cols()));
    Table sum(d, d);
    for (Index n = 0; n < 17; ++n)
      for (Index i = 0; i < d; ++i)
        for (Index j = 0; j < d; ++j) sum(i, j) += Real{r(n)} * Real{z(n, i)} * Real{z(n, j)};
    RowVector second = RowVector::Zero(TypeParam::entries(d));
    Matrix total = Matrix::Zero(d, d);
    TypeParam::second_moment(phi.matrix().transpose() * r, d, second.data());
    TypeParam::add_total(z, r, total);
    if (TypeParam::shared) TypeParam::symmetrize(total.data(), d);
    if (TypeParam::shared)
      EXPECT_TRUE(close(total, sum, 1e-14L));
    else
      EXPECT_TRUE(close(second, stored(TypeParam{}, sum), 1e-14L));
  }
}

TYPED_TEST(CovarianceType, coloured_gives_the_covariance_to_standard_normal_columns) {
  for (const Index d : this->dimensions) {
    const RowVector sigma = this->stored_covariance(d, 17);
    const Block identity = Block::Identity(d, d);
    Block a = Block::Constant(d, d, 7);
    ASSERT_TRUE(TypeParam::add_coloured(sigma.data(), identity, a));
    a.array() -= 7;
    EXPECT_TRUE(close(Matrix(a * a.transpose()), this->dense_of(sigma, d), 1e-13L));
    RowVector bad = sigma;
    bad(bad.size() - 1) = -1;
    EXPECT_FALSE(TypeParam::add_coloured(bad.data(), identity, a));
  }
}

TYPED_TEST(CovarianceType, entries_of_the_diagonal) {
  for (const Index d : this->dimensions) {
    RowVector sigma = this->stored_covariance(d, 18);
    const Table expected = this->dense_of(sigma, d);
    EXPECT_TRUE(close(Matrix(TypeParam::dense(sigma.data(), d)), expected, 0));
    TypeParam::add_diagonal(sigma.data(), d, 0.25);
    for (Index j = 0; j < d; ++j)
      EXPECT_DOUBLE_EQ(TypeParam::variance(sigma.data(), d, j), static_cast<double>(expected(j, j)) + 0.25);
    for (Index j = 0; j < d; ++j)
      for (Index i = 0; i < j; ++i) EXPECT_EQ(Real{TypeParam::dense(sigma.data(), d)(i, j)}, expected(i, j));
    TypeParam::symmetrize(sigma.data(), d);
    const Matrix symmetric = TypeParam::dense(sigma.data(), d);
    EXPECT_TRUE(symmetric == symmetric.transpose());
  }
}

TEST(FullCovariance, symmetrize_takes_out_what_rounding_left) {
  RowVector sigma(4);
  sigma << 2, 0.5, 0.5000001, 3;
  gaussmix::Full::symmetrize(sigma.data(), 2);
  EXPECT_EQ(sigma(1), sigma(2));
}

TEST(FullCovariance, factor_refuses_an_indefinite_matrix_and_small_pivots) {
  RowVector indefinite(4), near_singular(4), u(4);
  indefinite << 1, 2, 2, 1;
  EXPECT_FALSE(gaussmix::Full::factor(indefinite.data(), 2, 0, u.data()));
  near_singular << 1, 1, 1, 1 + 1e-12;  // the second pivot is 1e-12 of its variance
  EXPECT_TRUE(gaussmix::Full::factor(near_singular.data(), 2, 1e-13, u.data()));
  EXPECT_FALSE(gaussmix::Full::factor(near_singular.data(), 2, 1e-11, u.data()));
}

}  // namespace
