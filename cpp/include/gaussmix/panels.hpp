// The two products of a pass, L = Phi Theta and S = Phi^T (w o R), over features that are made on the way.
//
// The rows of a block lie in panels, as many rows as fill three vector registers, feature after feature: a product
// streams through them, tile by tile (tile.hpp). The linear features 1 and x are the rows themselves; behind them quadratic
// ones are made a slice at a time, and made again for the second product where there are several: a slice stays in the
// second-level cache however many features there are. Each slice is a sum of its own, so that rounding grows with its
// length and the number of slices, not with that of features.
#pragma once

#include <algorithm>

#include "gaussmix/tile.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Theta: a column of coefficients for each of K components, kept by tiles of components, feature after feature.
template <class Scalar>
class Coefficients {
 public:
  Coefficients() = default;
  /// Room for all columns, which are to be set.
  Coefficients(Index features, Index k) : features_(features), k_(k), values_(features * k) {}

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

/// S: sums over rows, features x K, for products in `Scalar`, kept by tiles of components, feature after feature.
template <class Scalar>
class FeatureSums {
 public:
  using Tiles = RegisterTiles<Scalar>;

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

/// A block of rows, a slice of their features, and its products. Panel after panel, and in each feature after feature:
/// ones, the rows, and behind them the quadratic features of the slice. The last panel is filled up with rows of zeros.
template <class Scalar>
class Panels {
 public:
  static constexpr Index height = panel_rows<Scalar>;

  using Table = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
  using Panel = Eigen::Map<Eigen::Array<Scalar, panel_rows<Scalar>, Eigen::Dynamic>, panel_alignment<Scalar>>;

  /// Room for n rows of d numbers and for `quadratic` of their quadratic features; both are to be written.
  void resize(Index n, Index d, Index quadratic) {
    if (n == n_ && d == d_ && width_ == 1 + d + quadratic) return;  // ones and zeros are where they were
    n_ = n;
    d_ = d;
    width_ = 1 + d + quadratic;
    count_ = padded<Scalar>(n) / height;
    values_.resize(count_ * height * width_);
    for (Index p = 0; p < count_; ++p) panel(p, 0, 1).setOnes();
    if (count_ * height > n) panel(count_ - 1, 0, 1 + d).bottomRows(count_ * height - n).setZero();
  }

  Index rows() const { return n_; }
  Index cols() const { return d_; }
  Index count() const { return count_; }
  /// The rows of panel p.
  Panel rows(Index p) { return panel(p, 1, d_); }
  /// Its quadratic features.
  Panel phi(Index p, Index depth) { return panel(p, 1 + d_, depth); }

  /// Takes as many rows of the other type, rounded.
  template <class Other>
  void assign_rows(Panels<Other>& other) {
    constexpr Index step = Panels<Other>::height;
    static_assert(height % step == 0);
    eigen_assert(other.rows() == n_ && other.cols() == d_);
    for (Index p = 0; p < other.count(); ++p) {
      const auto from = other.rows(p);
      auto to = rows(p * step / height);
      for (Index j = 0; j < d_; ++j)
        to.col(j).template segment<step>(p * step % height) = from.col(j).template cast<Scalar>();
    }
  }

  /// |z|^2 of each row z, n numbers.
  void squared_norms(Eigen::Ref<Vector> out) const {
    sum_squares(out, [](const auto& x, Index /*j*/) { return x; });
  }

  /// |z - p|^2 of each row z, for a point p of d numbers.
  void squared_distances(const Scalar* point, Eigen::Ref<Vector> out) const {
    sum_squares(out, [point](const auto& x, Index j) {
      return Eigen::internal::psub(x, Eigen::internal::pset1<detail::Packet<Scalar>>(point[j]));
    });
  }

  /// out += the slice's features first, first + 1, ..., `depth` of them, times their coefficients; = where first is 0.
  void multiply(const Coefficients<Scalar>& theta, Index first, Index depth, Table& out) const {
    eigen_assert(out.rows() == count_ * height && out.cols() == theta.n_components());
    for (Index c = 0; c < theta.n_components(); c += detail::tile_columns)
      detail::with_constant<detail::tile_columns>(theta.width(c), [&](auto n) {
        for (Index p = 0; p < count_; ++p) {
          detail::Tile<3, n.value, Scalar> tile;
          Scalar* target = out.data() + c * out.rows() + p * height;
          tile.add(depth, slice(p, first), height, theta.tile(c, first), n.value, 1);
          if (first > 0) tile.add(target, out.rows());
          tile.store(target, out.rows());
        }
      });
  }

  /// Takes the numbers r of the rows, filled up with zeros, times the weights w.
  template <class Weights>
  void weigh(const Table& r, const Eigen::MatrixBase<Weights>& w) {
    eigen_assert(r.rows() == count_ * height && w.size() <= r.rows());
    weights_.setZero(r.rows());
    weights_.head(w.size()) = w.array().template cast<Scalar>();
    if (Tiles::registers(r.cols()) == 1) {
      weighted_.resize(r.size());
      for (Index c = 0; c < r.cols(); ++c) weighted_.segment(c * r.rows(), r.rows()) = r.col(c).array() * weights_;
    } else {
      weighted_.resize(r.rows() * Tiles::registers(r.cols()) * Tiles::size);
      detail::weigh(r.data(), r.rows(), r.rows(), r.cols(), weights_.data(), weighted_.data());
    }
  }

  /// sums += the slice's features first, first + 1, ..., `depth` of them, times what `weigh` took.
  void accumulate(Index first, Index depth, FeatureSums<Scalar>& sums) const {
    const Index registers = Tiles::registers(sums.n_components());
    if (registers == 1) return accumulate_by_rows(first, depth, sums);
    for (Index c = 0; c < registers; c += Tiles::width(c, registers))
      detail::with_constant<2>(Tiles::width(c, registers) - 1, [&](auto more) {
        constexpr int vectors = more.value + 1;
        constexpr Index width = vectors * Tiles::size;
        // With few registers of components more features, so that many sums run side by side.
        constexpr int most = vectors < 3 ? 3 * detail::tile_columns / 2 : detail::tile_columns;
        const Scalar* weighted = weighted_.data() + c * Tiles::size * count_ * height;
        for_features<most>(depth, [&](auto n, Index f) {
          detail::Tile<vectors, n.value, Scalar> tile;
          for (Index p = 0; p < count_; ++p)
            tile.add(height, weighted + p * height * width, width, slice(p, first) + f * height, 1, height);
          alignas(64) Scalar sum[n.value * width];
          tile.store(sum, width);
          Eigen::Map<Eigen::Array<double, n.value * width, 1>> target(sums.tile(c, first + f));
          target += Eigen::Map<Eigen::Array<Scalar, n.value * width, 1>>(sum).template cast<double>();
        });
      });
  }

 private:
  using Tiles = RegisterTiles<Scalar>;

  /// out = sum_j shifted(z_j, j)^2 of each row z, n numbers.
  template <class Shifted>
  void sum_squares(Eigen::Ref<Vector> out, const Shifted& shifted) const {
    using namespace Eigen::internal;
    using Packet = detail::Packet<Scalar>;
    for (Index p = 0; p < count_; ++p) {
      Packet sums[3];
      detail::unroll<3>([&](int m) { sums[m] = pset1<Packet>(Scalar{0}); });
      const Scalar* z = values_.data() + (p * width_ + 1) * height;
      for (Index j = 0; j < d_; ++j, z += height)
        detail::unroll<3>([&](int m) {
          const Packet x = shifted(pload<Packet>(z + m * Tiles::size), j);
          sums[m] = pmadd(x, x, sums[m]);
        });
      alignas(64) Scalar squares[height];
      detail::unroll<3>([&](int m) { pstore(squares + m * Tiles::size, sums[m]); });
      const Index first = p * height, n = std::min(height, n_ - first);
      out.segment(first, n) =
          Eigen::Map<const Eigen::Matrix<Scalar, Eigen::Dynamic, 1>>(squares, n).template cast<double>();
    }
  }

  /// Components whose sums run side by side where registers hold rows.
  static constexpr int together = static_cast<int>(std::min<Index>(4, Tiles::size));

  /// Some features of panel p, of those that are here.
  Panel panel(Index p, Index first, Index depth) {
    return Panel(values_.data() + (p * width_ + first) * height, height, depth);
  }
  /// The slice that begins with feature `first`, of panel p: quadratic ones lie behind the linear ones.
  const Scalar* slice(Index p, Index first) const {
    return values_.data() + (p * width_ + std::min(first, 1 + d_)) * height;
  }

  /// Calls body(std::integral_constant<int, n>, f) for features f ... f + n - 1, n at most N and as even as can be.
  template <int N, class Body>
  static void for_features(Index depth, const Body& body) {
    for (Index f = 0, n = 0; f < depth; f += n) {
      const Index tiles = (depth - f + N - 1) / N;
      n = (depth - f + tiles - 1) / tiles;
      detail::with_constant<N>(n, [&](auto count) { body(count, f); });
    }
  }

  /// `accumulate`, of components that one register holds. Few of them would leave most of it empty, and each number of the
  /// features would be read for one product: here registers hold rows, and their numbers are added up at the end.
  void accumulate_by_rows(Index first, Index depth, FeatureSums<Scalar>& sums) const {
    using Packet = detail::Packet<Scalar>;
    using namespace Eigen::internal;
    const Index rows = count_ * height, k = sums.n_components();
    for (Index c = 0; c < k; c += together)
      detail::with_constant<together>(std::min<Index>(together, k - c), [&](auto components) {
        // As many features as leave registers for the weights and a number of the features; eight sums hide their waits.
        constexpr int registers = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS, k_here = components.value;
        for_features<std::min((registers - 1 - k_here) / k_here, 8)>(depth, [&](auto n, Index f) {
          const Scalar* r = weighted_.data() + c * rows;
          constexpr int features = n.value;
          Packet sum[features][k_here];
          detail::unroll<features>(
              [&](int j) { detail::unroll<k_here>([&](int q) { sum[j][q] = pset1<Packet>(Scalar{0}); }); });
          for (Index p = 0; p < count_; ++p) {
            const Scalar* phi = slice(p, first) + f * height;
            for (Index i = 0; i < height; i += Tiles::size, r += Tiles::size) {
              Packet weighted[k_here];
              detail::unroll<k_here>([&](int q) { weighted[q] = pload<Packet>(r + q * rows); });
              detail::unroll<features>([&](int j) {
                const auto x = pload<Packet>(phi + j * height + i);
                detail::unroll<k_here>([&](int q) { sum[j][q] = pmadd(weighted[q], x, sum[j][q]); });
              });
            }
          }
          detail::unroll<features>([&](int j) {
            double* of_feature = sums.tile(0, first + f + j) + c;
            detail::unroll<k_here>([&](int q) { of_feature[q] += double{predux(sum[j][q])}; });
          });
        });
      });
  }

  Index n_ = 0, d_ = 0, width_ = 1, count_ = 0;
  detail::Numbers<Scalar> values_, weights_, weighted_;
};

/// The features of a block of rows, and their products.
template <class Covariance, class Scalar>
class FeaturePanels {
 public:
  using Table = typename Panels<Scalar>::Table;

  /// Features of a slice.
  static constexpr Index slice = 128;

  /// Room for n rows of d numbers, which are written panel by panel, see `for_panels`.
  void resize(Index n, Index d) {
    features_ = Covariance::features(d);
    held_ = -1;
    panels_.resize(n, d, std::min(features_ - 1 - d, slice));
  }

  Index rows() const { return panels_.rows(); }
  Index cols() const { return panels_.cols(); }

  /// Calls body(at, z) for the rows at, at + 1, ... of each panel, one a row of z.
  template <class Body>
  void for_panels(const Body& body) {
    for (Index at = 0; at < rows(); at += Panels<Scalar>::height)
      body(at, within_panel(at, std::min(Panels<Scalar>::height, rows() - at)));
  }

  /// Takes as many rows of the other type, rounded.
  template <class Other>
  void assign_rows(FeaturePanels<Covariance, Other>& other) {
    panels_.assign_rows(other.panels_);
  }

  /// The rows at, at + 1, ..., n of them, which lie in one panel.
  auto within_panel(Index at, Index n) {
    return panels_.rows(at / Panels<Scalar>::height).middleRows(at % Panels<Scalar>::height, n);
  }

  /// |z|^2 of each row z, n numbers.
  void squared_norms(Eigen::Ref<Vector> out) const { panels_.squared_norms(out); }

  /// |z - p|^2 of each row z, for a point p of d numbers.
  void squared_distances(const Scalar* point, Eigen::Ref<Vector> out) const { panels_.squared_distances(point, out); }

  /// out = Phi Theta, whose rows are filled up to whole panels.
  void multiply(const Coefficients<Scalar>& theta, Table& out) {
    for (Index first = 0; first < features_; first += slice) {
      expand(first);
      panels_.multiply(theta, first, depth(first), out);
    }
  }

  /// sums += Phi^T (w o r), with weights w of the rows and K numbers r of each, whose rows are filled up with zeros.
  template <class Weights>
  void accumulate(const Table& r, const Eigen::MatrixBase<Weights>& w, FeatureSums<Scalar>& sums) {
    panels_.weigh(r, w);
    // From the last slice, which is the one that is here.
    for (Index first = (features_ - 1) / slice * slice; first >= 0; first -= slice) {
      expand(first);
      panels_.accumulate(first, depth(first), sums);
    }
  }

 private:
  template <class, class>
  friend class FeaturePanels;

  Index depth(Index first) const { return std::min(slice, features_ - first); }

  /// Makes the quadratic ones of the features first, first + 1, ... of a slice, unless they are here.
  void expand(Index first) {
    if (held_ == first) return;
    held_ = first;
    const Index quadratic = std::max(first, 1 + cols()), count = first + depth(first) - quadratic;
    for (Index p = 0; p < panels_.count() && count > 0; ++p)
      Covariance::expand(panels_.rows(p), quadratic - 1 - cols(), panels_.phi(p, count));
  }

  Index features_ = 0, held_ = -1;
  Panels<Scalar> panels_;
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
