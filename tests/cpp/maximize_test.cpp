// The M-step against the reference, and what becomes of components that the statistics do not determine.
#include "gaussmix/maximize.hpp"

#include "gaussmix/instances.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::maximize;
using gaussmix::Repairs;
using gaussmix::Statistics;

template <class Covariance>
struct Maximize : testing::Test {
  static constexpr Index k = 3, d = 3;

  static Statistics<Covariance> statistics() {
    const auto mixture = random_mixture<Covariance>(k, d, 1);
    Statistics<Covariance> s(k, d);
    s.counts << 10, 20, 70;
    s.means = mixture.means;
    s.covariances = mixture.covariances;
    s.total_weight = 100;
    return s;
  }
};
TYPED_TEST_SUITE(Maximize, AllTypes, TypeNames);

TYPED_TEST(Maximize, equals_the_reference) {
  const auto s = this->statistics();
  for (const double reg_covar : {0.0, 1e-6, 0.5}) {
    const auto mixture = maximize(s, reg_covar);
    EXPECT_TRUE(close(mixture.weights, Table(s.counts / 100), 1e-15L));
    EXPECT_TRUE(mixture.means == s.means);
    for (Index m = 0; m < s.covariances.rows(); ++m) {
      Table sigma = reference::dense(TypeParam{}, s.covariances.row(m).data(), this->d);
      for (Index j = 0; j < this->d; ++j) sigma(j, j) += reg_covar;
      const RowVector covariance = mixture.covariances.row(m), u = mixture.precisions_cholesky.row(m);
      EXPECT_TRUE(close(covariance, reference::stored(TypeParam{}, sigma), 1e-15L));
      EXPECT_TRUE(close(Matrix(TypeParam::dense(u.data(), this->d)), reference::precision_factor(sigma), 1e-13L));
    }
  }
}

TYPED_TEST(Maximize, good_statistics_need_no_repair) {
  Repairs repairs;
  const auto with = maximize(this->statistics(), 1e-6, &repairs), without = maximize(this->statistics(), 1e-6);
  EXPECT_TRUE(repairs.floored.empty() && repairs.starved.empty());
  EXPECT_TRUE(same_bits(with, without));
}

TYPED_TEST(Maximize, mean_total_variance_is_that_of_the_rows) {
  const Matrix x = 3 * normals(50, this->d, 2), w = normals(50, this->k, 3).cwiseAbs();
  const auto m = reference::moments<TypeParam>(x, w);
  auto s = this->statistics();
  for (Index c = 0; c < this->k; ++c) s.counts(c) = static_cast<double>(m.counts[static_cast<std::size_t>(c)]);
  for (Index i = 0; i < s.means.size(); ++i)
    s.means.data()[i] = static_cast<double>(m.means.values[static_cast<std::size_t>(i)]);
  for (Index i = 0; i < s.covariances.size(); ++i)
    s.covariances.data()[i] = static_cast<double>(m.covariances.values[static_cast<std::size_t>(i)]);
  const auto all = reference::moments<gaussmix::Spherical>(x, Table(Matrix(w.rowwise().sum())));
  EXPECT_NEAR(gaussmix::mean_total_variance(s) / static_cast<double>(all.covariances(0, 0)), 1, 1e-13);
}

TYPED_TEST(Maximize, a_singular_covariance_is_floored) {
  auto s = this->statistics();
  const Index bad = s.covariances.rows() - 1;
  s.covariances.row(bad).setZero();
  const double floor = 0x1p20 * std::numeric_limits<double>::epsilon() * gaussmix::mean_total_variance(s);
  EXPECT_THROW(maximize(s, 0), gaussmix::NotPositiveDefinite);
  Repairs repairs;
  const auto mixture = maximize(s, 0, &repairs);
  EXPECT_EQ(repairs.floored, std::vector<Index>{bad});
  EXPECT_TRUE(repairs.starved.empty());
  const Matrix covariance = TypeParam::dense(mixture.covariances.row(bad).data(), this->d);
  EXPECT_TRUE(close(covariance, Table(floor * Matrix::Identity(this->d, this->d)), 1e-14L));
  EXPECT_TRUE(mixture.precisions_cholesky.allFinite());

  repairs = {};
  maximize(s, 1e-6, &repairs);  // regularised: nothing is singular
  EXPECT_TRUE(repairs.floored.empty());
}

TYPED_TEST(Maximize, a_variance_that_is_rounding_of_the_mean_is_floored) {
  auto s = this->statistics();
  s.means.array() += 1e8;
  s.covariances *= 1e-16;  // deviations of 1e-8 at 1e8: half a digit
  Repairs repairs;
  maximize(s, 0, &repairs);
  EXPECT_EQ(static_cast<Index>(repairs.floored.size()), s.covariances.rows());
}

TYPED_TEST(Maximize, what_is_far_from_positive_definite_is_an_error) {
  auto s = this->statistics();
  s.covariances.row(0) *= -1;
  EXPECT_THROW(maximize(s, 0), gaussmix::NotPositiveDefinite);
  Repairs repairs;
  EXPECT_THROW(maximize(s, 0, &repairs), gaussmix::DegenerateData);
}

TYPED_TEST(Maximize, a_component_without_rows_is_given_the_pooled_covariance) {
  for (const double count : {0.0, 1e-20}) {
    auto s = this->statistics();
    s.counts(1) = count;
    EXPECT_THROW(maximize(s, 1e-6), gaussmix::NotPositiveDefinite);
    Repairs repairs;
    const auto mixture = maximize(s, 0, &repairs);
    EXPECT_EQ(repairs.starved, std::vector<Index>{1});
    EXPECT_TRUE(repairs.floored.empty());
    RowVector pooled = s.covariances.row(0);
    if (!TypeParam::shared) pooled = (10 * s.covariances.row(0) + 70 * s.covariances.row(2)) / 80;
    EXPECT_TRUE(close(mixture.covariances.row(gaussmix::matrix_of<TypeParam>(1)), pooled, 1e-14L));
    EXPECT_NEAR(mixture.weights.sum(), 1, 1e-15);
  }
}

TYPED_TEST(Maximize, nothing_to_maximise_is_an_error) {
  EXPECT_THROW(maximize(Statistics<TypeParam>(2, 2), 1e-6), std::invalid_argument);
  auto s = this->statistics();  // no row has any spread: there is no scale to floor by
  s.covariances.setZero();
  s.means.setOnes();
  Repairs repairs;
  EXPECT_THROW(maximize(s, 0, &repairs), gaussmix::DegenerateData);
}

TYPED_TEST(Maximize, many_large_matrices_on_threads_have_the_same_bits) {
  const Index k = 20, d = 30;  // enough numbers that threads are used
  const auto mixture = random_mixture<TypeParam>(k, d, 90);
  gaussmix::Statistics<TypeParam> s(k, d);
  s.counts.setConstant(5);
  s.means = mixture.means;
  s.covariances = mixture.covariances;
  s.covariances.row(0).setZero();  // one is singular
  gaussmix::Repairs one, three;
  const auto a = gaussmix::maximize(s, 0, &one, 1), b = gaussmix::maximize(s, 0, &three, 3);
  EXPECT_TRUE(same_bits(a, b));
  EXPECT_EQ(one.floored, std::vector<Index>{0});
  EXPECT_EQ(one.floored, three.floored);
  const gaussmix::LogProb<TypeParam> p(mixture, 1), q(mixture, 3);
  EXPECT_TRUE(p.precision_norms() == q.precision_norms() && p.mean_norms() == q.mean_norms());
  for (Index c = 0; c < k; ++c) EXPECT_TRUE(p.coefficients().column(c) == q.coefficients().column(c));
}

}  // namespace
