// A view of the rows to be fitted: float or double, any strides, columns that need not lie in one array, and
// optional weights of the rows. Nothing is copied; `load` packs a block of rows as doubles.
//
// Weights are used as w * weight_scale, a power of two that brings the largest one to [1, 2): products with
// responsibilities neither underflow nor overflow for weights from 1e-300 to 1e300, and no digit changes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include "gaussmix/tile.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// One feature of the data: `values[i * stride]` is its value in row i.
struct Column {
  const void* values = nullptr;
  std::ptrdiff_t stride = 0;  ///< in elements, may be negative
  bool single = false;        ///< float, else double
};

/// Coordinates of a pass: z = (x - origin) * scale, scale a power of two for each feature.
struct Frame {
  RowVector origin, scale;

  /// What takes values into the frame: `Value` is a double, of feature j, or a register of features j, j + 1, ...
  template <class Value>
  auto at(Index j) const {
    using namespace Eigen::internal;
    eigen_assert(j + unpacket_traits<Value>::size <= origin.size() && origin.size() == scale.size());
    return [from = ploadu<Value>(origin.data() + j), by = ploadu<Value>(scale.data() + j)](const Value& x) {
      return pmul(psub(x, from), by);
    };
  }
};

namespace detail {
/// In the place of a frame: the values as they are.
struct Unchanged {
  template <class Value>
  auto at(Index /*j*/) const {
    return [](const Value& x) { return x; };
  }
};
}  // namespace detail

/// Read-only view of n rows, d columns and, optionally, n row weights. It does not own what it points to.
class Data {
 public:
  /// An array with strides in elements. \throws std::invalid_argument if a size is not positive.
  template <class Scalar>
  Data(const Scalar* values, Index rows, Index cols, std::ptrdiff_t row_stride, std::ptrdiff_t col_stride = 1)
      : rows_(rows), packed_(col_stride == 1) {
    static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>, "data are float or double");
    columns_.reserve(static_cast<std::size_t>(cols));
    for (Index j = 0; j < cols; ++j)
      columns_.push_back({values + j * col_stride, row_stride, std::is_same_v<Scalar, float>});
    check();
  }

  /// A matrix of Eigen, or what lies in memory like one (a Map, a Ref, a block, a transpose), of either storage order. What
  /// it points to must outlive the view: a temporary matrix lives until the end of the full expression.
  template <class Derived, class = std::enable_if_t<(Derived::Flags & Eigen::DirectAccessBit) != 0>>
  Data(const Eigen::DenseBase<Derived>& x)  // NOLINT(google-explicit-constructor): a view, as Ref is
      : Data(x.derived().data(), x.rows(), x.cols(), row_stride(x.derived()), col_stride(x.derived())) {}

  /// Columns that lie anywhere, of either type (a data frame). \throws std::invalid_argument if a size is not positive.
  Data(std::vector<Column> columns, Index rows) : columns_(std::move(columns)), rows_(rows) { check(); }

  /// Sets the weights of the rows (n values, not owned).
  /// \throws std::invalid_argument unless they are finite, none is negative and one is positive.
  Data& set_weights(const double* weights) {
    double largest = 0;
    for (Index i = 0; i < rows_; ++i) {
      require(weights[i] >= 0 && std::isfinite(weights[i]), "weights must be finite and not negative");
      largest = std::max(largest, weights[i]);
    }
    require(largest > 0, "at least one weight must be positive");
    weights_ = weights;
    weight_scale_ = std::ldexp(1.0, -std::ilogb(largest));
    // The inverse must be a normal number too: below 2^-1022 the scale stops one step short.
    if (!std::isfinite(weight_scale_)) weight_scale_ = std::ldexp(1.0, 1022);
    return *this;
  }

  /// n
  Index rows() const { return rows_; }
  /// d
  Index cols() const { return static_cast<Index>(columns_.size()); }
  /// Whether all values are floats.
  bool single() const {
    return std::all_of(columns_.begin(), columns_.end(), [](const Column& c) { return c.single; });
  }
  /// Whether the rows have weights.
  bool weighted() const { return weights_ != nullptr; }
  /// The scaled weight of row i; 1 without weights.
  double weight(Index i) const { return weights_ ? weights_[i] * weight_scale_ : 1.0; }
  /// A power of two that brings the largest weight near 1: what scaled weights are multiplied by.
  double weight_scale() const { return weight_scale_; }

  /// Packs rows first, first + 1, ... as doubles, as many as `x` has rows.
  void load(Index first, Eigen::Ref<Block> x) const { pack(Consecutive{first, rows_ - first}, x, detail::Unchanged()); }

  /// As above, in a frame; of the first columns, as many as `x` has.
  void load(Index first, Eigen::Ref<Block> x, const Frame& frame) const {
    pack(Consecutive{first, rows_ - first}, x, frame);
  }

  /// Copies rows first, first + 1, ... as doubles, one after the other, as many as `x` has.
  void load_rows(Index first, Eigen::Ref<Matrix> x) const {
    if (packed_) {
      for (Index i = 0; i < x.rows(); ++i) load_row(first + i, x.row(i));
    } else {
      for (Index j = 0; j < cols(); ++j)
        for (Index i = 0; i < x.rows(); ++i) x(i, j) = (*this)(first + i, j);
    }
  }

  /// Packs the given rows as doubles, as many as `x` has.
  void load(const std::vector<Index>& rows, Eigen::Ref<Block> x) const {
    pack(Listed{rows.data(), x.rows()}, x, detail::Unchanged());
  }

  /// As many of the listed rows as `x` has, in a frame; what is listed beyond will be packed soon.
  void load(const Index* rows, Index listed, Eigen::Ref<Block> x, const Frame& frame) const {
    eigen_assert(x.rows() <= listed);
    pack(Listed{rows, listed}, x, frame);
  }

  /// Packs row i.
  void load_row(Index i, Eigen::Ref<RowVector> x) const {
    if (packed_ && columns_[0].single)
      x = Eigen::Map<const Eigen::RowVectorXf>(static_cast<const float*>(columns_[0].values) + i * columns_[0].stride,
                                               cols())
              .cast<double>();
    else if (packed_)
      x = Eigen::Map<const RowVector>(static_cast<const double*>(columns_[0].values) + i * columns_[0].stride, cols());
    else
      for (Index j = 0; j < cols(); ++j) x(j) = (*this)(i, j);
  }

  /// Scaled weights of rows first, first + 1, ..., as many as `w` has elements.
  void load_weights(Index first, Eigen::Ref<Vector> w) const {
    if (weights_)
      w = Eigen::Map<const Vector>(weights_ + first, w.size()) * weight_scale_;
    else
      w.setOnes();
  }

  /// The value in row i, column j.
  double operator()(Index i, Index j) const {
    const Column& column = columns_[static_cast<std::size_t>(j)];
    return column.single ? double{static_cast<const float*>(column.values)[i * column.stride]}
                         : static_cast<const double*>(column.values)[i * column.stride];
  }

 private:
  template <class X>
  static std::ptrdiff_t row_stride(const X& x) {
    return X::IsRowMajor ? x.outerStride() : x.innerStride();
  }
  template <class X>
  static std::ptrdiff_t col_stride(const X& x) {
    return X::IsRowMajor ? x.innerStride() : x.outerStride();
  }

  /// Rows first, first + 1, ..., and those that may be read: also what comes after a block.
  struct Consecutive {
    Index first, rows;
    Index operator()(Index i) const { return first + i; }
  };

  /// Any rows.
  struct Listed {
    const Index* indices;
    Index rows;
    Index operator()(Index i) const { return indices[i]; }
  };

  void check() const { require(rows_ > 0 && !columns_.empty(), "data must have at least one row and one column"); }

  /// Row i of x becomes row(i) of the data, in a frame.
  template <class Row, class Coordinates>
  void pack(const Row& row, Eigen::Ref<Block> x, const Coordinates& frame) const {
    if (packed_ && columns_[0].single) return pack_rows<float>(row, x, frame);
    if (packed_) return pack_rows<double>(row, x, frame);
    for (Index j = 0; j < x.cols(); ++j) {
      const Column& column = columns_[static_cast<std::size_t>(j)];
      const auto framed = frame.template at<double>(j);
      if (column.single)
        pack_column<float>(column, row, x.col(j), framed);
      else
        pack_column<double>(column, row, x.col(j), framed);
    }
  }

  /// Packs rows whose columns are adjacent, turned in registers.
  template <class Scalar, class Row, class Coordinates>
  void pack_rows(const Row& row, Eigen::Ref<Block> x, const Coordinates& frame) const {
    using Vector = detail::Packet<double>;
    constexpr Index size = detail::packet_size<double>, few = 24;  // rows that stay in the first-level cache
    constexpr Index line = 64 / static_cast<Index>(sizeof(Scalar));
    constexpr int known = size > 1 ? static_cast<int>(size) - 1 : 4;  // columns
    static_assert(few % size == 0);
    const bool turns = size > 1 && x.cols() >= size;
    const auto* first = static_cast<const Scalar*>(columns_[0].values);
    const auto stride = columns_[0].stride, to_stride = x.outerStride();
    double* const to = x.data();
    const auto values = [&row, first, stride](Index i) { return first + row(i) * stride; };
    if constexpr (std::is_same_v<Row, Consecutive>)
      if (!turns && stride == x.cols() && stride <= known)
        // With a stride that compilers know they turn the rows in registers too.
        return detail::with_constant<known>(stride, [&](auto d) {
          const auto pack_all = [&](auto n) {
            for (Index j = 0; j < d.value; ++j) {
              const auto framed = frame.template at<double>(j);
              const Scalar* from = values(0) + j;
              double* target = x.col(j).data();
              for (Index i = 0; i < n; ++i) target[i] = framed(double{from[i * d.value]});
            }
          };
          if (x.rows() == panel_rows<double>) return pack_all(std::integral_constant<Index, panel_rows<double>>());
          pack_all(x.rows());
        });
    // Long rows are read in an order that processors do not foresee: some thousand numbers ahead they are asked for.
    const Index ahead = std::max<Index>(size, 1024 / x.cols()), last = row.rows - size;
    for (Index i = 0; i < x.rows(); i += few) {
      const Index n = std::min(few, x.rows() - i), turned = turns ? n / size * size : 0;
      for (Index r = i; r < i + turned; r += size) {
        const Scalar* from[size];
        for (Index q = 0; q < size; ++q) from[q] = values(r + q);
        const Scalar* next[size];
        for (Index q = 0; q < size; ++q) next[q] = values(std::min(r + ahead, last) + q);
        for (Index from_column = 0; from_column < x.cols(); from_column += size) {
          if (stride >= line && from_column % line == 0)
            for (Index q = 0; q < size; ++q) Eigen::internal::prefetch(next[q] + from_column);
          const Index j = std::min(from_column, x.cols() - size);  // the last may do some columns again
          const auto framed = frame.template at<Vector>(j);
          detail::Square<double> square;
          detail::unroll<size>([&](int q) {
            const Eigen::Array<double, size, 1> numbers =
                Eigen::Map<const Eigen::Array<Scalar, size, 1>>(from[q] + j).template cast<double>();
            square.packet[q] = framed(Eigen::internal::ploadu<Vector>(numbers.data()));
          });
          Eigen::internal::ptranspose(square);
          detail::unroll<size>(
              [&](int q) { Eigen::internal::pstoreu(to + r + (j + q) * to_stride, square.packet[q]); });
        }
      }
      for (Index j = 0; j < x.cols(); ++j) {
        const auto framed = frame.template at<double>(j);
        double* target = &x(i, j);
        for (Index r = turned; r < n; ++r) target[r] = framed(double{values(i + r)[j]});
      }
    }
  }

  template <class Scalar, class Row, class Framed>
  static void pack_column(const Column& column, const Row& row, Eigen::Ref<Vector> x, const Framed& framed) {
    const auto* values = static_cast<const Scalar*>(column.values);
    for (Index i = 0; i < x.size(); ++i) x(i) = framed(double{values[row(i) * column.stride]});
  }

  std::vector<Column> columns_;
  Index rows_ = 0;
  bool packed_ = false;  ///< the columns of a row are adjacent
  const double* weights_ = nullptr;
  double weight_scale_ = 1;
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
