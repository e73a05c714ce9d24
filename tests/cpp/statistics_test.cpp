// The laws of Statistics: merging is associative and commutative to rounding, the empty one is neutral, weights scale.
#include "gaussmix/statistics.hpp"

#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Statistics;

template <class Covariance>
struct StatisticsOf : testing::Test {
  static constexpr Index k = 3, d = 4, n = 60;
  Matrix x = 2 * normals(n, d, 1);
  Matrix w = normals(n, k, 2).cwiseAbs();

  /// The reference's moments of some rows.
  static reference::Moments moments(const Matrix& x, const Matrix& w) {
    auto m = reference::moments<Covariance>(x, w);
    for (const Real count : m.counts) m.total_weight += count;
    m.log_likelihood = -3 * m.total_weight;
    return m;
  }

  /// The statistics of those rows.
  static Statistics<Covariance> of(const Matrix& x, const Matrix& w) {
    const auto m = moments(x, w);
    Statistics<Covariance> s(k, d);
    for (Index c = 0; c < k; ++c) s.counts(c) = static_cast<double>(m.counts[static_cast<std::size_t>(c)]);
    for (Index i = 0; i < s.means.size(); ++i)
      s.means.data()[i] = static_cast<double>(m.means.values[static_cast<std::size_t>(i)]);
    for (Index i = 0; i < s.covariances.size(); ++i)
      s.covariances.data()[i] = static_cast<double>(m.covariances.values[static_cast<std::size_t>(i)]);
    s.total_weight = static_cast<double>(m.total_weight);
    s.log_likelihood = static_cast<double>(m.log_likelihood);
    return s;
  }
  Statistics<Covariance> rows(Index first, Index count) const {
    return of(x.middleRows(first, count), w.middleRows(first, count));
  }
};
TYPED_TEST_SUITE(StatisticsOf, AllTypes, TypeNames);

TYPED_TEST(StatisticsOf, merged_parts_are_the_whole) {
  auto merged = this->rows(0, 11);
  merged.merge(this->rows(11, 1));
  merged.merge(this->rows(12, 48));
  EXPECT_TRUE(close(merged, this->moments(this->x, this->w), 1e-14L));
}

TYPED_TEST(StatisticsOf, merging_in_any_order_and_grouping_agrees) {
  auto reverse = this->rows(40, 20);
  reverse.merge(this->rows(20, 20));
  reverse.merge(this->rows(0, 20));
  auto right = this->rows(20, 20), grouped = this->rows(0, 20);
  right.merge(this->rows(40, 20));
  grouped.merge(right);
  const auto whole = this->moments(this->x, this->w);
  EXPECT_TRUE(close(reverse, whole, 1e-12L));
  EXPECT_TRUE(close(grouped, whole, 1e-12L));
}

TYPED_TEST(StatisticsOf, components_without_rows_in_one_part) {
  // Component 0 has rows in the first part only, component 1 in the second only, component 2 in none.
  this->w.topRows(30).col(1).setZero();
  this->w.bottomRows(30).col(0).setZero();
  this->w.col(2).setZero();
  auto merged = this->rows(0, 30);
  merged.merge(this->rows(30, 30));
  EXPECT_TRUE(close(merged, this->moments(this->x, this->w), 1e-14L));
}

TYPED_TEST(StatisticsOf, the_empty_one_is_neutral) {
  const auto some = this->rows(0, 30);
  auto left = some, right = Statistics<TypeParam>(this->k, this->d);
  left.merge(Statistics<TypeParam>(this->k, this->d));
  right.merge(some);
  for (const auto& merged : {left, right}) {
    EXPECT_TRUE(merged.counts == some.counts);
    EXPECT_TRUE(merged.means == some.means);
    EXPECT_TRUE(merged.covariances == some.covariances);
    EXPECT_EQ(merged.log_likelihood, some.log_likelihood);
    EXPECT_EQ(merged.total_weight, some.total_weight);
  }
}

TYPED_TEST(StatisticsOf, an_offset_costs_no_digit_of_the_covariances) {
  this->x.array() += 1e8;  // one digit of the means is 1.5e-8, of covariances of about 4
  auto merged = this->rows(0, 30);
  merged.merge(this->rows(30, 30));
  EXPECT_TRUE(close(merged, this->moments(this->x, this->w), 1e-7L, 1.0L));
}

TYPED_TEST(StatisticsOf, scaling_weights_scales_counts_only) {
  auto scaled = this->rows(0, 60), twice = scaled;
  scaled.scale(2);
  twice.merge(this->rows(0, 60));
  EXPECT_TRUE(scaled.counts == twice.counts);
  EXPECT_EQ(scaled.total_weight, twice.total_weight);
  EXPECT_EQ(scaled.log_likelihood, twice.log_likelihood);
  EXPECT_EQ(scaled.mean_log_likelihood(), this->rows(0, 60).mean_log_likelihood());
  EXPECT_TRUE(close(scaled.covariances, twice.covariances, 1e-15L));
  EXPECT_THROW(scaled.scale(0), std::invalid_argument);
  EXPECT_THROW(scaled.scale(std::nan("")), std::invalid_argument);
}

TYPED_TEST(StatisticsOf, sizes_must_agree) {
  Statistics<TypeParam> s(3, 4);
  EXPECT_THROW(s.merge(Statistics<TypeParam>(2, 4)), std::invalid_argument);
  EXPECT_THROW(s.merge(Statistics<TypeParam>(3, 5)), std::invalid_argument);
}

}  // namespace
