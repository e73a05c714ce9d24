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

TEST(DrawCounts, equal_those_of_a_search_for_each_row) {
  const gaussmix::Random random(9, gaussmix::Purpose::labels);
  for (const Index k : {1, 2, 3, 5, 64, 1000}) {
    Vector weights(k);
    for (Index c = 0; c < k; ++c)
      weights(c) = c % 5 == 3 ? 0 : std::pow(0.99, static_cast<double>(c)) * (c % 7 ? 1 : 30);
    constexpr Index n = 20011;
    std::vector<Index> expected(static_cast<std::size_t>(k));
    for (Index i = 0; i < n; ++i) {
      const double target =
          random.uniform(static_cast<std::uint64_t>(i / 2))[static_cast<std::size_t>(i % 2)] * weights.sum();
      double cumulated = weights(0);
      Index c = 0;
      while (cumulated <= target) cumulated += weights(++c);
      ++expected[static_cast<std::size_t>(c)];
    }
    for (const int n_threads : {1, 3}) {
      const auto counts = gaussmix::detail::draw_counts(weights, n, random, n_threads);
      for (Index c = 0; c < k; ++c) ASSERT_NEAR(counts(c), expected[static_cast<std::size_t>(c)], 1) << k;
      EXPECT_EQ(counts.sum(), n);
    }
  }
}

TYPED_TEST(SampleOf, errors) {
  EXPECT_THROW(sample(this->mixture, 0, 1), std::invalid_argument);
  this->mixture.covariances.setConstant(-1);
  EXPECT_THROW(sample(this->mixture, 10, 1), gaussmix::NotPositiveDefinite);
}

}  // namespace
