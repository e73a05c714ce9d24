// A tile of a matrix product in vector registers, of which the products of a pass are made (panels.hpp, product.hpp).
//
// A tile (three registers of rows x a few columns, or a few registers of columns x a few features) stays in registers
// while the depth of the product runs by. Each of its numbers is one chain of multiply-adds in the order of the depth, so
// that its bits depend neither on the shape of the tile nor on its place.
// (Goto, van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.)
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

/// Calls body(i) for i = 0 ... N - 1, unrolled: what body(i) takes from an array of N numbers then stays in registers. Left to
/// itself GCC (12) does so at -O3 alone, and keeps it in memory at -O2.
template <int N, class Body>
EIGEN_ALWAYS_INLINE void unroll(const Body& body) {
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 32
#endif
  for (int i = 0; i < N; ++i) body(i);
}

/// Columns of a tile: with three registers each, and those that feed them, all that the machine has.
inline constexpr int tile_columns = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS >= 32 ? 8 : 4;

/// A tile of a product in registers: M vectors by N columns.
template <int M, int N, class Scalar>
class Tile {
 public:
  EIGEN_ALWAYS_INLINE Tile() {
    for_registers([&](int m, int j) { sum_[j][m] = Eigen::internal::pset1<Packet<Scalar>>(Scalar{0}); });
  }

  /// sum(m, j) += values[j * stride + m]
  EIGEN_ALWAYS_INLINE void add(const Scalar* values, Index stride) {
    for_registers([&](int m, int j) {
      const auto x = Eigen::internal::ploadu<Packet<Scalar>>(values + j * stride + m * packet_size<Scalar>);
      sum_[j][m] = Eigen::internal::padd(sum_[j][m], x);
    });
  }

  /// sum(m, j) += sum_t a[t * a_step + m] b[t * b_step + j * b_stride]; no address needs to be aligned
  EIGEN_ALWAYS_INLINE void add(Index depth, const Scalar* a, Index a_step, const Scalar* b, Index b_step,
                               Index b_stride) {
    for (Index t = 0; t < depth; ++t, a += a_step, b += b_step) {
      Packet<Scalar> x[M];
      unroll<M>([&](int m) { x[m] = Eigen::internal::ploadu<Packet<Scalar>>(a + m * packet_size<Scalar>); });
      unroll<N>([&](int j) {
        const auto y = Eigen::internal::pset1<Packet<Scalar>>(b[j * b_stride]);
        unroll<M>([&](int m) { sum_[j][m] = Eigen::internal::pmadd(x[m], y, sum_[j][m]); });
      });
    }
  }

  /// Vector m of column j.
  EIGEN_ALWAYS_INLINE const Packet<Scalar>& operator()(int m, int j) const { return sum_[j][m]; }

  /// squares(m) += sum_j sum(m, j)^2, in the order of j
  EIGEN_ALWAYS_INLINE void add_squares_over_columns(Packet<Scalar>* squares) const {
    for_registers([&](int m, int j) { squares[m] = Eigen::internal::pmadd(sum_[j][m], sum_[j][m], squares[m]); });
  }

  /// squares(j) += sum_m sum(m, j)^2, each number of a register for itself
  EIGEN_ALWAYS_INLINE void add_squares_over_vectors(Packet<Scalar>* squares) const {
    for_registers([&](int m, int j) { squares[j] = Eigen::internal::pmadd(sum_[j][m], sum_[j][m], squares[j]); });
  }

  EIGEN_ALWAYS_INLINE void store(Scalar* values, Index stride) const {
    for_registers(
        [&](int m, int j) { Eigen::internal::pstoreu(values + j * stride + m * packet_size<Scalar>, sum_[j][m]); });
  }

 private:
  /// Calls body(m, j) for vector m of each column j.
  template <class Body>
  EIGEN_ALWAYS_INLINE static void for_registers(const Body& body) {
    unroll<N>([&](int j) { unroll<M>([&](int m) { body(m, j); }); });
  }

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

/// Columns in tiles of one to three registers; what is beyond the last is 0.
template <class Scalar>
struct RegisterTiles {
  static constexpr Index size = detail::packet_size<Scalar>;

  static Index registers(Index columns) { return (columns + size - 1) / size; }

  /// Registers of the tile that begins at register `first` of `count`: three, unless one would then remain alone.
  static Index width(Index first, Index count) {
    const Index left = count - first;
    return left == 4 ? 2 : std::min<Index>(left, 3);
  }
};

namespace detail {

/// Lays columns by tiles of registers, row after row, each row times its weight: what a product over the rows reads.
///
/// \param table    rows x columns, column after column, `stride` apart
/// \param weighted rows x registers: of the tile that begins at register c and row i, at (c * rows + i * width) * size
template <class Scalar>
void weigh(const Scalar* table, Index rows, Index stride, Index columns, const Scalar* weights, Scalar* weighted) {
  using Tiles = RegisterTiles<Scalar>;
  using Vector = Packet<Scalar>;
  const Index registers = Tiles::registers(columns), whole = rows / Tiles::size * Tiles::size;
  for (Index c = 0; c < registers; c += Tiles::width(c, registers)) {
    const Index width = Tiles::width(c, registers);
    for (Index m = 0; m < width; ++m) {
      const Index first = (c + m) * Tiles::size;
      const auto target = [&](Index i) { return weighted + (c * rows + i * width + m) * Tiles::size; };
      for (Index i = 0; i < whole; i += Tiles::size) {
        Square<Scalar> square;
        const auto weight = Eigen::internal::ploadu<Vector>(weights + i);
        unroll<Tiles::size>([&](int q) {
          square.packet[q] =
              first + q < columns
                  ? Eigen::internal::pmul(weight, Eigen::internal::ploadu<Vector>(table + (first + q) * stride + i))
                  : Eigen::internal::pset1<Vector>(Scalar{0});
        });
        Eigen::internal::ptranspose(square);
        unroll<Tiles::size>([&](int q) { Eigen::internal::pstore(target(i + q), square.packet[q]); });
      }
      for (Index i = whole; i < rows; ++i)
        for (Index q = 0; q < Tiles::size; ++q)
          target(i)[q] = first + q < columns ? weights[i] * table[(first + q) * stride + i] : Scalar{0};
    }
  }
}

}  // namespace detail

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
