// Log-densities and responsibilities of a block of rows, in each kernel, against the reference.
#include "gaussmix/log_prob.hpp"

#include <Eigen/Eigenvalues>
#include <numeric>

#include "gaussmix/instances.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::BlockBuffers;
using gaussmix::Data;
using gaussmix::Kernel;
using gaussmix::LogProb;
using gaussmix::Mixture;
using gaussmix::Products;

template <class Covariance>
struct LogProbOf : testing::Test {
  /// The E-step of all rows as one block.
  static BlockBuffers<Covariance> expect(const Mixture<Covariance>& mixture, const Matrix& x,
                                         Products products = Products::full) {
    BlockBuffers<Covariance> block;
    LogProb<Covariance>(mixture, 1, products).expect(Data(x), 0, x.rows(), block);
    return block;
  }

  /// Compares with the reference: `tolerance` nats, and rounding of the log-density itself.
  static void compare(const Mixture<Covariance>& mixture, const Matrix& x, bool dense, double tolerance) {
    compare(mixture, x, dense ? Kernel::dense : Kernel::centred, tolerance);
  }
  static void compare(const Mixture<Covariance>& mixture, const Matrix& x, Kernel kernel, double tolerance,
                      Products products = Products::full) {
    const auto block = expect(mixture, x, products);
    const auto e = reference::expect(mixture, x);
    EXPECT_EQ(block.kernel, kernel);
    for (Index i = 0; i < x.rows(); ++i) {
      const auto expected = static_cast<double>(e.log_norm[static_cast<std::size_t>(i)]);
      ASSERT_NEAR(block.log_norm(i), expected, tolerance + 1e-14 * std::abs(expected)) << "row " << i;
      ASSERT_NEAR(block.responsibilities().row(i).sum(), 1, 1e-14);
    }
    EXPECT_TRUE(close(block.responsibilities(), e.r, tolerance, 1));
  }
};
TYPED_TEST_SUITE(LogProbOf, AllTypes, TypeNames);

TYPED_TEST(LogProbOf, dense_kernel_equals_the_reference) {
  unsigned seed = 0;
  for (const Index n : {1, 5, 33, 257})
    for (const Index d : {1, 2, 5, 12})
      for (const Index k : {1, 2, 7}) {
        const auto mixture = random_mixture<TypeParam>(k, d, ++seed);
        this->compare(mixture, rows_near(mixture, n, seed), !TypeParam::centred_pays(d, k), 1e-11);
      }
}

TYPED_TEST(LogProbOf, centred_kernel_equals_the_reference) {
  unsigned seed = 100;
  for (const Index n : {1, 5, 130})
    for (const Index d : {1, 2, 5})
      for (const Index k : {2, 7}) {
        const auto mixture = random_mixture<TypeParam>(k, d, ++seed, 1e6);
        this->compare(mixture, rows_near(mixture, n, seed), Kernel::centred, 1e-8, Products::none);
        if (!TypeParam::shared && k > 2) this->compare(mixture, rows_near(mixture, n, seed), false, 1e-8);
      }
}

using LogProbOfTied = LogProbOf<gaussmix::Tied>;

TEST_F(LogProbOfTied, narrow_directions_are_whitened) {
  unsigned seed = 200;
  for (const Index n : {1, 11, 130})
    for (const Index d : {2, 5, 19})
      for (const Index k : {1, 7}) {
        const Narrow wide(n, k, d, 0.1, ++seed), narrow(n, k, d, 1e-3, seed), narrower(n, k, d, 1e-4, seed),
            narrowest(n, k, d, 1e-6, seed);
        compare(wide.mixture, wide.x, Kernel::dense, 1e-10);
        compare(narrow.mixture, narrow.x, Kernel::whitened, 1e-10);
        compare(narrower.mixture, narrower.x, Kernel::whitened, 1e-9);
        compare(narrowest.mixture, narrowest.x, Kernel::centred, 1e-7);
      }
}

TEST_F(LogProbOfTied, whitened_rows_far_from_the_origin_keep_their_digits) {
  // Two heaps of components, at 300 deviations to either side of the origin across the narrow direction; at 400 rows are 800
  // from what products cancel.
  for (unsigned seed = 240; seed < 246; ++seed)
    for (const double deviations : {300, 400}) {
      Narrow narrow(120, 6, 3, 1e-4, seed);
      const Eigen::SelfAdjointEigenSolver<Block> axes(Block(narrow.mixture.covariances.reshaped(3, 3)));
      const RowVector out =
          deviations * std::sqrt(axes.eigenvalues()(0)) * RowVector(axes.eigenvectors().col(0).transpose());
      narrow.mixture.weights.setConstant(1.0 / 6);
      for (Index c = 0; c < 6; ++c) narrow.mixture.means.row(c) += (c < 3 ? 1 : -1) * out;
      for (Index i = 0; i < 120; ++i) narrow.x.row(i) += (i * 7 % 6 < 3 ? 1 : -1) * out;
      compare(narrow.mixture, narrow.x, deviations == 300 ? Kernel::whitened : Kernel::shifted, 4e-11);
    }
}

TEST_F(LogProbOfTied, rows_far_from_the_origin_go_shifted) {
  Narrow narrow(40, 3, 4, 1e-3, 231);
  narrow.x.row(7).array() += 1;  // a thousand deviations out
  compare(narrow.mixture, narrow.x, Kernel::shifted, 1e-9);
  const Narrow apart(40, 3, 4, 1e-3, 232, 1e3);
  compare(apart.mixture, apart.x, Kernel::centred, 1e-9);  // a million
}

TEST_F(LogProbOfTied, clusters_hundreds_of_deviations_apart_go_shifted) {
  unsigned seed = 260;
  for (const Index n : {1, 13, 240})
    for (const Index d : {4, 17})
      for (const Index k : {5, 20})
        for (const double separation : {1e3, 3e3}) {
          const auto mixture = random_mixture<gaussmix::Tied>(k, d, ++seed, separation);
          compare(mixture, rows_near(mixture, n, seed), Kernel::shifted, 1e-10);
        }
}

TYPED_TEST(LogProbOf, an_offset_costs_nothing) {
  auto mixture = random_mixture<TypeParam>(3, 4, 7);
  Matrix x = rows_near(mixture, 50, 8);
  mixture.means.array() += 1e8;
  x.array() += 1e8;
  this->compare(mixture, x, true, 1e-11);
}

TYPED_TEST(LogProbOf, ill_conditioned_covariances) {
  // Directions of very different width need the centred kernel; features of very different width only need a scale.
  const bool dense = TypeParam::entries(5) < 25;
  const auto mixture = random_mixture<TypeParam>(3, 5, 9, 1, 1e12);
  this->compare(mixture, mixture.means + 1e-3 * normals(3, 5, 10), dense, 1e-6);
  this->compare(mixture, mixture.means, dense, 1e-6);
}

TYPED_TEST(LogProbOf, components_that_dense_would_blur_go_centred_alone) {
  for (const Index narrow : {1, 3, 4}) {
    auto mixture = random_mixture<TypeParam>(6, 3, 20, 2);
    if (!TypeParam::shared) mixture.covariances.topRows(narrow) *= 1e-10;
    if (TypeParam::shared) mixture.means(0, 0) = 1e6;
    mixture = gaussmix::from_covariances<TypeParam>(mixture.weights, mixture.means, mixture.covariances);
    Matrix x = rows_near(mixture, 100, 21);
    const auto block = this->expect(mixture, x);
    if (narrow <= 3 && !TypeParam::shared) {
      std::vector<Index> expected(static_cast<std::size_t>(narrow));
      std::iota(expected.begin(), expected.end(), 0);
      EXPECT_EQ(block.recentred, expected);
      this->compare(mixture, x, true, 1e-9);
    } else if (block.kernel == Kernel::dense) {  // about one of the narrow ones, fewer blur
      EXPECT_TRUE(TypeParam::independent);
      EXPECT_LE(block.recentred.size(), 3u);
      this->compare(mixture, x, true, 1e-9);
    } else {  // most of them, or a shared covariance
      EXPECT_TRUE(block.recentred.empty());
      this->compare(mixture, x, false, 1e-9);
    }
  }
}

TYPED_TEST(LogProbOf, a_component_far_from_all_others_leaves_them_dense) {
  if (TypeParam::shared) return;
  auto mixture = random_mixture<TypeParam>(6, 4, 25, 2);
  const Matrix x = rows_near(mixture, 100, 26);
  for (const Index far : {0, 3})
    for (const double place : {1e6, -1e9}) {
      auto moved = mixture;
      moved.means.row(far).setConstant(place);
      EXPECT_EQ(this->expect(moved, x).recentred, std::vector<Index>{far});
      this->compare(moved, x, true, 1e-9);
    }
}

TYPED_TEST(LogProbOf, independent_features_are_dense_at_any_distance) {
  if (!TypeParam::independent) return;
  // Each component is a thousand times as narrow as the others in a feature of its own, as pixels that are black in all
  // images of a class (spherical: one of them, in all features).
  auto mixture = random_mixture<TypeParam>(5, 6, 30);
  for (Index c = 0; c < mixture.covariances.rows(); ++c)
    for (Index j = 0; j < mixture.covariances.cols(); ++j)
      if (c == j) mixture.covariances(c, j) *= 1e-6;
  mixture = gaussmix::from_covariances<TypeParam>(mixture.weights, mixture.means, mixture.covariances);
  Matrix x = rows_near(mixture, 60, 31);
  for (Index j = 0; j < 5; ++j)
    for (Index i = 0; i < 60; ++i)
      if (i * 7 % 5 == j) x(i, j) = mixture.means(j, j) + 1e-3 * (x(i, j) - mixture.means(j, j));
  this->compare(mixture, x, true, 1e-10);
  x.row(3) *= 1e6;
  this->compare(mixture, x, true, 1e-10);
}

TYPED_TEST(LogProbOf, a_collapsed_component_does_not_move_the_origin) {
  // One of a feature's width far from all others, as of rows that say "missing".
  if (!TypeParam::independent) return;
  auto mixture = random_mixture<TypeParam>(9, 4, 32);
  mixture.weights(2) *= 0.01;
  mixture.means.row(2).setConstant(-999);
  mixture.covariances.row(2).setConstant(1e-6);
  mixture = gaussmix::from_covariances<TypeParam>(mixture.weights, mixture.means, mixture.covariances);
  Matrix x = rows_near(mixture, 90, 33);
  for (Index i = 0; i < 90; ++i)
    if (i * 7 % 9 == 2) x.row(i).setConstant(-999);
  EXPECT_EQ(this->expect(mixture, x).recentred, std::vector<Index>{2});
  this->compare(mixture, x, true, 1e-9);
}

TYPED_TEST(LogProbOf, features_of_any_scale) {
  // Each feature in units of its own: 1e-150, 1, 1e150 (one unit for all where the type has one variance)
  for (const double unit : {1e-150, 1e150}) {
    auto mixture = random_mixture<TypeParam>(3, 3, 11);
    Matrix x = rows_near(mixture, 40, 12);
    RowVector scale = RowVector::Constant(3, unit);
    if (TypeParam::entries(3) > 1) scale << unit, 1, 1 / unit;
    for (Index m = 0; m < mixture.covariances.rows(); ++m) TypeParam::rescale(mixture.covariances.row(m).data(), scale);
    mixture =
        gaussmix::from_covariances<TypeParam>(mixture.weights, mixture.means * scale.asDiagonal(), mixture.covariances);
    x = x * scale.asDiagonal();
    this->compare(mixture, x, true, 1e-10);
  }
}

TYPED_TEST(LogProbOf, far_rows_have_finite_log_densities) {
  const auto mixture = random_mixture<TypeParam>(3, 2, 13);
  for (const double far : {1e5, 1e10, 1e100, 1e140}) {
    Matrix x = Matrix::Constant(1, 2, far);
    const auto block = this->expect(mixture, x);
    const auto e = reference::expect(mixture, x);
    EXPECT_NEAR(block.log_norm(0) / static_cast<double>(e.log_norm[0]), 1, 1e-12) << far;
    EXPECT_NEAR(block.responsibilities().row(0).sum(), 1, 1e-14);
  }
  for (const double far : {1e160, -1e200, 1e300}) {  // the square overflows
    Matrix x = Matrix::Constant(3, 2, 1.0);
    x(1, 0) = far;
    const auto block = this->expect(mixture, x);
    EXPECT_TRUE(block.log_norm.allFinite()) << far;
    EXPECT_TRUE(block.responsibilities().allFinite()) << far;
    EXPECT_NEAR(block.responsibilities().row(1).sum(), 1, 1e-14);
    EXPECT_LT(block.log_norm(1), -1e200);
  }
}

TYPED_TEST(LogProbOf, far_rows_are_finite_in_a_small_unit_too) {
  // (x - mu) itself overflows in units of the standard deviation.
  auto mixture = random_mixture<TypeParam>(2, 3, 14);
  mixture =
      gaussmix::from_covariances<TypeParam>(mixture.weights, 1e-150 * mixture.means, 1e-300 * mixture.covariances);
  Matrix x = Matrix::Constant(3, 3, 1e200);
  x(1, 1) = -1e200;
  x(2, 0) = x(2, 1) = 0;
  const auto block = this->expect(mixture, x);
  EXPECT_TRUE(block.log_norm.allFinite());
  EXPECT_TRUE(block.responsibilities().allFinite());
}

TYPED_TEST(LogProbOf, a_component_of_weight_zero_takes_nothing) {
  for (const double separation : {1.0, 1e7}) {
    const auto both = random_mixture<TypeParam>(2, 3, 15, separation);
    auto mixture = both;
    mixture.weights << 0, 1;
    const Matrix x = rows_near(mixture, 21, 16);
    const auto block = this->expect(mixture, x);
    const auto e = reference::expect(mixture, x);
    EXPECT_LE(block.responsibilities().col(0).maxCoeff(), 1e-300);
    for (Index i = 0; i < 21; ++i) {
      const auto expected = static_cast<double>(e.log_norm[static_cast<std::size_t>(i)]);
      EXPECT_NEAR(block.log_norm(i), expected, 1e-12 * std::abs(expected));
    }
  }
}

TYPED_TEST(LogProbOf, blocks_of_a_row_range_and_weights_are_loaded) {
  const auto mixture = random_mixture<TypeParam>(2, 3, 17);
  const Matrix x = rows_near(mixture, 40, 18);
  const auto weights = uniforms(40, 1, 2, 19);  // the scale is 1
  BlockBuffers<TypeParam> block;
  Data data(x);
  data.set_weights(weights.data());
  const LogProb<TypeParam> log_prob(mixture);
  log_prob.expect(data, 0, 25, block);
  log_prob.expect(data, 25, 15, block);  // the buffers shrink
  for (Index i = 0; i < 15; ++i)
    for (Index j = 0; j < 3; ++j)
      EXPECT_EQ(block.z()(i, j), (x(25 + i, j) - log_prob.frame().origin(j)) * log_prob.frame().scale(j));
  for (Index i = 0; i < 15; ++i) EXPECT_EQ(block.weights(i), weights[static_cast<std::size_t>(25 + i)]);
  EXPECT_EQ(block.log_norm.size(), 15);
}

using MatrixF = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

TYPED_TEST(LogProbOf, floats_near_the_model_go_single_within_their_own_digits) {
  constexpr double eps = 0x1p-23;
  unsigned seed = 0;
  for (const Index n : {1, 5, 49, 200})
    for (const Index d : {1, 2, 5})
      for (const Index k : {1, 3, 17}) {
        const auto mixture = random_mixture<TypeParam>(k, d, ++seed, 0.5, 2);
        const MatrixF x = (mixture.means(0, 0) + normals(n, d, seed).array() * 0.7).template cast<float>();
        BlockBuffers<TypeParam> block;
        block.may_be_single = true;
        LogProb<TypeParam>(mixture, 1, Products::single).expect(Data(x), 0, n, block);
        if (d <= 2) {
          ASSERT_EQ(block.kernel, Kernel::single);
        }
        if (block.kernel != Kernel::single) continue;
        const auto e = reference::expect(mixture, x.template cast<double>());
        for (Index i = 0; i < n; ++i) {
          const auto expected = static_cast<double>(e.log_norm[static_cast<std::size_t>(i)]);
          ASSERT_NEAR(block.log_norm(i), expected, gaussmix::single_limit * eps * (1 + std::abs(expected)));
        }
        const Matrix r = block.inverse_sum.asDiagonal() * block.single_table.topRows(n).template cast<double>();
        EXPECT_TRUE(close(r, e.r, gaussmix::single_limit * eps, 1));
        EXPECT_TRUE((block.single_table.bottomRows(block.single_table.rows() - n).array() == 0).all());
      }
}

TEST(MayBeSingle, many_rows_that_are_all_floats) {
  const MatrixF floats = MatrixF::Zero(gaussmix::single_rows, 2);
  const Matrix doubles = Matrix::Zero(gaussmix::single_rows, 2);
  EXPECT_TRUE(gaussmix::may_be_single(Data(floats)));
  EXPECT_FALSE(gaussmix::may_be_single(Data(doubles)));
  EXPECT_FALSE(gaussmix::may_be_single(Data(floats.data(), floats.rows() - 1, 2, 2)));
  EXPECT_FALSE(gaussmix::may_be_single(Data({{doubles.data(), 2, false}, {floats.data(), 2, true}}, floats.rows())));
}

TYPED_TEST(LogProbOf, only_floats_that_float_is_enough_for_go_single) {
  const auto mixture = random_mixture<TypeParam>(3, 2, 5, 0.5, 2);
  const Matrix x = 0.5 * normals(40, 2, 6);
  const MatrixF rows = x.cast<float>();
  const auto kernel = [&](const Data& data, Products products = Products::single) {
    BlockBuffers<TypeParam> block;
    block.may_be_single = true;
    LogProb<TypeParam>(mixture, 1, products).expect(data, 0, data.rows(), block);
    return block.kernel;
  };
  EXPECT_EQ(kernel(Data(rows)), Kernel::single);
  EXPECT_EQ(kernel(Data(rows), Products::full), Kernel::dense);
  EXPECT_EQ(kernel(Data(rows), Products::none), Kernel::centred);
  MatrixF far = rows;
  far(3, 1) = 100;
  EXPECT_EQ(kernel(Data(far)), Kernel::dense);
  std::vector<double> weights(40, 1.0);
  weights[2] = 0;
  EXPECT_EQ(kernel(Data(rows).set_weights(weights.data())), Kernel::single);
  weights[2] = 1e-8;
  EXPECT_EQ(kernel(Data(rows).set_weights(weights.data())), Kernel::dense);
}

TYPED_TEST(LogProbOf, the_unit_of_floats_costs_no_digits) {
  for (const double unit : {1e-6, 1e6}) {
    auto mixture = random_mixture<TypeParam>(3, 2, 31, 0.5, 2);
    mixture =
        gaussmix::from_covariances<TypeParam>(mixture.weights, unit * mixture.means, unit * unit * mixture.covariances);
    const MatrixF x = (unit * 0.7 * normals(100, 2, 32)).template cast<float>();
    BlockBuffers<TypeParam> block;
    block.may_be_single = true;
    LogProb<TypeParam>(mixture, 1, Products::single).expect(Data(x), 0, 100, block);
    ASSERT_EQ(block.kernel, Kernel::single);
    const auto e = reference::expect(mixture, x.template cast<double>());
    double mean = 0;
    for (Index i = 0; i < 100; ++i) {
      const double error = block.log_norm(i) - static_cast<double>(e.log_norm[static_cast<std::size_t>(i)]);
      EXPECT_LE(std::abs(error), 1e-5);
      mean += error / 100;
    }
    EXPECT_LE(std::abs(mean), 5e-7);
  }
}

TYPED_TEST(LogProbOf, constants_that_differ_much_stay_double) {
  auto mixture = random_mixture<TypeParam>(2, 2, 33, 0.1, 2);
  mixture.weights << 1, 1e-40;
  const MatrixF x = (0.1 * normals(20, 2, 34)).template cast<float>();
  BlockBuffers<TypeParam> block;
  block.may_be_single = true;
  LogProb<TypeParam>(mixture, 1, Products::single).expect(Data(x), 0, 20, block);
  EXPECT_EQ(block.kernel, Kernel::dense);
}

TYPED_TEST(LogProbOf, factors_whose_squares_overflow_are_refused) {
  auto mixture = random_mixture<TypeParam>(2, 2, 35, 1);
  const Matrix factors = mixture.precisions_cholesky;
  mixture.precisions_cholesky = 1e150 * factors;
  EXPECT_NO_THROW(LogProb<TypeParam>{mixture});
  mixture.precisions_cholesky = 1e155 * factors;
  EXPECT_THROW(LogProb<TypeParam>{mixture}, gaussmix::NotPositiveDefinite);
}

}  // namespace
