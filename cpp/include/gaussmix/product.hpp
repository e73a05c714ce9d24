// Products of matrices other than the two over features, which panels.hpp has.
//
// Those of a model's own matrices enter Eigen's kernel below the layer that would start a thread team: we thread over
// rows outside, Eigen's team would nest in it, and its size is a global setting. Those over rows about a mean, of the
// centred and the screened kernel, and those that whiten rows, are by halves: U is triangular, a scatter symmetric. They
// come for two layouts: whole blocks lie feature after feature, which wastes nothing however few features there are; pairs
// that the screen let through lie row after row, as they are gathered.
#pragma once

#include "gaussmix/tile.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

namespace detail {
template <int LhsOrder>
void add_product(Index rows, Index cols, Index depth, const double* a, Index a_stride, const double* b, Index b_stride,
                 double* out, Index out_stride) {
  using Kernel = Eigen::internal::general_matrix_matrix_product<Index, double, LhsOrder, false, double, Eigen::ColMajor,
                                                                false, Eigen::ColMajor, 1>;
  using Blocking = Eigen::internal::gemm_blocking_space<Eigen::ColMajor, double, double, Eigen::Dynamic, Eigen::Dynamic,
                                                        Eigen::Dynamic>;
  if (rows == 0 || cols == 0 || depth == 0) return;
  Blocking blocking(rows, cols, depth, 1, true);
  Kernel::run(rows, cols, depth, a, a_stride, b, b_stride, out, 1, out_stride, 1.0, blocking, nullptr);
}
}  // namespace detail

/// out += a b, with out (m x p), a (m x q), b (q x p).
inline void add_product(Eigen::Ref<Block> out, const Eigen::Ref<const Block>& a, const Eigen::Ref<const Block>& b) {
  detail::add_product<Eigen::ColMajor>(out.rows(), out.cols(), a.cols(), a.data(), a.outerStride(), b.data(),
                                       b.outerStride(), out.data(), out.outerStride());
}

/// out += a^T b, with out (m x p), a (q x m), b (q x p).
inline void add_transposed_product(Eigen::Ref<Block> out, const Eigen::Ref<const Block>& a,
                                   const Eigen::Ref<const Block>& b) {
  detail::add_product<Eigen::RowMajor>(out.rows(), out.cols(), a.rows(), a.data(), a.outerStride(), b.data(),
                                       b.outerStride(), out.data(), out.outerStride());
}

/// How far apart rows of d numbers lie that are read by registers: whole ones, beyond the d numbers of zeros. An odd number
/// of them, so that the same columns of many rows do not compete for the same places in the cache.
inline Index row_stride(Index d) { return (RegisterTiles<double>::registers(d) | 1) * RegisterTiles<double>::size; }

namespace detail {
/// Calls body(j, tile) for U^T x of M registers of rows x, tile by tile of its columns j, j + 1, ...: U is upper triangular
/// and row-major.
template <int M, class Body>
EIGEN_ALWAYS_INLINE void for_triangular_tiles(Index d, const double* x, Index x_stride, const double* u,
                                              const Body& body) {
  for (Index j = 0; j < d; j += tile_columns)
    with_constant<tile_columns>(std::min<Index>(tile_columns, d - j), [&](auto n) {
      Tile<M, n.value, double> tile;
      tile.add(j + n.value, x, x_stride, u + j, d, 1);
      body(j, tile);
    });
}
}  // namespace detail

/// U^T x of a panel of rows x, U upper triangular and row-major. \param out  d columns, which are not those of x
template <class = void>
void multiply_triangular(Index d, const double* x, Index x_stride, const double* u, double* out, Index out_stride) {
  detail::for_triangular_tiles<3>(d, x, x_stride, u,
                                  [&](Index j, const auto& tile) { tile.store(out + j * out_stride, out_stride); });
}

/// |U^T x|^2 of rows x, U upper triangular and row-major.
///
/// \param x    whole panels of rows x d
/// \param out  as many squares as rows are asked for: no more than x has
template <class = void>
void squared_norms(const Block& x, const double* u, Eigen::Ref<Vector> out) {
  using Packet = detail::Packet<double>;
  constexpr Index height = panel_rows<double>, size = detail::packet_size<double>;
  const Index d = x.cols();
  eigen_assert(x.rows() % height == 0 && out.size() <= x.rows());
  for (Index first = 0; first < out.size(); first += height) {
    const Index rows = std::min(height, out.size() - first);
    detail::with_constant<3>((rows + size - 1) / size, [&](auto m) {
      Packet squares[m.value];
      detail::unroll<m.value>([&](int i) { squares[i] = Eigen::internal::pset1<Packet>(0.0); });
      detail::for_triangular_tiles<m.value>(d, x.data() + first, x.rows(), u,
                                            [&](Index, const auto& tile) { tile.add_squares_over_columns(squares); });
      alignas(64) double values[height];
      detail::unroll<m.value>([&](int i) { Eigen::internal::pstore(values + i * size, squares[i]); });
      out.segment(first, rows) = Eigen::Map<const Vector>(values, rows);
    });
  }
}

/// The same of rows that lie one after the other, as many as `out` has. \param x  rows x d, see `row_stride`
template <class = void>
void squared_norms(const Rows& x, const double* u, Eigen::Ref<Vector> out) {
  using Packet = detail::Packet<double>;
  constexpr Index size = detail::packet_size<double>;
  const Index d = x.cols(), whole = d / size * size;
  // The last columns of U, filled up.
  detail::Numbers<double> last = detail::Numbers<double>::Zero(whole < d ? d * size : 0);
  for (Index t = 0; whole < d && t < d; ++t) std::copy(u + t * d + whole, u + t * d + d, last.data() + t * size);
  for (Index first = 0; first < out.size(); first += detail::tile_columns) {
    const Index rows = std::min<Index>(detail::tile_columns, out.size() - first);
    detail::with_constant<detail::tile_columns>(rows, [&](auto n) {
      Packet squares[n.value];
      detail::unroll<n.value>([&](int i) { squares[i] = Eigen::internal::pset1<Packet>(0.0); });
      const auto add = [&](auto m, Index depth, const double* columns, Index step) {
        detail::Tile<m.value, n.value, double> tile;
        tile.add(depth, columns, step, x.data() + first * x.outerStride(), 1, x.outerStride());
        tile.add_squares_over_vectors(squares);
      };
      Index j = 0;
      for (; j + 2 * size <= whole; j += 2 * size) add(std::integral_constant<int, 2>(), j + 2 * size, u + j, d);
      if (j < whole) add(std::integral_constant<int, 1>(), j + size, u + j, d);
      if (whole < d) add(std::integral_constant<int, 1>(), d, last.data(), size);
      detail::unroll<n.value>([&](int i) { out(first + i) = Eigen::internal::predux(squares[i]); });
    });
  }
}

/// sum_j (s_j x_nj)^2 of rows x_n, as many as `out` has. \param x  rows x d, see `row_stride`
template <class = void>
void scaled_squared_norms(const Rows& x, const double* scale, Eigen::Ref<Vector> out) {
  using Packet = detail::Packet<double>;
  constexpr Index size = detail::packet_size<double>;
  const Index d = x.cols(), whole = d / size * size;
  alignas(64) double last[size] = {};  // filled up
  std::copy(scale + whole, scale + d, last);
  for (Index i = 0; i < out.size(); ++i) {
    const double* row = x.data() + i * x.outerStride();
    auto sum = Eigen::internal::pset1<Packet>(0.0);
    const auto add = [&](Index j, const double* by) {
      const auto y =
          Eigen::internal::pmul(Eigen::internal::ploadu<Packet>(row + j), Eigen::internal::ploadu<Packet>(by));
      sum = Eigen::internal::pmadd(y, y, sum);
    };
    for (Index j = 0; j < whole; j += size) add(j, scale + j);
    if (whole < d) add(whole, last);
    out(i) = Eigen::internal::predux(sum);
  }
}

namespace detail {

/// scatter += sum_n a_n x_n^T over rows, d x d and row-major: what is above the diagonal and on it, and some of what is below.
/// One function for all layouts: there are many tiles to be compiled.
///
/// \param a       columns in tiles of registers, each row after row
/// \param a_tile  how far the tiles of neighbouring registers are apart
/// \param a_step  how far the rows of a tile are apart; 0: they lie close together
template <class = void>
void add_symmetric(Index rows, Index d, const double* a, Index a_tile, Index a_step, const double* x, Index x_step,
                   Index x_stride, double* scatter) {
  using Tiles = RegisterTiles<double>;
  const Index registers = Tiles::registers(d);
  for (Index c = 0; c < registers; c += Tiles::width(c, registers)) {
    const Index width = Tiles::width(c, registers), end = std::min((c + width) * Tiles::size, d);
    const Index step = a_step > 0 ? a_step : width * Tiles::size;
    for (Index j = 0; j < end; j += tile_columns) {
      const Index below = std::max<Index>(j / Tiles::size - c, 0);  // registers of columns left of j
      with_constant<3>(width - below, [&](auto m) {
        const Index first = (c + below) * Tiles::size, kept = end - first;
        with_constant<tile_columns>(std::min<Index>(tile_columns, end - j), [&](auto n) {
          Tile<m.value, n.value, double> tile;
          tile.add(rows, a + c * a_tile + below * Tiles::size, step, x + j * x_stride, x_step, x_stride);
          constexpr Index stored = m.value * Tiles::size;
          alignas(64) double sum[n.value * stored];
          tile.store(sum, stored);
          for (Index q = 0; q < n.value; ++q)
            Eigen::Map<Vector>(scatter + (j + q) * d + first, kept) += Eigen::Map<const Vector>(sum + q * stored, kept);
        });
      });
    }
  }
}

}  // namespace detail

/// scatter += sum_n r_n x_n x_n^T over the first rows x_n, as many as r has: row-major, what is above the diagonal and on it,
/// and some of what is below.
template <class = void>
void add_scatter(const Block& x, const Eigen::Ref<const Vector>& r, double* scatter) {
  using Tiles = RegisterTiles<double>;
  const Index d = x.cols(), rows = r.size();
  detail::Numbers<double> weighted(rows * Tiles::registers(d) * Tiles::size);
  detail::weigh(x.data(), rows, x.outerStride(), d, r.data(), weighted.data());
  detail::add_symmetric(rows, d, weighted.data(), rows * Tiles::size, 0, x.data(), 1, x.outerStride(), scatter);
}

/// The same of rows that lie one after the other. \param x  rows x d, see `row_stride`
template <class = void>
void add_scatter(const Rows& x, const Eigen::Ref<const Vector>& r, double* scatter) {
  const Index stride = row_stride(x.cols());  // a Ref of one row says that it is as far to the next as the row is long
  eigen_assert(x.rows() < 2 || x.outerStride() == stride);
  detail::Numbers<double> weighted(r.size() * stride);
  for (Index i = 0; i < r.size(); ++i)
    weighted.segment(i * stride, stride) =
        r(i) * Eigen::Map<const detail::Numbers<double>>(x.data() + i * stride, stride);
  detail::add_symmetric(x.rows(), x.cols(), weighted.data(), RegisterTiles<double>::size, stride, x.data(), stride, 1,
                        scatter);
}

namespace detail {
/// sums_j += sum_n r_n f(x_nj), a few registers of columns at a time: add(r, x, sum) adds r f(x) to sum.
template <class Add>
void add_over_rows(const Rows& x, const Eigen::Ref<const Vector>& r, double* sums, const Add& add) {
  using Vector = Packet<double>;
  const Index d = x.cols();
  for (Index j = 0; j < d; j += 4 * packet_size<double>) {
    const Index left = d - j;
    with_constant<4>(std::min<Index>(4, RegisterTiles<double>::registers(left)), [&](auto m) {
      Vector sum[m.value];
      unroll<m.value>([&](int q) { sum[q] = Eigen::internal::pset1<Vector>(0.0); });
      for (Index i = 0; i < r.size(); ++i) {
        const auto weight = Eigen::internal::pset1<Vector>(r(i));
        const double* row = x.data() + i * x.outerStride() + j;
        unroll<m.value>([&](int q) {
          sum[q] = add(weight, Eigen::internal::ploadu<Vector>(row + q * packet_size<double>), sum[q]);
        });
      }
      alignas(64) double values[m.value * packet_size<double>];
      unroll<m.value>([&](int q) { Eigen::internal::pstore(values + q * packet_size<double>, sum[q]); });
      for (Index q = 0; q < std::min<Index>(left, m.value * packet_size<double>); ++q) sums[j + q] += values[q];
    });
  }
}
}  // namespace detail

/// sums_j += sum_n r_n x_nj. \param x  rows x d, see `row_stride`
template <class = void>
void add_sums(const Rows& x, const Eigen::Ref<const Vector>& r, double* sums) {
  detail::add_over_rows(x, r, sums, [](auto w, auto v, auto sum) { return Eigen::internal::pmadd(w, v, sum); });
}

/// sums_j += sum_n r_n x_nj^2. \param x  rows x d, see `row_stride`
template <class = void>
void add_squares(const Rows& x, const Eigen::Ref<const Vector>& r, double* sums) {
  detail::add_over_rows(
      x, r, sums, [](auto w, auto v, auto sum) { return Eigen::internal::pmadd(Eigen::internal::pmul(w, v), v, sum); });
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
