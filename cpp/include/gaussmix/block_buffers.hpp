// What a thread keeps of the block of rows that it is at: from the rows to their responsibilities.
#pragma once

#include <algorithm>
#include <vector>

#include "gaussmix/panels.hpp"
#include "gaussmix/types.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Squared Mahalanobis distances are held below this, so that a row at any distance has a finite log-density.
inline constexpr double largest_distance = 1e300;

/// How the E-step of a block was done.
enum class Kernel { dense, single, whitened, shifted, centred };

/// Buffers for one block of rows: what goes through the E-step. One for each thread.
template <class Covariance>
struct BlockBuffers {
  Block x;                                   ///< rows as they are; for what goes centred
  FeaturePanels<Covariance, double> panels;  ///< rows in the frame, or whitened, and phi of them in the dense kernel
  Block offset;                              ///< (x - a point) * scale, or `z`, in whole panels
  Vector distances;                          ///< |z|^2, then |y|^2 or |U_k^T offset|^2
  Block table;         ///< weighted log-densities, then r_nk but for a factor; whole panels of rows
  Vector inverse_sum;  ///< the factor of each row
  Vector log_norm;     ///< log p(x_n)
  Vector weights;      ///< scaled weights of the rows
  double radius2 = 0;  ///< largest |z|^2
  Kernel kernel = Kernel::dense;
  Vector share;                    ///< responsibilities of a centred component times weights
  std::vector<Index> responsible;  ///< rows that have some
  std::vector<Index> recentred;    ///< components that go centred all the same; dense kernel only
  bool total_known = false;    ///< asks for `log_norm` without the term that all components share, whose sum is known
  bool may_be_single = false;  ///< lets the kernel be `single`, which fills `single_table` in place of `table`
  FeaturePanels<Covariance, float> single_panels;  ///< phi(z) and `table`, where the kernel is `single`
  Eigen::MatrixXf single_table;

  Index rows() const { return panels.rows(); }
  /// Rows in the frame, or whitened, rows x d in whole panels, which `offset` then holds.
  const Block& z() {
    panels.for_panels([this](Index at, const auto& part) { offset.middleRows(at, part.rows()) = part; });
    return offset;
  }
  /// rows x K
  auto responsibilities() const {
    eigen_assert(kernel != Kernel::single);
    return (table.topRows(rows()).array().colwise() * inverse_sum.array()).matrix();
  }

  /// r_ik, as above
  double responsibility(Index i, Index k) const { return table(i, k) * inverse_sum(i); }

  /// Whether a row that counts is so far out that its distances are no numbers any more.
  bool overflows() {
    if (radius2 < largest_distance) return false;
    const Block& far = z();
    for (Index i = 0; i < rows(); ++i)
      if (weights(i) > 0 && !(far.row(i).squaredNorm() < largest_distance)) return true;
    return false;
  }

  void resize(Index rows, Index d, Index k) {
    panels.resize(rows, d);
    offset.resize(padded<double>(rows), d);
    offset.bottomRows(offset.rows() - rows).setZero();
    distances.resize(rows);
    table.resize(padded<double>(rows), k);
    inverse_sum.resize(rows);
    log_norm.resize(rows);
    weights.resize(rows);
  }
};

/// Rows of a block: as many as keep what is made of them within a core's second-level cache.
template <class Covariance>
Index block_rows(Index d, Index k) {
  constexpr Index cache_numbers = 96 * 1024, fewest = 48, most = 240;  // multiples of panels
  const Index numbers = std::min(Covariance::features(d), FeaturePanels<Covariance, double>::slice) + 2 * k + 3 * d;
  return std::clamp(cache_numbers / numbers / fewest * fewest, fewest, most);
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
