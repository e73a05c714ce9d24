// Products of matrices other than the two of a pass, which panels.hpp has. They enter Eigen's kernel below the layer
// that would start a thread team: we thread over rows outside, Eigen's team would nest in it, and its size is a global setting.
#pragma once

#include <Eigen/Core>

#include "gaussmix/types.hpp"

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

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
