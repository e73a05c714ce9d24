// EM over passes: rows in parts give the fit of the rows together, a run goes on after a break with the same bits.
#include "gaussmix/passes.hpp"

#include "gaussmix/fit.hpp"
#include "gaussmix/instances.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Data;
using gaussmix::FitOptions;
using gaussmix::Mixture;
using gaussmix::Passes;
using gaussmix::PassesOverData;
using gaussmix::Products;
using gaussmix::RunState;
using gaussmix::Statistics;

/// Rows in three parts; counts what it is asked.
template <class Covariance>
struct Parts : Passes<Covariance> {
  explicit Parts(const Matrix& x) {
    for (Index first = 0, i = 1; i <= 3; ++i) {
      const Index end = i * x.rows() / 3;
      parts.push_back(x.middleRows(first, end - first));
      n = static_cast<double>(end);
      first = end;
    }
  }

  Statistics<Covariance> accumulate(const Mixture<Covariance>& mixture, Products products,
                                    const Matrix* about) const override {
    ++(about ? centred_passes : passes);
    auto sum = gaussmix::accumulate(mixture, Data(parts[0]), 1, products, nullptr, about);
    for (std::size_t i = 1; i < parts.size(); ++i)
      sum.merge(gaussmix::accumulate(mixture, Data(parts[i]), 1, products, nullptr, about));
    return sum;
  }

  double score(const Mixture<Covariance>& mixture) const override {
    double sum = 0;
    for (const Matrix& part : parts)
      sum += static_cast<double>(part.rows()) * gaussmix::score(gaussmix::LogProb<Covariance>(mixture), Data(part));
    return sum / n;
  }

  Matrix worst_rows(const Mixture<Covariance>&, Index count) const override {
    ++asked_for_rows;
    return parts[0].topRows(count);
  }

  std::vector<Matrix> parts;
  double n = 0;
  mutable int asked_for_rows = 0, passes = 0, centred_passes = 0;
};

template <class Covariance>
struct FitPasses : testing::Test {
  Matrix x = clusters(301, 3, 5);
  FitOptions options;

  FitPasses() { options.tol = 1e-9; }
  Mixture<Covariance> start() const { return random_mixture<Covariance>(3, 3, 2); }
};
TYPED_TEST_SUITE(FitPasses, AllTypes, TypeNames);

TYPED_TEST(FitPasses, of_rows_in_memory_is_fit) {
  const Data data(this->x);
  const auto start = this->start();
  const auto expected = gaussmix::fit<TypeParam>(data, 3, this->options, &start);
  const auto found = gaussmix::fit_passes(PassesOverData<TypeParam>(data, 1), start, this->options);
  EXPECT_EQ(found.mixture.means, expected.mixture.means);
  EXPECT_EQ(found.mixture.covariances, expected.mixture.covariances);
  EXPECT_EQ(found.lower_bounds, expected.lower_bounds);
  EXPECT_EQ(found.lower_bound, expected.lower_bound);
  EXPECT_EQ(found.converged, expected.converged);
}

TYPED_TEST(FitPasses, the_view_that_passes_are_made_from_need_not_outlive_them) {
  const Matrix other = Matrix::Constant(301, 3, 1e9);
  Data view(this->x);
  const PassesOverData<TypeParam> passes(view, 1);
  view = Data(other);
  EXPECT_EQ(passes.score(this->start()), PassesOverData<TypeParam>(this->x, 1).score(this->start()));
}

TYPED_TEST(FitPasses, a_wide_component_without_rows_is_not_summed_again) {
  auto start = random_mixture<TypeParam>(3, 3, 2);
  start.means.row(2).setConstant(1e9);
  if (!TypeParam::shared) {
    start.covariances.row(2) *= 1e10;
    start.precisions_cholesky.row(2) *= 1e-5;
  }
  this->options.max_iter = 20;
  this->options.tol = 0;
  this->options.reseed = false;
  const Parts<TypeParam> parts(this->x);
  EXPECT_EQ(gaussmix::fit_passes(parts, start, this->options).n_iter(), 20);
  EXPECT_EQ(parts.passes, 20);
  EXPECT_EQ(parts.centred_passes, 0);
}

TYPED_TEST(FitPasses, rows_far_narrower_than_their_model_are_summed_again_once) {
  const auto start = random_mixture<TypeParam>(3, 3, 2);
  this->options.max_iter = 20;
  this->options.tol = 0;
  const Parts<TypeParam> parts(1e-4 * this->x);
  gaussmix::fit_passes(parts, start, this->options);
  EXPECT_EQ(parts.passes, 20);
  EXPECT_EQ(parts.centred_passes, 1);
}

TYPED_TEST(FitPasses, of_rows_in_parts_is_that_of_the_rows_together) {
  const auto start = this->start();
  const auto expected = gaussmix::fit<TypeParam>(Data(this->x), 3, this->options, &start);
  const auto found = gaussmix::fit_passes(Parts<TypeParam>(this->x), start, this->options);
  ASSERT_EQ(found.n_iter(), expected.n_iter());
  EXPECT_LT((found.mixture.means - expected.mixture.means).cwiseAbs().maxCoeff(), 1e-9);
  EXPECT_LT((found.mixture.covariances - expected.mixture.covariances).cwiseAbs().maxCoeff(), 1e-9);
  EXPECT_NEAR(found.lower_bound, expected.lower_bound, 1e-12);
}

TYPED_TEST(FitPasses, goes_on_after_a_break_with_the_same_bits) {
  const Parts<TypeParam> passes(this->x);
  this->options.max_iter = 7;
  this->options.tol = 0;
  RunState unbroken;
  const auto expected = gaussmix::fit_passes(passes, this->start(), this->options, -1e300, &unbroken);
  RunState state;
  this->options.max_iter = 3;
  const auto first = gaussmix::fit_passes(passes, this->start(), this->options, -1e300, &state);
  EXPECT_EQ(state.iterations, 3);
  this->options.max_iter = 4;
  const auto rest = gaussmix::fit_passes(passes, first.mixture, this->options, first.lower_bounds.back(), &state);
  EXPECT_EQ(state.iterations, unbroken.iterations);
  EXPECT_EQ(rest.mixture.means, expected.mixture.means);
  EXPECT_EQ(rest.mixture.precisions_cholesky, expected.mixture.precisions_cholesky);
  EXPECT_EQ(rest.lower_bound, expected.lower_bound);
}

TYPED_TEST(FitPasses, keeps_its_floors_and_moves_over_a_break) {
  // Two places, of which many rows are the same: the third component loses its rows, the others are singular.
  Matrix x(60, 3);
  for (Index i = 0; i < x.rows(); ++i) x.row(i).setConstant(i % 2 == 0 ? 0 : 5);
  x.row(59) << 1, 2, 3;
  auto start = this->start();
  start.means << 0, 0, 0, 5, 5, 5, 1e6, 1e6, 1e6;
  this->options.tol = 0;
  this->options.reg_covar = 0;
  this->options.max_iter = 6;
  EXPECT_THROW(gaussmix::fit_passes(Parts<TypeParam>(Matrix::Constant(58, 3, 5)), start, this->options),
               gaussmix::DegenerateData);
  this->options.reg_covar = 1e-9;
  const Parts<TypeParam> parts(x);
  RunState unbroken, state;
  const auto expected = gaussmix::fit_passes(parts, start, this->options, -1e300, &unbroken);
  EXPECT_GT(parts.asked_for_rows, 0);
  EXPECT_EQ(unbroken.events.size(), expected.events.size());
  EXPECT_GT(unbroken.reseeds, 0);
  this->options.max_iter = 3;
  const auto first = gaussmix::fit_passes(parts, start, this->options, -1e300, &state);
  const auto rest = gaussmix::fit_passes(parts, first.mixture, this->options, first.lower_bounds.back(), &state);
  EXPECT_EQ(rest.mixture.means, expected.mixture.means);
  EXPECT_EQ(rest.mixture.covariances, expected.mixture.covariances);
  EXPECT_EQ(state.reseeds, unbroken.reseeds);
  EXPECT_EQ(state.floored, unbroken.floored);

  this->options.reseed = false;
  const int before = parts.asked_for_rows;
  gaussmix::fit_passes(parts, start, this->options);
  EXPECT_EQ(parts.asked_for_rows, before);
}

}  // namespace
