// The screened kernel against the one that computes every pair: what it keeps, what it drops, when it gives up.
#include "gaussmix/screen.hpp"

#include "gaussmix/predict.hpp"

#include "gaussmix/instances.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::accumulate;
using gaussmix::BlockBuffers;
using gaussmix::Data;
using gaussmix::LogProb;
using gaussmix::Mixture;
using gaussmix::Screen;
using gaussmix::ScreenedBlock;

constexpr Index k = 12;

template <class Covariance>
struct Screened : testing::Test {
  // Features of the log-density enough that the screen is used.
  static constexpr Index d = std::is_base_of_v<gaussmix::Full, Covariance> ? 8 : 40;

  static Mixture<Covariance> mixture_of(double separation, double condition = 10) {
    return random_mixture<Covariance>(k, d, 1, separation, condition);
  }

  /// Responsibilities that the screen gives, 0 for pairs that it dropped; empty if it gave up. \param features  of the bound
  static Matrix screen(const LogProb<Covariance>& log_prob, const Data& data, Vector* log_norm,
                       Index* features = nullptr) {
    ScreenedBlock<Covariance> block;
    if (!Screen<Covariance>(log_prob, data.rows(), 1).expect(data, 0, data.rows(), block)) return {};
    if (features) *features = block.z.cols();
    Matrix r = Matrix::Zero(data.rows(), k);
    for (Index c = 0; c < k; ++c) {
      const auto& rows = block.rows[static_cast<std::size_t>(c)];
      for (std::size_t i = 0; i < rows.size(); ++i)
        r(rows[i], c) = block.responsibilities[static_cast<std::size_t>(c)](static_cast<Index>(i));
    }
    *log_norm = block.log_norm;
    return r;
  }

  /// True if the screen was used and agrees with the other kernels; what it dropped is below e^-40 of the weight of its component.
  static testing::AssertionResult agrees(const Mixture<Covariance>& mixture, const Matrix& x, double tolerance,
                                         Index* features = nullptr) {
    const LogProb<Covariance> log_prob(mixture);
    Vector log_norm;
    const Matrix r = screen(log_prob, Data(x), &log_norm, features);
    if (r.size() == 0) return testing::AssertionFailure() << "given up";
    BlockBuffers<Covariance> block;
    log_prob.expect(Data(x), 0, x.rows(), block);
    for (Index i = 0; i < x.rows(); ++i)
      for (Index c = 0; c < k; ++c) {
        const double off = std::abs(r(i, c) - block.responsibility(i, c));
        if (!(off <= (r(i, c) > 0 ? tolerance : std::exp(-40.0) * mixture.weights(c))))
          return testing::AssertionFailure() << "row " << i << ", component " << c << " off by " << off;
      }
    const double off = ((log_norm - block.log_norm).array() / (1 + block.log_norm.array().abs())).abs().maxCoeff();
    if (!(off <= tolerance)) return testing::AssertionFailure() << "log-densities off by " << off;
    return testing::AssertionSuccess();
  }
};
TYPED_TEST_SUITE(Screened, AllTypes, TypeNames);

TYPED_TEST(Screened, agrees_where_components_lie_apart) {
  for (const double separation : {8.0, 30.0, 1e3}) {
    const auto mixture = this->mixture_of(separation);
    const Matrix x = rows_near(mixture, 700, 2);
    // Where all share a covariance, one product is all that the log-densities are.
    EXPECT_EQ(bool(this->agrees(mixture, x, 1e-10)), !TypeParam::shared) << separation;
  }
}

TYPED_TEST(Screened, but_not_where_no_products_are_allowed_and_moments_are_about_given_points) {
  const auto mixture = this->mixture_of(30);
  const Matrix x = rows_near(mixture, 700, 2);
  const LogProb<TypeParam> log_prob(mixture, 1, gaussmix::Products::none);
  gaussmix::ScreenedBlock<TypeParam> block;
  EXPECT_FALSE(Screen<TypeParam>(log_prob, x.rows(), 1).expect(Data(x), 0, x.rows(), block));
  const Matrix points = mixture.means.array() + 0.25;
  const auto about = gaussmix::accumulate(log_prob, Data(x), 1, nullptr, &points);
  const auto expected = gaussmix::accumulate(mixture, Data(x), 1);
  EXPECT_TRUE(about.means.isApprox(expected.means, 1e-9));
  EXPECT_TRUE(about.covariances.isApprox(expected.covariances, 1e-9));
  EXPECT_THROW(gaussmix::accumulate(LogProb<TypeParam>(mixture), Data(x), 1, nullptr, &points), std::invalid_argument);
}

TYPED_TEST(Screened, asks_for_all_features_where_the_first_do_not_tell) {
  if (TypeParam::shared) GTEST_SKIP() << "not screened";
  const Index d = this->d, rows = 20 * gaussmix::panel_rows<float>;
  for (const bool first_tell : {true, false}) {
    auto mixture = this->mixture_of(300);
    if (!first_tell) mixture.means.leftCols(d / 2 + 1).setZero();
    Index features = 0;
    EXPECT_TRUE(this->agrees(mixture, rows_near(mixture, rows, 12), 1e-9, &features));
    EXPECT_EQ(features < d, first_tell);
    // Where the likeliest by the first features is never the best, that one is found all the same.
    if (!first_tell) continue;
    mixture.means.bottomRows(k / 2) = mixture.means.topRows(k / 2);
    mixture.means.col(d - 1).tail(k / 2).array() += 1e3;
    EXPECT_TRUE(this->agrees(mixture, rows_near(mixture, rows, 13), 1e-9, &features));
    EXPECT_LT(features, d);
  }
}

TYPED_TEST(Screened, goes_on_with_all_features_where_the_first_tell_of_the_first_rows_only) {
  if (TypeParam::shared) GTEST_SKIP() << "not screened";
  const Index d = this->d, panel = gaussmix::panel_rows<float>;
  auto mixture = this->mixture_of(300);
  // Of the first half of the components the first features tell, of the others the last alone.
  mixture.means.bottomRows(k / 2) = mixture.means.row(k / 2).replicate(k / 2, 1);
  for (Index c = k / 2; c < k; ++c) mixture.means(c, d - 1) += 300.0 * static_cast<double>(c);
  const Matrix near = rows_near(mixture, 100 * panel, 14);
  const LogProb<TypeParam> log_prob(mixture);
  std::vector<std::int64_t> labels(static_cast<std::size_t>(near.rows()));
  gaussmix::labels<double>(log_prob, Data(near), labels.data());
  std::vector<Index> first, others;
  for (Index i = 0; i < near.rows(); ++i) (labels[static_cast<std::size_t>(i)] < k / 2 ? first : others).push_back(i);
  ASSERT_GE(first.size(), static_cast<std::size_t>(2 * panel));
  ASSERT_GE(others.size(), static_cast<std::size_t>(18 * panel));
  first.resize(static_cast<std::size_t>(2 * panel));
  others.resize(static_cast<std::size_t>(18 * panel));
  Matrix x(20 * panel, d);
  x << near(first, Eigen::all), near(others, Eigen::all);
  Index features = 0;
  EXPECT_TRUE(this->agrees(mixture, x.topRows(2 * panel).replicate(5, 1), 1e-9, &features));
  EXPECT_LT(features, d);
  EXPECT_TRUE(this->agrees(mixture, x, 1e-9, &features));
  EXPECT_EQ(features, d);
}

TYPED_TEST(Screened, packs_every_row_where_the_two_bounds_take_other_steps) {
  if (TypeParam::shared) GTEST_SKIP() << "not screened";
  struct Size {
    Index d, components, rows;
  };
  for (const Size size : {Size{96, 12, 1008}, Size{64, 64, 2088}, Size{64, 48, 1200}}) {
    // The first features tell of the first rows, those of a half of the components; of the other rows the last one alone.
    const Index half = size.components / 2;
    Matrix means = Matrix::Zero(size.components, size.d);
    means.topLeftCorner(half, size.d / 3) = 30 * normals(half, size.d / 3, 1);
    for (Index c = half; c < size.components; ++c) means(c, size.d - 1) = 100 * static_cast<double>(c - half);
    const Matrix identity = Matrix::Identity(size.d, size.d);
    Matrix covariances = Matrix::Ones(size.components, TypeParam::entries(size.d));
    if (covariances.cols() == identity.size())
      covariances.rowwise() = Eigen::Map<const RowVector>(identity.data(), identity.size());
    const auto mixture = gaussmix::from_covariances<TypeParam>(Vector::Ones(size.components), means, covariances);
    Matrix x = normals(size.rows, size.d, 2);
    for (Index i = 0; i < size.rows; ++i)
      x.row(i) += means.row(i < 2 * gaussmix::panel_rows<float> ? i % half : half + i % half);
    const LogProb<TypeParam> log_prob(mixture);
    ScreenedBlock<TypeParam> block;
    block.x.setConstant(size.rows, gaussmix::row_stride(size.d), std::numeric_limits<double>::quiet_NaN());
    ASSERT_TRUE(Screen<TypeParam>(log_prob, size.rows, 1).expect(Data(x), 0, size.rows, block));
    EXPECT_EQ(block.z.cols(), size.d) << "the first bound was enough";
    EXPECT_EQ(block.packed, size.rows);
    EXPECT_TRUE(block.x.leftCols(size.d) == x) << size.d << " features, " << size.components << " components";
  }
}

TEST(ScreenOfManyFeatures, a_feature_that_is_a_long_sum_is_bounded) {
  // Rounding adds up in |z|^2 of rows of equal numbers far from the origin. Two components have their mean there, one of
  // them wide, whose log-density lies 37,000 nats below that of the other.
  const Index d = 16000, components = 8;
  for (Index i = 0; i < 20; ++i) {
    const double place = 8000 + 0.37 * static_cast<double>(i);
    Mixture<gaussmix::Spherical> mixture(components, d);
    mixture.weights.setConstant(1.0 / components);
    mixture.covariances.setOnes();
    mixture.covariances(1) = 100;
    for (Index c = 0; c < components; ++c)
      mixture.means.row(c).setConstant(c < 2 ? place : -place / 3 * (1 + 0.01 * (static_cast<double>(c) - 4.5)));
    mixture = gaussmix::from_covariances<gaussmix::Spherical>(mixture.weights, mixture.means, mixture.covariances);
    const Matrix x = Matrix::Constant(12, d, place);
    Vector log_p(x.rows());
    gaussmix::log_densities(LogProb<gaussmix::Spherical>(mixture), Data(x), log_p.data());
    EXPECT_NEAR(gaussmix::score(LogProb<gaussmix::Spherical>(mixture), Data(x)), log_p.mean(), 1) << place;
  }
}

TEST(ScreenedBlocks, are_even_and_hold_some_rows_of_each_component) {
  using Full = Screen<gaussmix::Full>;
  for (const Index n : {1, 100, 1797, 7999, 20000, 1000003})
    for (const Index components : {8, 110, 512, 1400, 4000}) {
      const Index rows = Full::block_rows(n, 41, components), blocks = (n + rows - 1) / rows;
      EXPECT_EQ(rows % 24, 0);
      EXPECT_LE(rows * components, (Index{2} << 20)) << n << " " << components;
      EXPECT_GE(blocks, n >= 4096 ? 4 : 1) << n << " " << components;
      EXPECT_GE(rows, blocks > 1 ? std::min<Index>(8 * components, 120) : 1) << n << " " << components;
    }
  EXPECT_EQ(Full::block_rows(1797, 41, 110), 912);
}

TYPED_TEST(Screened, agrees_where_covariances_are_ill_conditioned) {
  if (TypeParam::shared) GTEST_SKIP() << "not screened";
  const auto mixture = this->mixture_of(100, 1e6);
  EXPECT_TRUE(this->agrees(mixture, rows_near(mixture, 400, 3), 1e-9));
}

TYPED_TEST(Screened, gives_up_where_components_overlap) {
  const auto mixture = this->mixture_of(0.01);
  EXPECT_FALSE(this->agrees(mixture, rows_near(mixture, 300, 4), 1));
}

TYPED_TEST(Screened, keeps_more_pairs_where_some_components_would_go_centred_else) {
  if (TypeParam::shared) GTEST_SKIP() << "not screened";
  for (const Index narrow : {0, 4}) {
    auto mixture = this->mixture_of(8);
    // Five components at one place, where the rows are: more than half of the pairs need not be computed.
    mixture.means.topRows(5).rowwise() = RowVector(mixture.means.row(0));
    mixture.covariances.topRows(5).rowwise() = RowVector(mixture.covariances.row(0));
    mixture.covariances.bottomRows(narrow) *= 1e-10;
    mixture = gaussmix::from_covariances<TypeParam>(mixture.weights, mixture.means, mixture.covariances);
    Matrix x = normals(500, TestFixture::d, 15);
    x.rowwise() += RowVector(mixture.means.row(0));
    EXPECT_EQ(bool(this->agrees(mixture, x, 1e-9)), narrow > 0);
  }
}

TYPED_TEST(Screened, gives_up_half_way_and_on_rows_that_no_float_holds) {
  auto mixture = this->mixture_of(30);
  // At the mean of all components nothing can be dropped of components this wide.
  Matrix x = rows_near(mixture, 1000, 5);
  for (Index m = 0; m < mixture.covariances.rows(); ++m)
    TypeParam::rescale(mixture.covariances.row(m).data(),
                       RowVector::Constant(TestFixture::d, TestFixture::d > 8 ? 20 : 15));
  mixture = gaussmix::from_covariances<TypeParam>(mixture.weights, mixture.means, mixture.covariances);
  x.bottomRows(600).rowwise() = RowVector(mixture.means.colwise().mean());
  Vector log_norm;
  const LogProb<TypeParam> log_prob(mixture);
  const Index d = this->d;
  EXPECT_EQ(this->screen(log_prob, Data(x.data(), 400, d, d), &log_norm).size() > 0, !TypeParam::shared);
  EXPECT_EQ(this->screen(log_prob, Data(x), &log_norm).size(), 0);
  const auto expected = reference::accumulate(mixture, x, {});
  EXPECT_TRUE(close(accumulate(mixture, Data(x)), expected, 1e-10L, 10));
  x(3, 1) = 1e20;
  EXPECT_EQ(this->screen(log_prob, Data(x.data(), 400, d, d), &log_norm).size(), 0);
}

TYPED_TEST(Screened, a_pass_equals_the_reference_at_any_number_of_threads) {
  const auto mixture = this->mixture_of(10);
  Matrix x = rows_near(mixture, 800, 6);
  x.row(17).array() += 1e5;  // far out, whole to some component
  auto weights = uniforms(800, 0, 2, 7);
  weights[5] = 0;
  const auto expected = reference::accumulate(mixture, x, weights);
  for (const double unit : {1e-300, 1.0, 1e20}) {
    auto scaled = weights;
    for (double& w : scaled) w *= unit;
    Data data(x);
    data.set_weights(scaled.data());
    const auto one = accumulate(mixture, data, 1);
    auto s = one;
    s.scale(1 / unit);
    EXPECT_TRUE(close(s, expected, 1e-10L, 1e5L)) << unit;
    for (const int n_threads : {2, 3, 8}) {
      const auto other = accumulate(mixture, data, n_threads);
      EXPECT_TRUE(other.counts == one.counts && other.means == one.means && other.covariances == one.covariances &&
                  other.log_likelihood == one.log_likelihood);
    }
  }
}

TYPED_TEST(Screened, a_score_is_the_mean_of_the_log_densities) {
  const auto mixture = this->mixture_of(10);
  const Matrix x = rows_near(mixture, 900, 10);
  auto weights = uniforms(900, 1, 2, 11);
  weights[7] = 0;
  Data data(x);
  data.set_weights(weights.data());
  const LogProb<TypeParam> log_prob(mixture);
  Vector l(900);
  gaussmix::log_densities(log_prob, data, l.data());
  const Eigen::Map<const Vector> w(weights.data(), 900);
  const double score = gaussmix::score(log_prob, data, 1);
  EXPECT_NEAR(score, w.dot(l) / w.sum(), 1e-11 * std::abs(score));
  EXPECT_EQ(gaussmix::score(log_prob, data, 3), score);
}

TYPED_TEST(Screened, a_component_without_weight_takes_nothing) {
  auto mixture = this->mixture_of(20);
  mixture.weights(3) = 0;
  const Index rows = 100 * gaussmix::panel_rows<float>;
  const Matrix x = rows_near(mixture, rows, 8);
  const auto s = accumulate(mixture, Data(x));
  EXPECT_EQ(s.counts(3), 0);
  EXPECT_TRUE(s.means.row(3) == mixture.means.row(3));
  EXPECT_NEAR(s.counts.sum(), static_cast<double>(rows), 1e-9);
  const Block columns = x;
  EXPECT_TRUE(accumulate(mixture, Data(columns)).means == s.means);
  EXPECT_TRUE(s.finite());
}

TYPED_TEST(Screened, bad_numbers_are_refused) {
  const auto mixture = this->mixture_of(20);
  const Index d = this->d;
  const auto message = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  const LogProb<TypeParam> log_prob(mixture);
  const std::string expected = "the data must not contain NaN";
  for (const Index column : {Index{2}, d - 1}) {  // screened by, and not
    Matrix x = rows_near(mixture, 100 * gaussmix::panel_rows<float>, 9);
    x(100, column) = std::nan("");
    EXPECT_EQ(message([&] { accumulate(mixture, Data(x)); }), expected);
    EXPECT_EQ(message([&] { gaussmix::score(log_prob, Data(x)); }), expected);
    x(100, column) = HUGE_VAL;
    EXPECT_THROW(accumulate(mixture, Data(x)), gaussmix::DegenerateData);
  }
}

}  // namespace
