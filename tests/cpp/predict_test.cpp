// What a mixture says of rows: each function against the reference, and labels as the argmax of what is given out.
#include "gaussmix/predict.hpp"

#include "gaussmix/instances.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Data;
using gaussmix::LogProb;
using gaussmix::Products;

template <class Covariance>
struct Predict : testing::Test {
  static constexpr Index n = 500, d = 3, k = 4;
  gaussmix::Mixture<Covariance> mixture = random_mixture<Covariance>(k, d, 1, 1.5);
  LogProb<Covariance> log_prob{mixture};
  Matrix x = rows_near(mixture, n, 2);
  std::vector<double> weights = uniforms(n, 0, 2, 3);
  reference::Expectation e = reference::expect(mixture, x);
};
TYPED_TEST_SUITE(Predict, AllTypes, TypeNames);

TYPED_TEST(Predict, log_densities_and_responsibilities) {
  for (const int n_threads : {1, 3}) {
    Vector l(this->n);
    Matrix r(this->n, this->k);
    Eigen::VectorXf l_single(this->n);
    gaussmix::log_densities(this->log_prob, this->x, l.data(), n_threads);
    gaussmix::log_densities(this->log_prob, this->x, l_single.data(), n_threads);
    gaussmix::responsibilities(this->log_prob, this->x, r.data(), n_threads);
    EXPECT_TRUE(close(l, column(this->e.log_norm), 1e-11L));
    EXPECT_TRUE(close(r, this->e.r, 1e-11L, 1));
    EXPECT_TRUE(l_single == l.template cast<float>());
  }
}

template <class Scalar, class Test>
void expect_labels_are_argmax(const Test& test, const Matrix& x) {
  std::vector<Scalar> r(static_cast<std::size_t>(x.rows() * test.k));
  std::vector<std::int64_t> labels(static_cast<std::size_t>(x.rows()));
  gaussmix::responsibilities(test.log_prob, x, r.data());
  gaussmix::labels<Scalar>(test.log_prob, x, labels.data(), 2);
  for (Index i = 0; i < x.rows(); ++i) {
    const auto row = r.begin() + i * test.k;
    EXPECT_EQ(labels[static_cast<std::size_t>(i)], std::max_element(row, row + test.k) - row) << "row " << i;
  }
}

TYPED_TEST(Predict, labels_are_the_argmax_of_the_responsibilities) {
  expect_labels_are_argmax<double>(*this, this->x);
  expect_labels_are_argmax<float>(*this, this->x);
  // Responsibilities that differ in double and are equal in float: rows halfway between two components.
  this->mixture.means.row(1) = this->mixture.means.row(0);
  this->mixture.means(1, 0) += 1;
  this->mixture.weights << 0.4, 0.4 + 1e-9, 0.1, 0.1;
  for (Index m = 1; m < this->mixture.covariances.rows(); ++m) {
    this->mixture.covariances.row(m) = this->mixture.covariances.row(0);
    this->mixture.precisions_cholesky.row(m) = this->mixture.precisions_cholesky.row(0);
  }
  this->log_prob = LogProb<TypeParam>(this->mixture);
  const Matrix middle = (this->mixture.means.row(0) + this->mixture.means.row(1)) / 2;
  expect_labels_are_argmax<double>(*this, middle);
  expect_labels_are_argmax<float>(*this, middle);
  std::int64_t in_double = 0, in_float = 0;
  gaussmix::labels<double>(this->log_prob, middle, &in_double);
  gaussmix::labels<float>(this->log_prob, middle, &in_float);
  EXPECT_EQ(in_double, 1);
  EXPECT_EQ(in_float, 0);
}

TYPED_TEST(Predict, score_is_the_weighted_mean_log_density) {
  Data data(this->x);
  Real plain = 0, weighted = 0, total = 0;
  for (std::size_t i = 0; i < this->weights.size(); ++i) {
    plain += this->e.log_norm[i] / this->n;
    weighted += this->weights[i] * this->e.log_norm[i];
    total += this->weights[i];
  }
  EXPECT_NEAR(gaussmix::score(this->log_prob, data), static_cast<double>(plain), 1e-12);
  data.set_weights(this->weights.data());
  EXPECT_NEAR(gaussmix::score(this->log_prob, data), static_cast<double>(weighted / total), 1e-12);
  EXPECT_EQ(gaussmix::score(this->log_prob, data, 3), gaussmix::score(this->log_prob, data, 1));
}

TYPED_TEST(Predict, classification_log_likelihood) {
  Real sum = 0, total = 0;
  for (Index i = 0; i < this->n; ++i) {
    Real largest = 0;
    for (Index c = 0; c < this->k; ++c) largest = std::max(largest, this->e.r(i, c));
    sum += this->weights[static_cast<std::size_t>(i)] * std::log(largest);
    total += this->weights[static_cast<std::size_t>(i)];
  }
  Data data(this->x);
  data.set_weights(this->weights.data());
  EXPECT_NEAR(gaussmix::classification_log_likelihood(this->log_prob, data), static_cast<double>(sum / total), 1e-12);
  EXPECT_EQ(gaussmix::classification_log_likelihood(this->log_prob, data, 3),
            gaussmix::classification_log_likelihood(this->log_prob, data, 1));
}

TYPED_TEST(Predict, classification_log_likelihood_of_components_apart) {
  // Sizes from which blocks are screened.
  const auto apart = random_mixture<TypeParam>(12, 20, 4, 8);
  const Matrix rows = rows_near(apart, 700, 5);
  const auto expected = reference::expect(apart, rows);
  Real sum = 0;
  for (Index i = 0; i < 700; ++i) {
    Real largest = 0;
    for (Index c = 0; c < 12; ++c) largest = std::max(largest, expected.r(i, c));
    sum += std::log(largest);
  }
  const LogProb<TypeParam> prepared(apart);
  EXPECT_NEAR(gaussmix::classification_log_likelihood(prepared, Data(rows)), static_cast<double>(sum / 700), 1e-11);
}

TYPED_TEST(Predict, worst_rows_come_lowest_first_and_have_weight) {
  std::vector<Index> order(static_cast<std::size_t>(this->n));
  for (Index i = 0; i < this->n; ++i) order[static_cast<std::size_t>(i)] = i;
  std::sort(order.begin(), order.end(), [&](Index a, Index b) {
    return this->e.log_norm[static_cast<std::size_t>(a)] < this->e.log_norm[static_cast<std::size_t>(b)];
  });
  this->weights[static_cast<std::size_t>(order[0])] = 0;
  this->weights[static_cast<std::size_t>(order[2])] = 0;
  Data data(this->x);
  data.set_weights(this->weights.data());
  const std::vector<Index> expected{order[1], order[3], order[4]};
  EXPECT_EQ(gaussmix::worst_rows(this->log_prob, data, 3, 1), expected);
  EXPECT_EQ(gaussmix::worst_rows(this->log_prob, data, 3, 3), expected);
  EXPECT_EQ(gaussmix::worst_rows(this->log_prob, data, 10000, 1).size(), static_cast<std::size_t>(this->n - 2));
}

TYPED_TEST(Predict, what_was_prepared_for_float_predicts_in_double) {
  const auto mixture = random_mixture<TypeParam>(3, 2, 5, 0.5, 2);
  const Eigen::MatrixXf rows = (0.5 * normals(100, 2, 6)).template cast<float>();
  const LogProb<TypeParam> exact(mixture), prepared(mixture, 1, Products::single);
  const auto predictions = [&](const LogProb<TypeParam>& log_prob) {
    Vector log_p(100), r(300);
    std::vector<std::int64_t> labels(100);
    gaussmix::log_densities(log_prob, Data(rows), log_p.data());
    gaussmix::responsibilities(log_prob, Data(rows), r.data());
    gaussmix::labels<double>(log_prob, Data(rows), labels.data());
    return std::tuple(log_p, r, labels, gaussmix::score(log_prob, Data(rows)),
                      gaussmix::classification_log_likelihood(log_prob, Data(rows)));
  };
  EXPECT_EQ(predictions(prepared), predictions(exact));
}

TYPED_TEST(Predict, sizes_must_agree) {
  const Matrix narrow = this->x.leftCols(2);
  EXPECT_THROW(gaussmix::score(this->log_prob, narrow), std::invalid_argument);
}

}  // namespace
