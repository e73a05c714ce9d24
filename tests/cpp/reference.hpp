// The reference: Gaussian mixtures in long double, as the textbook writes them, with plain loops over dense matrices.
//
// It shares no formula with the library: rows are taken as they are (no origin, no features), covariances are d x d
// whatever the type, moments are two-pass (means first, then squares about them), Cholesky is written out. A stored
// covariance, precision or factor is expanded by `dense`, and a dense matrix is projected on a type by `stored`.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <vector>

#include "gaussmix/mixture.hpp"

namespace reference {

using Real = long double;
using gaussmix::Index;

/// A row-major matrix of long doubles.
struct Table {
  Index rows = 0, cols = 0;
  std::vector<Real> values;

  Table() = default;
  Table(Index n_rows, Index n_cols)
      : rows(n_rows), cols(n_cols), values(static_cast<std::size_t>(n_rows * n_cols), Real{0}) {}

  /// The numbers of an Eigen matrix or expression.
  template <class Derived>
  Table(const Eigen::MatrixBase<Derived>& m) : Table(m.rows(), m.cols()) {  // NOLINT(google-explicit-constructor)
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < cols; ++j) (*this)(i, j) = m(i, j);
  }

  Real& operator()(Index i, Index j) { return values[static_cast<std::size_t>(i * cols + j)]; }
  Real operator()(Index i, Index j) const { return values[static_cast<std::size_t>(i * cols + j)]; }
};

inline Table identity(Index d) {
  Table result(d, d);
  for (Index i = 0; i < d; ++i) result(i, i) = 1;
  return result;
}

inline Table transposed(const Table& a) {
  Table result(a.cols, a.rows);
  for (Index i = 0; i < a.rows; ++i)
    for (Index j = 0; j < a.cols; ++j) result(j, i) = a(i, j);
  return result;
}

inline Table product(const Table& a, const Table& b) {
  Table result(a.rows, b.cols);
  for (Index i = 0; i < a.rows; ++i)
    for (Index j = 0; j < b.cols; ++j)
      for (Index l = 0; l < a.cols; ++l) result(i, j) += a(i, l) * b(l, j);
  return result;
}

/// Lower triangular L with L L^T = a. \throws std::domain_error unless a is positive-definite
inline Table cholesky(const Table& a) {
  Table lower(a.rows, a.rows);
  for (Index j = 0; j < a.rows; ++j)
    for (Index i = j; i < a.rows; ++i) {
      Real sum = a(i, j);
      for (Index l = 0; l < j; ++l) sum -= lower(i, l) * lower(j, l);
      if (i == j && !(sum > 0)) throw std::domain_error("not positive-definite");
      lower(i, j) = i == j ? std::sqrt(sum) : sum / lower(j, j);
    }
  return lower;
}

/// Inverse of a lower triangular matrix, by forward substitution.
inline Table inverse_lower(const Table& lower) {
  Table result(lower.rows, lower.rows);
  for (Index c = 0; c < lower.rows; ++c)
    for (Index i = c; i < lower.rows; ++i) {
      Real sum = i == c ? 1 : 0;
      for (Index l = c; l < i; ++l) sum -= lower(i, l) * result(l, c);
      result(i, c) = sum / lower(i, i);
    }
  return result;
}

/// U with Sigma^-1 = U U^T, upper triangular.
inline Table precision_factor(const Table& sigma) { return transposed(inverse_lower(cholesky(sigma))); }

inline Table inverse(const Table& sigma) {
  const Table u = precision_factor(sigma);
  return product(u, transposed(u));
}

/// The d x d matrix that a stored covariance, precision or factor stands for.
inline Table dense(gaussmix::Full, const double* m, Index d) {
  Table result(d, d);
  for (Index i = 0; i < d * d; ++i) result(i / d, i % d) = m[i];
  return result;
}
inline Table dense(gaussmix::Diagonal, const double* m, Index d) {
  Table result(d, d);
  for (Index i = 0; i < d; ++i) result(i, i) = m[i];
  return result;
}
inline Table dense(gaussmix::Spherical, const double* m, Index d) {
  Table result(d, d);
  for (Index i = 0; i < d; ++i) result(i, i) = m[0];
  return result;
}

/// What a type stores of a dense matrix: the member of the type that is nearest to it in likelihood. One row.
inline Table stored(gaussmix::Full, const Table& m) {
  Table result(1, m.rows * m.rows);
  result.values = m.values;
  return result;
}
inline Table stored(gaussmix::Diagonal, const Table& m) {
  Table result(1, m.rows);
  for (Index i = 0; i < m.rows; ++i) result(0, i) = m(i, i);
  return result;
}
inline Table stored(gaussmix::Spherical, const Table& m) {
  Table result(1, 1);
  for (Index i = 0; i < m.rows; ++i) result(0, 0) += m(i, i) / static_cast<Real>(m.rows);
  return result;
}

/// What the E-step gives for n rows.
struct Expectation {
  Table log_prob;              ///< n x K, log pi_k + log N(x_n | k)
  std::vector<Real> log_norm;  ///< n, log p(x_n)
  Table r;                     ///< n x K, responsibilities
};

template <class Covariance>
Expectation expect(const gaussmix::Mixture<Covariance>& mixture, const Table& x) {
  const Index n = x.rows, k = mixture.n_components(), d = x.cols;
  Expectation e{Table(n, k), std::vector<Real>(static_cast<std::size_t>(n)), Table(n, k)};
  for (Index c = 0; c < k; ++c) {
    const Table u = dense(Covariance{}, mixture.factor(c), d);
    Real constant = std::log(Real{mixture.weights(c)}) - static_cast<Real>(d) / 2 * std::log(2 * std::acos(Real{-1}));
    for (Index j = 0; j < d; ++j) constant += std::log(u(j, j));
    for (Index i = 0; i < n; ++i) {
      Real distance = 0;
      for (Index j = 0; j < d; ++j) {
        Real y = 0;
        for (Index l = 0; l < d; ++l) y += (x(i, l) - Real{mixture.means(c, l)}) * u(l, j);
        distance += y * y;
      }
      e.log_prob(i, c) = constant - distance / 2;
    }
  }
  for (Index i = 0; i < n; ++i) {
    Real largest = e.log_prob(i, 0), sum = 0;
    for (Index c = 1; c < k; ++c) largest = std::max(largest, e.log_prob(i, c));
    for (Index c = 0; c < k; ++c) sum += std::exp(e.log_prob(i, c) - largest);
    e.log_norm[static_cast<std::size_t>(i)] = largest + std::log(sum);
    for (Index c = 0; c < k; ++c) e.r(i, c) = std::exp(e.log_prob(i, c) - largest) / sum;
  }
  return e;
}

/// Counts, means and covariances, as `gaussmix::Statistics` holds them.
struct Moments {
  std::vector<Real> counts;
  Table means, covariances;
  Real log_likelihood = 0, total_weight = 0;
};

/// Moments of the rows under weights w_nk of each row in each component.
template <class Covariance>
Moments moments(const Table& x, const Table& w) {
  const Index n = x.rows, k = w.cols, d = x.cols;
  Moments m{std::vector<Real>(static_cast<std::size_t>(k), Real{0}), Table(k, d),
            Table(Covariance::shared ? 1 : k, Covariance::entries(d))};
  Table pooled(d, d);
  Real mass = 0;
  for (Index c = 0; c < k; ++c) {
    Real& count = m.counts[static_cast<std::size_t>(c)];
    for (Index i = 0; i < n; ++i) {
      count += w(i, c);
      for (Index j = 0; j < d; ++j) m.means(c, j) += w(i, c) * x(i, j);
    }
    for (Index j = 0; j < d && count > 0; ++j) m.means(c, j) /= count;
    Table scatter(d, d);
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < d; ++j)
        for (Index l = 0; l < d; ++l) scatter(j, l) += w(i, c) * (x(i, j) - m.means(c, j)) * (x(i, l) - m.means(c, l));
    mass += count;
    for (std::size_t j = 0; j < scatter.values.size(); ++j) {
      pooled.values[j] += scatter.values[j];
      if (count > 0) scatter.values[j] /= count;
    }
    const Table own = stored(Covariance{}, scatter);
    for (Index j = 0; j < own.cols && !Covariance::shared; ++j) m.covariances(c, j) = own(0, j);
  }
  for (Real& value : pooled.values) value /= mass;
  if (Covariance::shared) m.covariances = stored(Covariance{}, pooled);
  return m;
}

/// E-step and sums over weighted rows.
template <class Covariance>
Moments accumulate(const gaussmix::Mixture<Covariance>& mixture, const Table& x, const std::vector<double>& weights) {
  Expectation e = expect(mixture, x);
  Real log_likelihood = 0, total = 0;
  for (Index i = 0; i < x.rows; ++i) {
    const Real w = weights.empty() ? 1 : weights[static_cast<std::size_t>(i)];
    if (w > 0) log_likelihood += w * e.log_norm[static_cast<std::size_t>(i)];
    total += w;
    for (Index c = 0; c < e.r.cols; ++c) e.r(i, c) *= w;
  }
  Moments m = moments<Covariance>(x, e.r);
  m.log_likelihood = log_likelihood;
  m.total_weight = total;
  return m;
}

}  // namespace reference
