// The plain struct and its two constructors: sizes, parameters that are free, errors.
#include "gaussmix/mixture.hpp"

#include <map>

#include "problems.hpp"

namespace {

using namespace problems;

template <class Covariance>
struct MixtureOf : testing::Test {};
TYPED_TEST_SUITE(MixtureOf, AllTypes, TypeNames);

TYPED_TEST(MixtureOf, free_parameters) {
  // K = 3, d = 4: 2 weights, 12 coordinates of means, and the covariances'
  const std::map<std::string, Index> covariances{{"full", 30}, {"tied", 10}, {"diag", 12}, {"spherical", 3}};
  EXPECT_EQ(gaussmix::Mixture<TypeParam>(3, 4).n_parameters(), 2 + 12 + covariances.at(TypeParam::name));
}

TYPED_TEST(MixtureOf, stores_one_matrix_or_one_each) {
  const gaussmix::Mixture<TypeParam> mixture(3, 4);
  const std::map<std::string, std::pair<Index, Index>> shapes{
      {"full", {3, 16}}, {"tied", {1, 16}}, {"diag", {3, 4}}, {"spherical", {3, 1}}};
  EXPECT_EQ(mixture.covariances.rows(), shapes.at(TypeParam::name).first);
  EXPECT_EQ(mixture.covariances.cols(), shapes.at(TypeParam::name).second);
  EXPECT_EQ(mixture.covariance(2) - mixture.covariance(0), TypeParam::shared ? 0 : 2 * mixture.covariances.cols());
}

TYPED_TEST(MixtureOf, from_covariances_and_from_precisions_agree) {
  const auto mixture = random_mixture<TypeParam>(3, 4, 1);
  EXPECT_NEAR(mixture.weights.sum(), 1, 1e-15);
  EXPECT_NEAR(mixture.weights(1), 2.0 / 6, 1e-15);
  Matrix precisions(mixture.covariances.rows(), mixture.covariances.cols());
  for (Index m = 0; m < precisions.rows(); ++m)
    precisions.row(m) = rounded(reference::stored(
        TypeParam{}, reference::inverse(reference::dense(TypeParam{}, mixture.covariances.row(m).data(), 4))));
  const auto other = gaussmix::from_precisions<TypeParam>(7 * mixture.weights, mixture.means, precisions);
  EXPECT_TRUE(close(other.precisions_cholesky, mixture.precisions_cholesky, 1e-12L));
  EXPECT_TRUE(close(other.covariances, mixture.covariances, 1e-12L));
  EXPECT_TRUE(close(other.weights, mixture.weights, 1e-15L));
}

TYPED_TEST(MixtureOf, bad_parameters_are_refused) {
  const auto good = random_mixture<TypeParam>(2, 2, 2);
  const auto make = [&](auto change) {
    auto m = good;
    change(m);
    return gaussmix::from_covariances<TypeParam>(m.weights, m.means, m.covariances);
  };
  EXPECT_NO_THROW(make([](auto&) {}));
  EXPECT_THROW(make([](auto& m) { m.weights(0) = -1; }), std::invalid_argument);
  EXPECT_THROW(make([](auto& m) { m.weights.setZero(); }), std::invalid_argument);
  EXPECT_THROW(make([](auto& m) { m.weights = Vector::Ones(3); }), std::invalid_argument);
  EXPECT_THROW(make([](auto& m) { m.weights(0) = std::nan(""); }), std::invalid_argument);
  EXPECT_THROW(make([](auto& m) { m.means(0, 0) = HUGE_VAL; }), std::invalid_argument);
  EXPECT_THROW(make([](auto& m) { m.means.resize(0, 2); }), std::invalid_argument);
  EXPECT_THROW(make([](auto& m) { m.covariances(0, 0) = std::nan(""); }), std::invalid_argument);
  EXPECT_THROW(make([](auto& m) { m.covariances = Matrix::Ones(5, 5); }), std::invalid_argument);
  EXPECT_THROW(make([](auto& m) { m.covariances(0, 0) = -1; }), gaussmix::NotPositiveDefinite);
  Matrix precisions = good.covariances;
  precisions(0, 0) = -1;
  EXPECT_THROW(gaussmix::from_precisions<TypeParam>(good.weights, good.means, precisions),
               gaussmix::NotPositiveDefinite);
}

}  // namespace
