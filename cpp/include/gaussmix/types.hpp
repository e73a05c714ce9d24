// Types that every header shares: the Eigen aliases, and the exceptions that the library throws.
//
// Conventions, everywhere: n rows (samples), d columns (features), K components; natural logarithms; model and
// statistics in double. `Matrix` is row-major, one row a component or a sample; `Block` is column-major, so that the
// rows of a block of samples are contiguous along each feature and the loops over them vectorise.
//
// `template <class = void>` before a function that needs no argument of a template makes it one all the same: what it
// uses of Eigen is then compiled where it is called and not by every program that includes its header.
#pragma once

#include <Eigen/Core>
#include <cfloat>
#include <functional>
#include <stdexcept>

#include "gaussmix/version.hpp"

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) || defined(_M_FP_FAST) || \
    FLT_EVAL_METHOD == 1 || FLT_EVAL_METHOD == 2
#error "gaussmix needs the rounding of IEEE 754 numbers, infinities and NaN: compile without -ffast-math, with SSE2."
#endif
#ifdef EIGEN_DEFAULT_TO_ROW_MAJOR
#error "gaussmix needs Eigen's default, columns that are contiguous: compile without EIGEN_DEFAULT_TO_ROW_MAJOR."
#endif

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

using Index = Eigen::Index;            ///< of rows, features and components; signed
using Vector = Eigen::VectorXd;        ///< a number for each row or component
using RowVector = Eigen::RowVectorXd;  ///< a number for each feature: a row of the data, a mean
/// A row for each sample or component; its rows are contiguous.
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Rows = Eigen::Ref<const Matrix>;  ///< some of them, to read
using Block = Eigen::MatrixXd;          ///< rows of a block of samples; its columns are contiguous
/// A vector whose elements need not be adjacent, to write to: a column of a `Matrix`.
using StridedVector = Eigen::Ref<Vector, 0, Eigen::InnerStride<>>;

/// A covariance, or a precision, is not positive-definite.
class NotPositiveDefinite : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// The data cannot be fitted as asked: too few distinct rows, no spread without regularisation, or values whose
/// squares overflow.
class DegenerateData : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// A file does not hold a model that can be read: not of this format, of a newer version, damaged, or inconsistent.
class ModelFileError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// Called now and then in long work; true asks to stop.
using Interrupt = std::function<bool()>;

/// Work was ended by its `Interrupt` before there was a result.
class Stopped : public std::runtime_error {
 public:
  Stopped() : std::runtime_error("stopped before there was a model") {}
};

/// What `DegenerateData` says of values whose squares overflow.
inline constexpr const char* overflow_message = "The squares of the data overflow; scale the input data.";

/// Whether all numbers are finite, in one pass without branches: infinity and NaN times 0 are NaN.
template <class Derived>
bool all_finite(const Eigen::DenseBase<Derived>& numbers) {
  return (numbers.derived().array() * 0.0).sum() == 0;
}

/// Throws `std::invalid_argument` with `message` unless `condition` holds.
inline void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
