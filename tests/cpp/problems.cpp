#include "problems.hpp"

#include <cmath>
#include <random>

namespace problems {

Matrix normals(Index n, Index d, unsigned seed) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal;
  Matrix x(n, d);
  for (Index i = 0; i < x.size(); ++i) x.data()[i] = normal(engine);
  return x;
}

std::vector<double> uniforms(Index n, double low, double high, unsigned seed) {
  std::mt19937_64 engine(seed);
  std::uniform_real_distribution<double> uniform(low, high);
  std::vector<double> values(static_cast<std::size_t>(n));
  for (double& v : values) v = uniform(engine);
  return values;
}

Matrix random_covariance(Index d, double condition, unsigned seed) {
  Matrix a = normals(d, d, seed);
  for (Index i = 0; i < d; ++i) {  // Gram and Schmidt
    for (Index j = 0; j < i; ++j) a.row(i) -= a.row(i).dot(a.row(j)) * a.row(j);
    a.row(i).normalize();
  }
  Matrix sigma = Matrix::Zero(d, d);
  for (Index i = 0; i < d; ++i)
    sigma += std::pow(condition, -static_cast<double>(i) / static_cast<double>(std::max<Index>(d - 1, 1))) *
             Matrix(a.row(i).transpose() * a.row(i));
  return (sigma + Matrix(sigma.transpose())) / 2;
}

RowVector rounded(const Table& row) {
  RowVector result(row.cols);
  for (Index j = 0; j < row.cols; ++j) result(j) = static_cast<double>(row(0, j));
  return result;
}

Matrix clusters(Index n, Index d, unsigned seed) {
  Matrix x = normals(n, d, seed);
  const Matrix centres = 2.5 * normals(3, d, seed + 1);
  for (Index i = 0; i < n; ++i) x.row(i) = x.row(i) * (i % 3 == 0 ? 0.5 : 1) + centres.row(i % 3);
  return x;
}

Table column(const std::vector<Real>& values) {
  Table result(static_cast<Index>(values.size()), 1);
  result.values = values;
  return result;
}

testing::AssertionResult close(const Table& actual, const Table& expected, Real tolerance, Real unit) {
  if (actual.rows != expected.rows || actual.cols != expected.cols)
    return testing::AssertionFailure() << "sizes differ: " << actual.rows << " x " << actual.cols << " and "
                                       << expected.rows << " x " << expected.cols;
  for (Index i = 0; i < expected.rows; ++i) {
    Real largest = 0;
    for (Index j = 0; j < expected.cols; ++j) largest = std::max(largest, std::abs(expected(i, j)));
    for (Index j = 0; j < expected.cols; ++j) {
      const Real error = std::abs(actual(i, j) - expected(i, j)), scale = unit > 0 ? unit : largest;
      if (!(error <= tolerance * scale))
        return testing::AssertionFailure()
               << "(" << i << ", " << j << "): " << actual(i, j) << " but should be " << expected(i, j) << ", off by "
               << error << ", " << error / scale << " relative";
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace problems
