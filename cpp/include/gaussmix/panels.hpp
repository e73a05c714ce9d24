// The two products of a pass, L = Phi Theta and S = Phi^T (w o R), over features that are made on the way.
//
// The rows of a block lie in panels, as many rows as fill three vector registers, feature after feature: a product
// streams through them. A tile of the result (a panel of rows x a few components, or a few registers of components x a
// few features) stays in registers while the depth runs by. Each of its numbers is one chain of multiply-adds in the
// order of the depth, so that its bits depend neither on the shape of the tile nor on its place. Features are made a
// slice at a time, and made again for the second product where there are several: a slice stays in the second-level
// cache however many features there are. (Goto, van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.)
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <type_traits>

#include "gaussmix/types.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

namespace detail {

template <class Scalar>
using Packet = typename Eigen::internal::packet_traits<Scalar>::type;
template <class Scalar>
inline constexpr Index packet_size = Eigen::internal::packet_traits<Scalar>::size;

// As many packets as one has numbers. GCC tells that their alignment is not part of the template's argument.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"
#endif
template <class Scalar>
struct Square : Eigen::internal::PacketBlock<Packet<Scalar>, packet_size<Scalar>> {};
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/// Columns of a tile: with three registers each, and those that feed them, all that the machine has.
inline constexpr int tile_columns = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS >= 32 ? 8 : 4;

/// A tile of a product in registers: M vectors by N columns.
template <int M, int N, class Scalar>
class Tile {
 public:
  EIGEN_ALWAYS_INLINE Tile() {
    for (int j = 0; j < N; ++j)
      for (int m = 0; m < M; ++m) sum_[j][m] = Eigen::internal::pset1<Packet<Scalar>>(Scalar{0});
  }

  EIGEN_ALWAYS_INLINE void load(const Scalar* values, Index stride) {
    for (int j = 0; j < N; ++j)
      for (int m = 0; m < M; ++m)
        sum_[j][m] = Eigen::internal::ploadu<Packet<Scalar>>(values + j * stride + m * packet_size<Scalar>);
  }

  /// sum(m, j) += sum_t a[t * a_step + m] b[t * b_step + j * b_stride]
  EIGEN_ALWAYS_INLINE void add(Index depth, const Scalar* a, Index a_step, const Scalar* b, Index b_step,
                               Index b_stride) {
    for (Index t = 0; t < depth; ++t, a += a_step, b += b_step) {
      Packet<Scalar> x[M];
      for (int m = 0; m < M; ++m) x[m] = Eigen::internal::pload<Packet<Scalar>>(a + m * packet_size<Scalar>);
      for (int j = 0; j < N; ++j) {
        const auto y = Eigen::internal::pset1<Packet<Scalar>>(b[j * b_stride]);
        for (int m = 0; m < M; ++m) sum_[j][m] = Eigen::internal::pmadd(x[m], y, sum_[j][m]);
      }
    }
  }

  EIGEN_ALWAYS_INLINE void store(Scalar* values, Index stride) const {
    for (int j = 0; j < N; ++j)
      for (int m = 0; m < M; ++m) Eigen::internal::pstoreu(values + j * stride + m * packet_size<Scalar>, sum_[j][m]);
  }

 private:
  Packet<Scalar> sum_[N][M];
};

/// Calls body(std::integral_constant<int, n>) for n = 1 ... N.
template <int N, class Body>
EIGEN_ALWAYS_INLINE void with_constant(Index n, const Body& body) {
  if constexpr (N > 1) {
    if (n < N) return with_constant<N - 1>(n, body);
  }
  body(std::integral_constant<int, N>());
}

template <class Scalar>
using Numbers = Eigen::Array<Scalar, Eigen::Dynamic, 1>;

}  // namespace detail

/// Rows of a panel.
template <class Scalar>
inline constexpr Index panel_rows = 3 * detail::packet_size<Scalar>;

/// What the address of a panel is a multiple of: the size of a register.
template <class Scalar>
inline constexpr int panel_alignment =
    detail::packet_size<Scalar> > 1 ? static_cast<int>(detail::packet_size<Scalar> * sizeof(Scalar)) : Eigen::Unaligned;

/// A number of rows that fills panels.
template <class Scalar>
Index padded(Index rows) {
  return (rows + panel_rows<Scalar> - 1) / panel_rows<Scalar> * panel_rows<Scalar>;
}

/// Theta: a column of coefficients for each of K components, kept by tiles of components, feature after feature.
template <class Scalar>
class Coefficients {
 public:
  Coefficients() = default;
  Coefficients(Index features, Index k)
      : features_(features), k_(k), values_(detail::Numbers<Scalar>::Zero(features * k)) {}

  Index features() const { return features_; }
  Index n_components() const { return k_; }

  /// Components of the tile that begins at component c.
  Index width(Index c) const { return std::min<Index>(detail::tile_columns, k_ - c); }
  const Scalar* tile(Index c, Index feature) const { return values_.data() + c * features_ + feature * width(c); }

  /// The coefficients of component c.
  auto column(Index c) { return column_of<Eigen::Matrix<Scalar, Eigen::Dynamic, 1>>(values_.data(), c); }
  auto column(Index c) const { return column_of<const Eigen::Matrix<Scalar, Eigen::Dynamic, 1>>(values_.data(), c); }

 private:
  template <class Column, class Pointer>
  auto column_of(Pointer values, Index c) const {
    const Index first = c / detail::tile_columns * detail::tile_columns;
    return Eigen::Map<Column, 0, Eigen::InnerStride<>>(values + first * features_ + (c - first), features_,
                                                       Eigen::InnerStride<>(width(first)));
  }

  Index features_ = 0, k_ = 0;
  detail::Numbers<Scalar> values_;
};

/// Components in tiles of one to three registers; what is beyond K is 0.
template <class Scalar>
struct ComponentTiles {
  static constexpr Index size = detail::packet_size<Scalar>;

  static Index registers(Index k) { return (k + size - 1) / size; }

  /// Registers of the tile that begins at register `first` of `count`: three, unless one would then remain alone.
  static Index width(Index first, Index count) {
    const Index left = count - first;
    return left == 4 ? 2 : std::min<Index>(left, 3);
  }
};

/// S: sums over rows, features x K, for products in `Scalar`, kept by tiles of components, feature after feature.
template <class Scalar>
class FeatureSums {
 public:
  using Tiles = ComponentTiles<Scalar>;

  FeatureSums(Index features, Index k)
      : features_(features),
        k_(k),
        registers_(Tiles::registers(k)),
        values_(Vector::Zero(features * registers_ * Tiles::size)) {}

  Index n_components() const { return k_; }
  double* tile(Index first, Index feature) {
    return values_.data() + (first * features_ + feature * Tiles::width(first, registers_)) * Tiles::size;
  }

  /// The sums of component c.
  Vector column(Index c) const {
    Index first = 0, width = Tiles::width(0, registers_);
    while ((first + width) * Tiles::size <= c) first += width, width = Tiles::width(first, registers_);
    return Eigen::Map<const Vector, 0, Eigen::InnerStride<>>(values_.data() + first * Tiles::size * (features_ - 1) + c,
                                                             features_, Eigen::InnerStride<>(width * Tiles::size));
  }

  FeatureSums& operator+=(const FeatureSums& other) {
    values_ += other.values_;
    return *this;
  }

 private:
  Index features_, k_, registers_;
  Vector values_;
};

/// A block of rows in panels, a slice of their features, and its products.
template <class Scalar>
class Panels {
 public:
  static constexpr Index height = panel_rows<Scalar>;

  using Table = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
  using Panel = Eigen::Map<Eigen::Array<Scalar, panel_rows<Scalar>, Eigen::Dynamic>, panel_alignment<Scalar>>;

  /// Packs rows z, to make slices of at most `slice` features of; the last panel is filled up with rows of zeros.
  void load(const Eigen::Ref<const Block>& z, Index slice) {
    d_ = z.cols();
    count_ = padded<Scalar>(z.rows()) / height;
    slice_ = slice;
    rows_.resize(count_ * height * d_);
    phi_.resize(count_ * height * slice);
    for (Index p = 0; p < count_; ++p) {
      const Index n = std::min(height, z.rows() - p * height);
      Panel panel = rows(p);
      panel.topRows(n) = z.middleRows(p * height, n).array().template cast<Scalar>();
      if (n < height) panel.bottomRows(height - n).setZero();
    }
  }

  Index count() const { return count_; }
  Index cols() const { return d_; }
  Panel rows(Index p) { return Panel(rows_.data() + p * height * d_, height, d_); }
  Panel phi(Index p, Index depth) { return Panel(phi_.data() + p * height * slice_, height, depth); }

  /// out += the slice's features first, first + 1, ..., `depth` of them, times their coefficients; = where first is 0.
  void multiply(const Coefficients<Scalar>& theta, Index first, Index depth, Table& out) const {
    eigen_assert(out.rows() == count_ * height && out.cols() == theta.n_components());
    for (Index c = 0; c < theta.n_components(); c += detail::tile_columns)
      detail::with_constant<detail::tile_columns>(theta.width(c), [&](auto n) {
        for (Index p = 0; p < count_; ++p) {
          detail::Tile<3, n.value, Scalar> tile;
          Scalar* target = out.data() + c * out.rows() + p * height;
          if (first > 0) tile.load(target, out.rows());
          tile.add(depth, phi_.data() + p * height * slice_, height, theta.tile(c, first), n.value, 1);
          tile.store(target, out.rows());
        }
      });
  }

  /// Takes the responsibilities r of the rows, filled up with zeros, times the weights w: by tiles of components, row
  /// after row.
  void weigh(const Table& r, const Vector& w) {
    eigen_assert(r.rows() == count_ * height && w.size() <= r.rows());
    const Index rows = r.rows(), registers = Tiles::registers(r.cols());
    weighted_.resize(rows * registers * Tiles::size);
    weights_.setZero(rows);
    weights_.head(w.size()) = w.array().template cast<Scalar>();
    for (Index c = 0; c < registers; c += Tiles::width(c, registers)) {
      const Index width = Tiles::width(c, registers);
      for (Index m = 0; m < width; ++m)
        for (Index i = 0; i < rows; i += Tiles::size) {
          detail::Square<Scalar> square;
          const auto weight = Eigen::internal::pload<detail::Packet<Scalar>>(weights_.data() + i);
          for (Index q = 0; q < Tiles::size; ++q) {
            const Index k = (c + m) * Tiles::size + q;
            square.packet[q] = k < r.cols() ? Eigen::internal::ploadu<detail::Packet<Scalar>>(r.data() + k * rows + i)
                                            : Eigen::internal::pset1<detail::Packet<Scalar>>(Scalar{0});
            square.packet[q] = Eigen::internal::pmul(weight, square.packet[q]);
          }
          Eigen::internal::ptranspose(square);
          Scalar* target = weighted_.data() + (c * rows + i * width + m) * Tiles::size;
          for (Index q = 0; q < Tiles::size; ++q)
            Eigen::internal::pstore(target + q * width * Tiles::size, square.packet[q]);
        }
    }
  }

  /// sums += the slice's features first, first + 1, ..., `depth` of them, times what `weigh` took.
  void accumulate(Index first, Index depth, FeatureSums<Scalar>& sums) const {
    const Index registers = Tiles::registers(sums.n_components());
    for (Index c = 0; c < registers; c += Tiles::width(c, registers))
      detail::with_constant<3>(Tiles::width(c, registers), [&](auto m) {
        constexpr Index width = m.value * Tiles::size;
        const Scalar* weighted = weighted_.data() + c * Tiles::size * count_ * height;
        for (Index f = 0; f < depth; f += detail::tile_columns)
          detail::with_constant<detail::tile_columns>(std::min<Index>(detail::tile_columns, depth - f), [&](auto n) {
            detail::Tile<m.value, n.value, Scalar> tile;
            for (Index p = 0; p < count_; ++p)
              tile.add(height, weighted + p * height * width, width, phi_.data() + (p * slice_ + f) * height, 1,
                       height);
            alignas(64) Scalar sum[n.value * width];
            tile.store(sum, width);
            Eigen::Map<Eigen::Array<double, n.value * width, 1>> target(sums.tile(c, first + f));
            target += Eigen::Map<Eigen::Array<Scalar, n.value * width, 1>>(sum).template cast<double>();
          });
      });
  }

 private:
  using Tiles = ComponentTiles<Scalar>;

  Index d_ = 0, count_ = 0, slice_ = 0;
  detail::Numbers<Scalar> rows_, phi_, weights_, weighted_;
};

/// The features of a block of rows, and their products.
template <class Covariance, class Scalar>
class FeaturePanels {
 public:
  using Table = typename Panels<Scalar>::Table;

  /// Features of a slice.
  static constexpr Index slice = 256;

  /// Packs rows z.
  void load(const Eigen::Ref<const Block>& z) {
    features_ = Covariance::features(z.cols());
    held_ = -1;
    panels_.load(z, std::min(features_, slice));
  }

  /// out = Phi Theta, whose rows are filled up to whole panels.
  void multiply(const Coefficients<Scalar>& theta, Table& out) {
    for (Index first = 0; first < features_; first += slice) {
      expand(first);
      panels_.multiply(theta, first, depth(first), out);
    }
  }

  /// sums += Phi^T (w o r), with weights w of the rows and their responsibilities r, whose rows are filled up with zeros.
  void accumulate(const Table& r, const Vector& w, FeatureSums<Scalar>& sums) {
    panels_.weigh(r, w);
    // From the last slice, which is the one that is here.
    for (Index first = (features_ - 1) / slice * slice; first >= 0; first -= slice) {
      expand(first);
      panels_.accumulate(first, depth(first), sums);
    }
  }

 private:
  Index depth(Index first) const { return std::min(slice, features_ - first); }

  /// Makes the features first, first + 1, ... of a slice, unless they are here.
  void expand(Index first) {
    if (held_ == first) return;
    held_ = first;
    const Index linear = 1 + panels_.cols(), end = first + depth(first), quadratic = std::clamp(linear, first, end);
    for (Index p = 0; p < panels_.count(); ++p) {
      const auto z = panels_.rows(p);
      auto phi = panels_.phi(p, depth(first));
      if (first == 0) phi.col(0).setOnes();
      for (Index f = std::max<Index>(first, 1); f < quadratic; ++f) phi.col(f - first) = z.col(f - 1);
      if (quadratic < end) Covariance::expand(z, quadratic - linear, phi.rightCols(end - quadratic));
    }
  }

  Index features_ = 0, held_ = -1;
  Panels<Scalar> panels_;
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
