// A covariance matrix of its own for each component.
//
//   log N(x | mu, Sigma) = -1/2 (d log 2 pi + |U^T (x - mu)|^2) + log |U|,   Sigma^-1 = P = U U^T,  U upper triangular
//
// One matrix is stored as a row of d*d numbers. As an exponential family its features are phi(x) = (1, x, x_i x_j, i <= j)
// and its coefficients (., P mu, -P_ii / 2, -P_ij): Bishop, Pattern Recognition and Machine Learning, 2006, section 2.4.
#pragma once

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>

#include "gaussmix/product.hpp"
#include "gaussmix/types.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// A covariance matrix for each component, d x d numbers. What all types have is documented here.
struct Full {
  static constexpr const char* name = "full";  ///< in files and in Python
  static constexpr bool shared = false;        ///< one matrix for all components
  static constexpr bool independent = false;   ///< the features within a component

  /// A stored matrix as one that can be calculated with.
  using Square = Eigen::Map<Matrix>;
  /// The same, to read.
  using ConstSquare = Eigen::Map<const Matrix>;

  /// Numbers that are stored for a matrix.
  static Index entries(Index d) { return d * d; }
  /// Free parameters in the covariances of k components.
  static Index n_parameters(Index k, Index d) { return k * d * (d + 1) / 2; }

  /// The variance of feature j.
  static double variance(const double* covariance, Index d, Index j) { return covariance[j * d + j]; }

  /// covariance += value I
  template <class = void>
  static void add_diagonal(double* covariance, Index d, double value) {
    Square(covariance, d, d).diagonal().array() += value;
  }

  /// covariance += factor * delta delta^T
  template <class = void>
  static void add_outer(double* covariance, const Eigen::Ref<const RowVector>& delta, double factor) {
    const Index d = delta.size();
    for (Index i = 0; i < d; ++i)
      for (Index j = 0; j < d; ++j) covariance[i * d + j] += factor * (delta(i) * delta(j));
  }

  /// Makes what is below the diagonal equal to what is above.
  static void symmetrize(double* covariance, Index d) {
    for (Index i = 0; i < d; ++i)
      for (Index j = 0; j < i; ++j) covariance[i * d + j] = covariance[j * d + i];
  }

  /// Covariance of x -> diag(scale) x.
  template <class = void>
  static void rescale(double* covariance, const Eigen::Ref<const RowVector>& scale) {
    const Index d = scale.size();
    for (Index i = 0; i < d; ++i) {
      auto row = Square(covariance, d, d).row(i).array();
      row = scale(i) * row * scale.array();
    }
  }

  /// Precision Cholesky factor of x -> diag(scale) x.
  template <class = void>
  static void rescale_factor(double* u, const Eigen::Ref<const RowVector>& scale) {
    const Index d = scale.size();
    Square(u, d, d).array().colwise() /= scale.transpose().array();
  }

  /// U with Sigma^-1 = U U^T. False where a pivot is not above `tolerance` times the variance of its feature.
  template <class = void>
  static bool factor(const double* covariance, Index d, double tolerance, double* u) {
    const Eigen::LLT<Block> llt{Block(ConstSquare(covariance, d, d))};
    if (llt.info() != Eigen::Success) return false;
    const Block& lower = llt.matrixLLT();
    for (Index j = 0; j < d; ++j) {
      const double pivot = lower(j, j) * lower(j, j);
      if (!(pivot > tolerance * covariance[j * d + j]) || !std::isfinite(pivot)) return false;
    }
    // L^-1 by columns is U by rows. A few columns at a time need the rows from their own ones on alone.
    constexpr Index few = 16;
    Eigen::Map<Block> inverse(u, d, d);
    inverse.setIdentity();
    for (Index j = 0; j < d; j += few) {
      auto columns = inverse.block(j, j, d - j, std::min(few, d - j));
      lower.bottomRightCorner(d - j, d - j).template triangularView<Eigen::Lower>().solveInPlace(columns);
    }
    return true;
  }

  /// U from the precision: with the rows and columns reversed P = L L^T, and U is L reversed again.
  template <class = void>
  static bool factor_precision(const double* precision, Index d, double* u) {
    const Eigen::LLT<Matrix> llt{ConstSquare(precision, d, d).reverse()};
    if (llt.info() != Eigen::Success) return false;
    Square(u, d, d) = Matrix(llt.matrixL()).reverse();
    return true;
  }

  /// Makes a factor with P = U U^T upper triangular, if it is not: set by hand, it may be lower triangular.
  template <class = void>
  static bool make_upper(double* u, Index d) {
    const ConstSquare factor(u, d, d);
    bool upper = true;
    for (Index i = 1; i < d; ++i) upper = upper && factor.row(i).head(i).lpNorm<1>() == 0;
    if (upper) return true;
    Matrix product(d, d);
    precision(u, d, product.data());
    return factor_precision(product.data(), d, u);
  }

  /// P = U U^T.
  template <class = void>
  static void precision(const double* u, Index d, double* p) {
    // The scatter of the columns of U, as rows that are filled up to whole registers.
    const Index stride = row_stride(d);
    Matrix columns = Matrix::Zero(d, stride);
    columns.leftCols(d) = ConstSquare(u, d, d).transpose();
    Square(p, d, d).setZero();
    detail::add_symmetric(d, d, columns.data(), RegisterTiles<double>::size, stride, columns.data(), stride, 1, p);
    symmetrize(p, d);
  }

  /// Sigma = U^-T U^-1.
  template <class = void>
  static void covariance(const double* u, Index d, double* sigma) {
    Matrix upper = ConstSquare(u, d, d);
    make_upper(upper.data(), d);
    const Matrix inverse = upper.triangularView<Eigen::Upper>().solve(Matrix::Identity(d, d));
    const Block columns = inverse;
    Block product = Block::Zero(d, d);
    add_transposed_product(product, columns, columns);
    Square(sigma, d, d) = product;
  }

  /// Whether U is the factor of Sigma, up to rounding to `epsilon`. With s the standard deviations, A = diag(s) U and
  /// M = A^-T, M M^T is the matrix of correlations; rounding in A changes it by epsilon (g_i + g_j), with
  /// g = |M| |A|^T |M| 1 (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 8.1), which stays small
  /// where only the condition is large. Over 300 features and conditions to 1e13 errors were below 1.5 times that.
  template <class = void>
  static bool is_factor(const double* covariance, const double* u, Index d, double epsilon) {
    const ConstSquare sigma(covariance, d, d), factor(u, d, d);
    if (!((sigma.diagonal().array() > 0).all() && (factor.diagonal().array() > 0).all())) return false;
    for (Index i = 0; i < d; ++i)
      for (Index j = 0; j < i; ++j)
        if (factor(i, j) != 0) return false;
    const Vector s = sigma.diagonal().cwiseSqrt();
    const Matrix a = s.asDiagonal() * factor;
    const Matrix m = a.transpose().triangularView<Eigen::Lower>().solve(Matrix::Identity(d, d));
    const Vector g = m.cwiseAbs() * (a.cwiseAbs().transpose() * (m.cwiseAbs() * Vector::Ones(d))).eval();
    if (!g.allFinite()) return false;
    const Block columns = m.transpose();
    Block correlations = Block::Zero(d, d);
    add_transposed_product(correlations, columns, columns);
    const double tolerance = 16 * epsilon, largest = sigma.cwiseAbs().maxCoeff();
    for (Index i = 0; i < d; ++i)
      for (Index j = 0; j <= i; ++j) {
        const double off = std::abs(sigma(i, j) / s(i) / s(j) - correlations(i, j));
        // The factor is made of the lower half alone; the other may differ by what Python's check of symmetry allows.
        const double skew = std::abs(sigma(i, j) / 4 - sigma(j, i) / 4);
        if (!(off <= tolerance * (g(i) + g(j)))) return false;
        if (!(skew <= 0.5 * (1e-8 * largest + 1e-5 * std::abs(sigma(i, j))))) return false;
      }
    return true;
  }

  /// The factor of the first t features: with U triangular, the corner of it.
  template <class = void>
  static void leading(const double* u, Index d, Index t, double* of_first) {
    Square(of_first, t, t) = ConstSquare(u, d, d).topLeftCorner(t, t);
  }

  /// log |U|
  template <class = void>
  static double log_det(const double* u, Index d) {
    return ConstSquare(u, d, d).diagonal().array().log().sum();
  }

  /// |U^T x|^2 of rows x: the first of whole panels of rows x d, as many as `out` has.
  template <class = void>
  static void squared_norms(const Block& x, const double* u, Eigen::Ref<Vector> out) {
    gaussmix::squared_norms(x, u, out);
  }
  /// The same of rows that lie one after the other.
  template <class = void>
  static void squared_norms(const Rows& x, const double* u, Eigen::Ref<Vector> out) {
    gaussmix::squared_norms(x, u, out);
  }

  /// scatter += sum_n r_n x_n x_n^T over the first rows x_n, as many as r has; `symmetrize` completes it.
  template <class = void>
  static void add_scatter(const Block& x, const Eigen::Ref<const Vector>& r, double* scatter) {
    gaussmix::add_scatter(x, r, scatter);
  }
  /// The same of rows that lie one after the other.
  template <class = void>
  static void add_scatter(const Rows& x, const Eigen::Ref<const Vector>& r, double* scatter) {
    gaussmix::add_scatter(x, r, scatter);
  }

  /// x += A z for columns z of standard normal numbers, with A A^T = Sigma: the Cholesky factor, or that of a
  /// semi-definite matrix with pivots. False where Sigma is neither.
  template <class = void>
  static bool add_coloured(const double* covariance, const Eigen::Ref<const Block>& z, Eigen::Ref<Block> x) {
    const ConstSquare sigma(covariance, x.rows(), x.rows());
    if (!sigma.allFinite()) return false;
    const Eigen::LLT<Matrix> llt(sigma);
    if (llt.info() == Eigen::Success) {
      add_product(x, Block(llt.matrixL()), z);
      return true;
    }
    const Eigen::LDLT<Matrix> ldlt(sigma);
    const Vector pivots = ldlt.vectorD();
    if (pivots.minCoeff() < -1e-6 * pivots.maxCoeff()) return false;
    const Matrix root = Matrix(ldlt.matrixL()) * pivots.cwiseMax(0).cwiseSqrt().asDiagonal();
    add_product(x, Block(ldlt.transpositionsP().transpose() * root), z);
    return true;
  }

  /// Sigma as a dense matrix.
  template <class = void>
  static Matrix dense(const double* covariance, Index d) {
    return ConstSquare(covariance, d, d);
  }

  /// x P
  template <class = void>
  static RowVector product(const Eigen::Ref<const RowVector>& x, const double* p) {
    return x * ConstSquare(p, x.size(), x.size());
  }

  /// The largest sum of a row of |P|, which bounds its spectral norm from above.
  template <class = void>
  static double largest_row_sum(const double* p, Index d) {
    return ConstSquare(p, d, d).cwiseAbs().rowwise().sum().maxCoeff();
  }

  /// Whether few components take less time centred, each with half a product of its own, than by features of all: making
  /// these pays only if many share them (measured; the bound is where both take about as long).
  static bool centred_pays(Index d, Index k) { return d >= 8 && k <= std::min<Index>(1 + d / 8, 16); }

  /// Terms of the longest sum that is a feature: products are none.
  static Index feature_terms(Index /*d*/) { return 0; }

  /// D, the length of phi.
  static Index features(Index d) { return 1 + d + d * (d + 1) / 2; }

  /// Some of the quadratic features of a panel of rows: `first`, `first` + 1, ..., as many as `phi` has columns.
  template <class Panel, class Features>
  static void expand(const Panel& z, Index first, Features phi) {
    Index square = 0;  // the feature z_i z_i
    for (Index i = 0; i < z.cols(); ++i) {
      const auto zi = z.col(i).eval();
      const Index next = square + z.cols() - i, end = std::min(next, first + phi.cols());
      for (Index c = std::max(square, first); c < end; ++c) phi.col(c - first) = zi * z.col(i + c - square);
      square = next;
    }
  }

  /// The coefficients of the quadratic features, given P.
  template <class = void>
  static void quadratic_coefficients(const double* p, Index d, StridedVector theta) {
    Index c = 0;
    for (Index i = 0; i < d; ++i) {
      theta(c++) = -0.5 * p[i * d + i];
      for (Index j = i + 1; j < d; ++j) theta(c++) = -p[i * d + j];
    }
  }

  /// What the sums over the features leave out: nothing.
  static void add_total(const Block&, const Eigen::Ref<const Vector>&, Matrix&) {}

  /// The second moments of a component, from its sums over the quadratic features.
  template <class = void>
  static void second_moment(const Eigen::Ref<const Vector>& sums, Index d, double* second) {
    Index c = 0;
    for (Index i = 0; i < d; ++i)
      for (Index j = i; j < d; ++j) second[i * d + j] = second[j * d + i] = sums(c++);
  }
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
