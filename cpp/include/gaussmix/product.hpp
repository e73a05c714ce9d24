// Products of matrices other than the two over features, which panels.hpp has.
//
// Those of a model's own matrices enter Eigen's kernel below the layer that would start a thread team: we thread over
// rows outside, Eigen's team would nest in it, and its size is a global setting. Those over rows about a mean, of the
// centred and the screened kernel, are by halves: U is triangular, a scatter symmetric.
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
      for (Packet& square : squares) square = Eigen::internal::pset1<Packet>(0.0);
      for (Index j = 0; j < d; j += detail::tile_columns)
        detail::with_constant<detail::tile_columns>(std::min<Index>(detail::tile_columns, d - j), [&](auto n) {
          detail::Tile<m.value, n.value, double> tile;
          tile.add(j + n.value, x.data() + first, x.rows(), u + j, d, 1);
          tile.add_squares_to(squares);
        });
      alignas(64) double values[height];
      for (int i = 0; i < m.value; ++i) Eigen::internal::pstore(values + i * size, squares[i]);
      out.segment(first, rows) = Eigen::Map<const Vector>(values, rows);
    });
  }
}

/// scatter += sum_n r_n x_n x_n^T over the first rows x_n, as many as r has: row-major, what is above the diagonal and on it,
/// and some of what is below.
template <class = void>
void add_scatter(const Eigen::Ref<const Block>& x, const Eigen::Ref<const Vector>& r, double* scatter) {
  using Tiles = RegisterTiles<double>;
  const Index d = x.cols(), rows = r.size(), registers = Tiles::registers(d);
  detail::Numbers<double> weighted(rows * registers * Tiles::size);
  detail::weigh(x.data(), rows, x.outerStride(), d, r.data(), weighted.data());
  for (Index c = 0; c < registers; c += Tiles::width(c, registers)) {
    const Index width = Tiles::width(c, registers), end = std::min((c + width) * Tiles::size, d);
    for (Index j = 0; j < end; j += detail::tile_columns) {
      const Index below = std::max<Index>(j / Tiles::size - c, 0);  // registers of columns left of j
      detail::with_constant<3>(width - below, [&](auto m) {
        const Index first = (c + below) * Tiles::size, kept = end - first;
        detail::with_constant<detail::tile_columns>(std::min<Index>(detail::tile_columns, end - j), [&](auto n) {
          detail::Tile<m.value, n.value, double> tile;
          tile.add(rows, weighted.data() + (c * rows + below) * Tiles::size, width * Tiles::size,
                   x.data() + j * x.outerStride(), 1, x.outerStride());
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

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
