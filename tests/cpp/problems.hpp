// What the suites share: the list of types, random rows and mixtures, and comparison with the reference.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "gaussmix/mixture.hpp"
#include "gaussmix/statistics.hpp"
#include "reference.hpp"

namespace problems {

using gaussmix::Block;
using gaussmix::Index;
using gaussmix::Matrix;
using gaussmix::RowVector;
using gaussmix::Vector;
using reference::Real;
using reference::Table;

template <class Tuple>
struct TypesOf;
template <class... Types>
struct TypesOf<std::tuple<Types...>> {
  using type = testing::Types<Types...>;
};

/// Every covariance type that the library lists, for TYPED_TEST_SUITE.
using AllTypes = TypesOf<gaussmix::Covariances>::type;

/// Names typed suites after the covariance type.
struct TypeNames {
  template <class Covariance>
  static std::string GetName(int) {
    return Covariance::name;
  }
};

/// n x d standard normal numbers.
Matrix normals(Index n, Index d, unsigned seed);

/// n numbers uniform in [low, high).
std::vector<double> uniforms(Index n, double low, double high, unsigned seed);

/// A d x d covariance with eigenvalues from 1 to 1 / condition, in random directions (as far as its type has any).
Matrix random_covariance(Index d, double condition, unsigned seed);

/// A row of numbers of a type, from the long double ones.
RowVector rounded(const Table& row);

/// K components with means of about `separation` and covariances of that condition.
template <class Covariance>
gaussmix::Mixture<Covariance> random_mixture(Index k, Index d, unsigned seed, double separation = 3,
                                             double condition = 10) {
  Matrix matrices(gaussmix::n_matrices<Covariance>(k), Covariance::entries(d));
  for (Index m = 0; m < matrices.rows(); ++m)
    matrices.row(m) = rounded(
        reference::stored(Covariance{}, random_covariance(d, condition, seed + 1000u * static_cast<unsigned>(m + 1))));
  Vector weights(k);
  for (Index c = 0; c < k; ++c) weights(c) = 1 + static_cast<double>(c % 3);
  return gaussmix::from_covariances<Covariance>(weights, separation * normals(k, d, seed), matrices);
}

/// n rows around the means of a mixture, a cluster of width about 1 for each, in mixed order.
template <class Covariance>
Matrix rows_near(const gaussmix::Mixture<Covariance>& mixture, Index n, unsigned seed) {
  const Index d = mixture.n_features();
  Matrix x = normals(n, d, seed) * random_covariance(d, 5, seed + 1);
  for (Index i = 0; i < n; ++i) x.row(i) += mixture.means.row(i * 7 % mixture.n_components());
  return x;
}

/// A mixture of one covariance, `narrow` times as wide in one direction as in another, and n rows of it.
struct Narrow {
  gaussmix::Mixture<gaussmix::Tied> mixture;
  Matrix x;

  Narrow(Index n, Index k, Index d, double narrow, unsigned seed, double separation = 2)
      : mixture(random_mixture<gaussmix::Tied>(k, d, seed, separation)), x(rows_near(mixture, n, seed)) {
    const Matrix squeeze = random_covariance(d, 1 / narrow, seed + 2);
    const Matrix covariance = squeeze * Eigen::Map<const Matrix>(mixture.covariances.data(), d, d) * squeeze;
    x *= squeeze;
    mixture = gaussmix::from_covariances<gaussmix::Tied>(
        mixture.weights, mixture.means * squeeze,
        Eigen::Map<const Matrix>(Matrix((covariance + covariance.transpose()) / 2).data(), 1, d * d));
  }
};

/// n rows of three clusters that overlap somewhat, enough for EM to have work to do.
Matrix clusters(Index n, Index d, unsigned seed);

/// Whether every number is within `tolerance` of the expected one, in units of the largest in its row, or of `unit`.
testing::AssertionResult close(const Table& actual, const Table& expected, Real tolerance, Real unit = 0);

Table column(const std::vector<Real>& values);

/// Whether statistics agree with the moments of the reference: counts relative to the total, means relative to `unit`.
template <class Statistics>
testing::AssertionResult close(const Statistics& s, const reference::Moments& m, Real tolerance, Real unit = 1) {
  if (auto ok = close(s.counts, column(m.counts), tolerance, m.total_weight); !ok) return ok << " in counts";
  if (auto ok = close(s.means, m.means, tolerance, unit); !ok) return ok << " in means";
  if (auto ok = close(s.covariances, m.covariances, tolerance); !ok) return ok << " in covariances";
  const Real off = std::abs(s.log_likelihood - m.log_likelihood) / m.total_weight;
  if (!(off <= tolerance * (1 + std::abs(m.log_likelihood / m.total_weight))))
    return testing::AssertionFailure() << "log-likelihood off by " << off << " a row";
  if (!(std::abs(s.total_weight - m.total_weight) <= tolerance * m.total_weight))
    return testing::AssertionFailure() << "total weight " << s.total_weight << " but should be " << m.total_weight;
  return testing::AssertionSuccess();
}

/// Whether two mixtures, or two statistics, have the same bits in all that they hold.
template <class Covariance>
bool same_bits(const gaussmix::Mixture<Covariance>& a, const gaussmix::Mixture<Covariance>& b) {
  return a.weights == b.weights && a.means == b.means && a.covariances == b.covariances &&
         a.precisions_cholesky == b.precisions_cholesky;
}

template <class Covariance>
bool same_bits(const gaussmix::Statistics<Covariance>& a, const gaussmix::Statistics<Covariance>& b) {
  return a.counts == b.counts && a.means == b.means && a.covariances == b.covariances &&
         a.log_likelihood == b.log_likelihood && a.total_weight == b.total_weight;
}

template <class Covariance>
Real largest_difference(const gaussmix::Mixture<Covariance>& a, const gaussmix::Mixture<Covariance>& b) {
  return std::max({(a.weights - b.weights).cwiseAbs().maxCoeff(), (a.means - b.means).cwiseAbs().maxCoeff(),
                   (a.covariances - b.covariances).cwiseAbs().maxCoeff()});
}

}  // namespace problems
