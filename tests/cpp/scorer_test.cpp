// One row at a time: the reference's numbers, the first of equal components, and rows that are no good.
#include "gaussmix/scorer.hpp"

#include <cmath>
#include <limits>

#include "gaussmix/instances.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Scorer;

template <class Covariance>
struct ScorerOf : testing::Test {
  static constexpr Index n = 50, d = 5, k = 4;
  gaussmix::Mixture<Covariance> mixture = random_mixture<Covariance>(k, d, 1, 1.5);
  Matrix x = rows_near(mixture, n, 2);
  Scorer<Covariance> scorer{mixture};
};
TYPED_TEST_SUITE(ScorerOf, AllTypes, TypeNames);

TYPED_TEST(ScorerOf, agrees_with_the_reference) {
  const auto e = reference::expect(this->mixture, this->x);
  for (Index i = 0; i < this->n; ++i) {
    const Real expected = e.log_norm[static_cast<std::size_t>(i)];
    EXPECT_NEAR(this->scorer.log_density(this->x.row(i).data()), static_cast<double>(expected), 1e-12) << "row " << i;
    Index likeliest = 0;
    for (Index c = 0; c < this->k; ++c) {
      EXPECT_NEAR(this->scorer.responsibilities()(c), static_cast<double>(e.r(i, c)), 1e-12);
      if (e.r(i, c) > e.r(i, likeliest)) likeliest = c;
    }
    EXPECT_EQ(this->scorer.label(), likeliest);
  }
}

TYPED_TEST(ScorerOf, rows_of_floats_are_taken_as_they_are) {
  const Eigen::RowVectorXf row = this->x.row(0).template cast<float>();
  const RowVector same = row.template cast<double>();
  EXPECT_EQ(this->scorer.log_density(row.data()), this->scorer.log_density(same.data()));
}

TYPED_TEST(ScorerOf, an_offset_costs_nothing) {
  auto far = this->mixture;
  far.means.array() += 0x1p20;
  Scorer<TypeParam> scorer(far);
  for (Index i = 0; i < this->n; ++i) {
    // Rounded to what a row so far out can hold, so that both rows are the same distance from the means.
    const RowVector near = ((this->x.row(i).array() + 0x1p20) - 0x1p20).matrix();
    const RowVector row = near.array() + 0x1p20;
    EXPECT_NEAR(scorer.log_density(row.data()), this->scorer.log_density(near.data()), 1e-7) << "row " << i;
  }
}

TYPED_TEST(ScorerOf, of_equal_components_the_first) {
  this->mixture.means.row(2) = this->mixture.means.row(1);
  this->mixture.weights.setConstant(0.25);
  for (Index m = 1; m < this->mixture.covariances.rows(); ++m) {
    this->mixture.covariances.row(m) = this->mixture.covariances.row(0);
    this->mixture.precisions_cholesky.row(m) = this->mixture.precisions_cholesky.row(0);
  }
  Scorer<TypeParam> scorer(this->mixture);
  scorer.log_density(this->mixture.means.row(2).data());
  EXPECT_EQ(scorer.label(), 1);
}

TYPED_TEST(ScorerOf, results_are_finite_and_nan_is_refused) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  RowVector row = this->x.row(0);
  for (const double value : {1e200, -1e308, infinity, -infinity}) {
    row(1) = value;
    EXPECT_TRUE(std::isfinite(this->scorer.log_density(row.data()))) << value;
    EXPECT_NEAR(this->scorer.responsibilities().sum(), 1, 1e-12) << value;
  }
  row(3) = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(this->scorer.log_density(row.data()), std::invalid_argument);
}

}  // namespace
