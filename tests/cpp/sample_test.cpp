// Draws: their moments, their labels, and that threads do not matter.
#include "gaussmix/sample.hpp"

#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::sample;

template <class Covariance>
struct SampleOf : testing::Test {
  gaussmix::Mixture<Covariance> mixture = random_mixture<Covariance>(3, 3, 1);
};
TYPED_TEST_SUITE(SampleOf, AllTypes, TypeNames);

TYPED_TEST(SampleOf, moments_are_those_of_the_mixture) {
  const Index n = 60000;
  const auto drawn = sample(this->mixture, n, 5);
  Matrix w = Matrix::Zero(n, 3);
  for (Index i = 0; i < n; ++i) w(i, drawn.labels[static_cast<std::size_t>(i)]) = 1;
  const auto m = reference::moments<gaussmix::Full>(drawn.x, w);
  for (Index c = 0; c < 3; ++c) {
    // Five standard errors: of a share, of a mean, of a variance (sqrt 2 of it).
    const double p = this->mixture.weights(c), count = p * static_cast<double>(n);
    EXPECT_NEAR(static_cast<double>(m.counts[static_cast<std::size_t>(c)]), count, 5 * std::sqrt(count * (1 - p)));
    const Table sigma = reference::dense(TypeParam{}, this->mixture.covariance(c), 3);
    for (Index i = 0; i < 3; ++i) {
      EXPECT_NEAR(static_cast<double>(m.means(c, i)), this->mixture.means(c, i),
                  5 * std::sqrt(static_cast<double>(sigma(i, i)) / count));
      for (Index j = 0; j < 3; ++j)
        EXPECT_NEAR(static_cast<double>(m.covariances(c, i * 3 + j)), static_cast<double>(sigma(i, j)),
                    5 * std::sqrt(2 * static_cast<double>(sigma(i, i) * sigma(j, j)) / count));
    }
  }
}

TYPED_TEST(SampleOf, same_rows_at_any_number_of_threads) {
  const auto one = sample(this->mixture, 10000, 6, 1);
  for (const int n_threads : {2, 3, 8}) {
    const auto many = sample(this->mixture, 10000, 6, n_threads);
    EXPECT_TRUE(many.x == one.x);
    EXPECT_EQ(many.labels, one.labels);
  }
  EXPECT_FALSE(sample(this->mixture, 10000, 7).x == one.x);
}

TYPED_TEST(SampleOf, same_rows_at_any_number_of_threads_in_many_dimensions) {
  const auto mixture = random_mixture<TypeParam>(2, 40, 2);
  EXPECT_TRUE(sample(mixture, 9000, 6, 1).x == sample(mixture, 9000, 6, 2).x);
}

TYPED_TEST(SampleOf, labels_ascend_and_weight_zero_is_never_drawn) {
  for (const Index absent : {0, 1, 2}) {
    this->mixture.weights.setConstant(0.5);
    this->mixture.weights(absent) = 0;
    const auto drawn = sample(this->mixture, 5000, 8);
    EXPECT_TRUE(std::is_sorted(drawn.labels.begin(), drawn.labels.end()));
    EXPECT_EQ(std::count(drawn.labels.begin(), drawn.labels.end(), absent), 0);
    EXPECT_EQ(drawn.labels.size(), 5000u);
  }
}

TEST(CountDraw, counts_have_the_moments_of_a_multinomial_draw) {
  Vector weights(7);
  weights << 0, 3, 0.5, 0, 1e-3, 2, 0;
  const Vector share = weights / weights.sum();
  for (const Index n : {1, 50, 20011}) {
    constexpr int draws = 400;
    Matrix counts(draws, weights.size());
    for (int i = 0; i < draws; ++i) {
      const gaussmix::Random random(static_cast<std::uint64_t>(i), gaussmix::Purpose::labels);
      counts.row(i) = gaussmix::detail::CountDraw(weights, random)(n).cast<double>();
      ASSERT_EQ(counts.row(i).sum(), static_cast<double>(n));
    }
    const RowVector mean = counts.colwise().mean();
    const Matrix centred = counts.rowwise() - mean;
    for (Index a = 0; a < weights.size(); ++a) {
      const double expected = static_cast<double>(n) * share(a);
      // Five standard errors of a mean, and of a variance of numbers that are about normal, or rare.
      const double variance = expected * (1 - share(a));
      EXPECT_NEAR(mean(a), expected, 5 * std::sqrt(variance / draws));
      for (Index b = 0; b < weights.size(); ++b) {
        const double covariance = a == b ? variance : -expected * share(b);
        const double error = std::sqrt((2 * variance * static_cast<double>(n) * share(b) + variance) / draws);
        EXPECT_NEAR(centred.col(a).dot(centred.col(b)) / draws, covariance, 5 * error) << n << " " << a << " " << b;
      }
    }
  }
}

TEST(CountDraw, counts_are_the_same_everywhere_and_for_ever) {
  Vector weights(7);
  weights << 0, 3, 0.5, 0, 1e-3, 2, 0;
  const gaussmix::Random random(12, gaussmix::Purpose::labels);
  const auto draw = [&](Index n) {
    const auto counts = gaussmix::detail::CountDraw(weights, random)(n);
    return std::vector<Index>(counts.begin(), counts.end());
  };
  using Numbers = std::vector<Index>;
  EXPECT_EQ(draw(1), (Numbers{0, 0, 0, 0, 0, 1, 0}));
  EXPECT_EQ(draw(130), (Numbers{0, 81, 11, 0, 0, 38, 0}));
  EXPECT_EQ(draw(8192), (Numbers{0, 4497, 733, 0, 2, 2960, 0}));
  EXPECT_EQ(draw(20011), (Numbers{0, 10970, 1772, 0, 1, 7268, 0}));
}

TEST(CountDraw, a_count_by_batches_is_that_of_single_places) {
  // Of equal halves the first interval decides: the ones among the first n digits are the rows of the second half.
  const gaussmix::Random random(13, gaussmix::Purpose::labels);
  for (const Index n : {1, 31, 32, 33, 127, 128, 129, 8191, 8192, 8193, 20011}) {
    Index ones = 0;
    for (Index digit = 0; digit < n; ++digit) {
      const auto words = random.bits(static_cast<std::uint64_t>(digit / 128));
      const Index word = digit % 128 / 32, left = std::min<Index>(32, n - digit / 32 * 32);
      const auto kept = words[static_cast<std::size_t>(word)] >> (32 - left);
      ones += static_cast<Index>(kept >> digit % 32 & 1);
    }
    const auto counts = gaussmix::detail::CountDraw(Eigen::Vector2d(1, 1), random)(n);
    EXPECT_EQ(counts(1), ones) << n;
  }
}

TEST(CountDraw, rows_fall_where_their_digits_lead) {
  // One row after the other draws as the interval of each says: the digits of a count are read by hand.
  const gaussmix::Random random(4, gaussmix::Purpose::labels);
  std::uint64_t place = 0;
  const auto digit = [&] { return random.bits(place++)[0] >> 31; };
  const bool upper = digit() != 0, middle = upper && digit() != 0;
  const auto counts = gaussmix::detail::CountDraw(Eigen::Vector3d(0.5, 0.25, 0.25), random)(1);
  EXPECT_EQ(counts(0), upper ? 0 : 1);
  EXPECT_EQ(counts(1), upper && !middle ? 1 : 0);
  EXPECT_EQ(counts(2), middle ? 1 : 0);
}

TEST(CountDraw, shares_too_small_for_a_half_of_an_interval_are_given_to_a_neighbour) {
  const gaussmix::Random random(5, gaussmix::Purpose::labels);
  for (const double tiny : {1e-17, 1e-300}) {
    const auto counts = gaussmix::detail::CountDraw(Eigen::Vector3d(tiny, 1, tiny), random)(1000000);
    EXPECT_EQ(counts(1), 1000000);
  }
}

TYPED_TEST(SampleOf, errors) {
  EXPECT_THROW(sample(this->mixture, 0, 1), std::invalid_argument);
  this->mixture.covariances.setConstant(-1);
  EXPECT_THROW(sample(this->mixture, 10, 1), gaussmix::NotPositiveDefinite);
}

}  // namespace
