// EM as a whole: each iteration against the reference, and the laws that a fit obeys.
#include "gaussmix/fit.hpp"

#include "gaussmix/instances.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Data;
using gaussmix::fit;
using gaussmix::FitOptions;
using gaussmix::Mixture;

template <class Covariance>
struct Fit : testing::Test {
  static constexpr Index n = 400, d = 3, k = 3;
  Matrix x = clusters(n, d, 1);
  FitOptions options;

  Fit() {
    options.tol = 0;  // never converged: exactly max_iter iterations
    options.max_iter = 20;
  }
  /// A complete start, its components in the given order.
  static gaussmix::Start start(std::vector<Index> order = {0, 1, 2}) {
    const auto m = random_mixture<Covariance>(k, d, 2);
    gaussmix::Start s;
    s.weights = m.weights(order);
    s.means = m.means(order, Eigen::all);
    s.precisions = m.covariances;
    for (Index row = 0; row < m.covariances.rows(); ++row)
      Covariance::precision(
          m.precisions_cholesky.row(Covariance::shared ? 0 : order[static_cast<std::size_t>(row)]).data(), d,
          s.precisions->row(row).data());
    return s;
  }
  static double score(const Mixture<Covariance>& mixture, const Matrix& x, const std::vector<double>& weights = {}) {
    const auto m = reference::accumulate(mixture, x, weights);
    return static_cast<double>(m.log_likelihood / m.total_weight);
  }
};
TYPED_TEST_SUITE(Fit, AllTypes, TypeNames);

TYPED_TEST(Fit, each_iteration_equals_the_reference) {
  const auto weights = uniforms(this->n, 0, 2, 3);
  Data data(this->x);
  data.set_weights(weights.data());
  this->options.max_iter = 8;
  this->options.reg_covar = 1e-3;
  this->options.start = this->start();
  const auto result = fit<TypeParam>(data, this->k, this->options);
  ASSERT_EQ(result.n_iter(), 8);

  const auto& s = this->options.start;
  auto mixture = gaussmix::from_precisions<TypeParam>(*s.weights, *s.means, *s.precisions);
  for (int iteration = 0; iteration < 8; ++iteration) {
    const auto m = reference::accumulate(mixture, this->x, weights);
    EXPECT_NEAR(result.lower_bounds[static_cast<std::size_t>(iteration)],
                static_cast<double>(m.log_likelihood / m.total_weight), 1e-11);
    for (Index c = 0; c < this->k; ++c) {
      mixture.weights(c) = static_cast<double>(m.counts[static_cast<std::size_t>(c)] / m.total_weight);
      for (Index j = 0; j < this->d; ++j) mixture.means(c, j) = static_cast<double>(m.means(c, j));
    }
    for (Index r = 0; r < m.covariances.rows; ++r) {
      for (Index j = 0; j < m.covariances.cols; ++j)
        mixture.covariances(r, j) = static_cast<double>(m.covariances(r, j));
      Table sigma = reference::dense(TypeParam{}, mixture.covariances.row(r).data(), this->d);
      for (Index j = 0; j < this->d; ++j) sigma(j, j) += 1e-3;
      mixture.covariances.row(r) = rounded(reference::stored(TypeParam{}, sigma));
      mixture.precisions_cholesky.row(r) = rounded(reference::stored(TypeParam{}, reference::precision_factor(sigma)));
    }
  }
  EXPECT_LE(largest_difference(result.mixture, mixture), 1e-10L);
  EXPECT_TRUE(close(result.mixture.precisions_cholesky, mixture.precisions_cholesky, 1e-10L));
}

TYPED_TEST(Fit, the_likelihood_never_falls) {
  this->options.reg_covar = 0;
  this->options.max_iter = 80;
  for (const auto method : {gaussmix::Initialization::random, gaussmix::Initialization::random_from_data}) {
    this->options.initialization = method;
    const auto result = fit<TypeParam>(Data(this->x), this->k, this->options);
    ASSERT_EQ(result.n_iter(), 80);
    EXPECT_TRUE(result.events.empty());
    for (std::size_t i = 1; i < 80; ++i)
      EXPECT_GE(result.lower_bounds[i], result.lower_bounds[i - 1] - 1e-12) << "iteration " << i;
    EXPECT_GE(result.lower_bound, result.lower_bounds.back() - 1e-12);
    EXPECT_GT(result.lower_bound, result.lower_bounds.front() + 1e-4);
  }
}

TYPED_TEST(Fit, lower_bound_is_the_score_of_the_result) {
  const auto weights = uniforms(this->n, 0, 2, 4);
  Data data(this->x);
  data.set_weights(weights.data());
  this->options.max_iter = 5;
  const auto result = fit<TypeParam>(data, this->k, this->options);
  EXPECT_NEAR(result.lower_bound, this->score(result.mixture, this->x, weights), 1e-12);
  EXPECT_FALSE(result.converged);
}

TYPED_TEST(Fit, converges_at_the_tolerance) {
  this->options.tol = 1e-4;
  this->options.max_iter = 1000;
  const auto result = fit<TypeParam>(Data(this->x), this->k, this->options);
  EXPECT_TRUE(result.converged);
  const auto& bounds = result.lower_bounds;
  ASSERT_GE(bounds.size(), 2u);
  for (std::size_t i = 1; i < bounds.size(); ++i)
    EXPECT_EQ(std::abs(bounds[i] - bounds[i - 1]) < 1e-4, i + 1 == bounds.size()) << "iteration " << i;
}

TYPED_TEST(Fit, going_on_equals_not_stopping) {
  this->options.max_iter = 12;
  const auto whole = fit<TypeParam>(Data(this->x), this->k, this->options);
  this->options.max_iter = 5;
  auto first = fit<TypeParam>(Data(this->x), this->k, this->options);
  this->options.max_iter = 7;
  const auto second = fit<TypeParam>(Data(this->x), this->k, this->options, &first.mixture, first.lower_bounds.back());
  EXPECT_TRUE(same_bits(second.mixture, whole.mixture));
  EXPECT_EQ(second.lower_bound, whole.lower_bound);
  first.lower_bounds.insert(first.lower_bounds.end(), second.lower_bounds.begin(), second.lower_bounds.end());
  EXPECT_EQ(first.lower_bounds, whole.lower_bounds);
  // The bound that went before counts for convergence.
  this->options.tol = HUGE_VAL;
  EXPECT_TRUE(fit<TypeParam>(Data(this->x), this->k, this->options, &first.mixture, 0.0).n_iter() == 1);
}

TYPED_TEST(Fit, permuting_components_of_the_start_permutes_the_result) {
  this->options.start = this->start();
  const auto a = fit<TypeParam>(Data(this->x), this->k, this->options);
  const std::vector<Index> order{2, 0, 1};
  this->options.start = this->start(order);
  auto b = fit<TypeParam>(Data(this->x), this->k, this->options);
  const auto expected = a.mixture;
  for (Index c = 0; c < 3; ++c) {
    const Index from = order[static_cast<std::size_t>(c)];
    EXPECT_NEAR(b.mixture.weights(c), expected.weights(from), 1e-10);
    EXPECT_TRUE(close(b.mixture.means.row(c), expected.means.row(from), 1e-9L, 1));
    EXPECT_TRUE(close(b.mixture.covariances.row(gaussmix::matrix_of<TypeParam>(c)),
                      expected.covariances.row(gaussmix::matrix_of<TypeParam>(from)), 1e-9L));
  }
}

TYPED_TEST(Fit, the_order_of_the_rows_does_not_matter) {
  this->options.start = this->start();
  const auto a = fit<TypeParam>(Data(this->x), this->k, this->options);
  const Matrix reversed = this->x.colwise().reverse();
  const auto b = fit<TypeParam>(Data(reversed), this->k, this->options);
  EXPECT_LE(largest_difference(a.mixture, b.mixture), 1e-9L);
}

TYPED_TEST(Fit, weight_two_equals_a_repeated_row) {
  this->options.start = this->start();
  std::vector<double> weights(static_cast<std::size_t>(this->n), 1.0);
  Matrix repeated(this->n + 100, this->d);
  repeated << this->x, this->x.topRows(100);
  for (std::size_t i = 0; i < 100; ++i) weights[i] = 2;
  const auto a = fit<TypeParam>(Data(this->x).set_weights(weights.data()), this->k, this->options);
  const auto b = fit<TypeParam>(Data(repeated), this->k, this->options);
  EXPECT_LE(largest_difference(a.mixture, b.mixture), 1e-9L);
  EXPECT_NEAR(a.lower_bound, b.lower_bound, 1e-11);
}

TYPED_TEST(Fit, same_bits_at_any_number_of_threads) {
  const Matrix x = clusters(2000, this->d, 5);
  this->options.max_iter = 4;
  this->options.n_init = 2;
  this->options.initialization = gaussmix::Initialization::random_from_data;
  const auto one = fit<TypeParam>(Data(x), this->k, this->options);
  for (const int n_threads : {2, 3, 8}) {
    this->options.n_threads = n_threads;
    const auto many = fit<TypeParam>(Data(x), this->k, this->options);
    EXPECT_TRUE(same_bits(many.mixture, one.mixture)) << n_threads;
    EXPECT_EQ(many.lower_bounds, one.lower_bounds);
  }
}

TYPED_TEST(Fit, single_rounds_the_result_and_its_bound) {
  this->options.single = true;
  const auto result = fit<TypeParam>(Data(this->x), this->k, this->options);
  const auto& m = result.mixture;
  for (const Matrix& p : {Matrix(m.weights), m.means, m.covariances, m.precisions_cholesky})
    EXPECT_TRUE(p == p.cast<float>().cast<double>());
  EXPECT_NEAR(result.lower_bound, this->score(m, this->x), 1e-12);
}

TYPED_TEST(Fit, a_large_offset_changes_nothing_but_the_means) {
  this->options.reg_covar = 0;
  this->x = (this->x * 1024).array().round() / 1024;  // exact after the shift
  const auto a = fit<TypeParam>(Data(this->x), this->k, this->options);
  const Matrix shifted = this->x.array() + 1e8;
  const auto b = fit<TypeParam>(Data(shifted), this->k, this->options);
  EXPECT_NEAR(a.lower_bound, b.lower_bound, 1e-6);
  EXPECT_TRUE(close(b.mixture.covariances, a.mixture.covariances, 1e-6L));
  EXPECT_TRUE(close(Matrix(b.mixture.means.array() - 1e8), a.mixture.means, 1e-6L, 1));
}

}  // namespace
