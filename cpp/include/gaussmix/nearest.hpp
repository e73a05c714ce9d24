// The nearest of K centres for every row of a block, with bounds on the distances of it, of the next, and of all others.
//
// A squared distance is |z|^2 - 2 (z c - |c|^2 / 2). The products are taken in float, a tile in registers that keeps only the
// three largest of each row; a row whose two are closer to each other than floats can tell is searched again in double, and
// from differences, where products would blur the partition. So the nearest centre is that of doubles.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "gaussmix/spread.hpp"
#include "gaussmix/tile.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// What was found for the rows of a block.
struct Nearest {
  std::vector<std::int32_t> label;   ///< of the nearest centre, the first of equals
  std::vector<std::int32_t> second;  ///< of another one, the next as floats tell; 0 of a single centre
  Vector upper;                      ///< upper bound on the distance to the nearest, in units of Spread::unit
  Vector lower;                      ///< lower bound on the distance to the second
  Vector others;                     ///< lower bound on the distance to any other

  void resize(Index n) {
    label.resize(static_cast<std::size_t>(n));
    second.resize(static_cast<std::size_t>(n));
    for (Vector* bound : {&upper, &lower, &others}) bound->resize(n);
  }
};

/// Centres that are searched for the nearest one.
class CentreSearch {
 public:
  CentreSearch() = default;
  /// \param centres  K x d
  CentreSearch(const Matrix& centres, const Spread& spread) : centres_(centres), spread_(spread) {
    const Matrix scaled = (centres.rowwise() - spread.mean) * spread.unit;
    double_ = ScoreTable<double>(scaled);
    single_ = ScoreTable<float>(scaled);
    largest_norm_ = scaled.rowwise().norm().maxCoeff();
  }

  /// Searches the centres for each row.
  ///
  /// \param indices  rows of `data`
  /// \param z        their (x - mean) * unit, rows x d
  /// \param typical  squared distances of about this one must be right to 6 digits
  template <class = void>
  void find(const Data& data, const Index* indices, const Block& z, double typical, Nearest& nearest) const {
    Scores<float> scores;
    single_.find(z, scores);
    const Vector norms = squared_norms(z);
    const Index n = z.rows();
    const Eigen::ArrayXd first = scores.first.head(n).cast<double>(), second = scores.second.head(n).cast<double>(),
                         third = scores.third.head(n).cast<double>().max(-1e37);  // it may have overflowed
    // Two roundings to floats and d + 1 of the sum: each changes a product by at most 2^-24 of it.
    const double slack = static_cast<double>(z.cols() + 4) * 0x1.1p-24;
    const Eigen::ArrayXd lengths = norms.array().sqrt();
    // The rounding of scores down to a given one. A centre farther from the mean than this scores less whatever its rounding is, so
    // that a far one does not take the others' digits: z c - |c|^2 / 2 <= -|c|^2 / 4 from |c| = 4 |z| on, and what is rounded
    // is below 3 / 4 |c|^2.
    const auto error_down_to = [&](const Eigen::ArrayXd& score) -> Eigen::ArrayXd {
      Eigen::ArrayXd reach = Eigen::ArrayXd::Constant(n, largest_norm_);
      if (slack < 0.01) reach = reach.min((4.0 * lengths).max(2.1 * (-score).max(0.0).min(1e76).sqrt()));
      return slack * reach * (lengths + 0.5 * reach) + blur() * (norms.array() + reach.square()) +
             double{std::numeric_limits<float>::min()};
    };
    const Eigen::ArrayXd error = error_down_to(second);
    nearest.resize(n);
    nearest.upper = ((norms.array() - 2.0 * first).max(0.0) + 2.0 * error).sqrt();
    // What there is none of is infinitely far, and some of Eigen's registers do not know the root of that.
    nearest.lower = (norms.array() - 2.0 * (second + error)).max(0.0).min(1e76).sqrt();
    nearest.others = (norms.array() - 2.0 * (third + error_down_to(third))).max(0.0).sqrt();
    std::vector<Index> unclear;
    for (Index r = 0; r < n; ++r) {
      nearest.label[static_cast<std::size_t>(r)] = static_cast<std::int32_t>(scores.first_label(r));
      nearest.second[static_cast<std::size_t>(r)] = static_cast<std::int32_t>(scores.second_label(r));
      // Where the bound is larger than 1e30 a product may have overflowed.
      const bool told = error(r) < 1e30 && first(r) - second(r) > 2 * error(r);
      if (!told) unclear.push_back(r);
    }
    if (!unclear.empty()) find_in_double(data, indices, z(unclear, Eigen::all), typical, unclear, nearest);
  }

 private:
  /// The three largest z c - |c|^2 / 2 of each row, and the centres of two of them.
  template <class Scalar>
  struct Scores {
    detail::Numbers<Scalar> first, second, third, first_label, second_label;
  };

  /// The table of the products.
  template <class Scalar>
  class ScoreTable {
   public:
    using Table = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;

    ScoreTable() = default;
    explicit ScoreTable(const Matrix& centres) : table_(centres.cols() + 1, centres.rows()) {
      table_.row(0) = (-0.5 * centres.rowwise().squaredNorm()).template cast<Scalar>().transpose();
      table_.bottomRows(centres.cols()) = centres.transpose().template cast<Scalar>();
    }

    template <class = void>
    void find(const Block& z, Scores<Scalar>& scores) const {
      using Packet = detail::Packet<Scalar>;
      using namespace Eigen::internal;
      constexpr Index size = detail::packet_size<Scalar>;
      constexpr int vectors = 2, columns = detail::tile_columns;
      constexpr Index height = vectors * size;
      const Index depth = table_.rows(), k = table_.cols(), padded = (z.rows() + height - 1) / height * height;
      // The first feature is one, for the term that has no z.
      Table x(padded, depth);
      x.col(0).setOnes();
      x.topRightCorner(z.rows(), z.cols()) = z.template cast<Scalar>();
      x.bottomRows(padded - z.rows()).setZero();
      for (auto* out : {&scores.first, &scores.second, &scores.third, &scores.first_label, &scores.second_label})
        out->resize(padded);
      for (Index i = 0; i < padded; i += height) {
        Packet first[vectors], second[vectors], third[vectors], first_label[vectors], second_label[vectors];
        detail::unroll<vectors>([&](int m) {
          first[m] = second[m] = third[m] = pset1<Packet>(-std::numeric_limits<Scalar>::infinity());
          first_label[m] = second_label[m] = pset1<Packet>(Scalar{0});
        });
        for (Index c = 0; c < k; c += columns)
          detail::with_constant<columns>(std::min<Index>(columns, k - c), [&](auto n) {
            detail::Tile<vectors, n.value, Scalar> tile;
            tile.add(depth, x.data() + i, padded, table_.data() + c * depth, 1, depth);
            detail::unroll<n.value>([&](int j) {
              const auto number = pset1<Packet>(static_cast<Scalar>(c + j));
              detail::unroll<vectors>([&](int m) {
                const Packet score = tile(m, j);
                const Packet leads = pcmp_lt(first[m], score), follows = pcmp_lt(second[m], score);
                second_label[m] = pselect(leads, first_label[m], pselect(follows, number, second_label[m]));
                first_label[m] = pselect(leads, number, first_label[m]);
                third[m] = pmax(third[m], pmin(second[m], score));
                second[m] = pmax(second[m], pmin(first[m], score));
                first[m] = pmax(first[m], score);
              });
            });
          });
        detail::unroll<vectors>([&](int m) {
          pstoreu(scores.first.data() + i + m * size, first[m]);
          pstoreu(scores.second.data() + i + m * size, second[m]);
          pstoreu(scores.third.data() + i + m * size, third[m]);
          pstoreu(scores.first_label.data() + i + m * size, first_label[m]);
          pstoreu(scores.second_label.data() + i + m * size, second_label[m]);
        });
      }
    }

   private:
    Table table_;  // (1 + d) x K
  };

  /// The rounding of a squared distance of doubles is at most this times |z|^2 + |c|^2.
  double blur() const { return static_cast<double>(centres_.cols() + 8) * std::numeric_limits<double>::epsilon(); }

  static Vector squared_norms(const Block& z) {
    Vector norms = z.col(0).cwiseAbs2();
    for (Index j = 1; j < z.cols(); ++j) norms += z.col(j).cwiseAbs2();
    return norms;
  }

  /// What was found in double for a row: labels, and squared distances that are right to `error`.
  static void put(Nearest& nearest, Index row, Index label, Index second_label, double first, double second,
                  double third, double error) {
    nearest.label[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(label);
    nearest.second[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(second_label);
    nearest.upper(row) = std::sqrt(std::max(0.0, first) + error);
    nearest.lower(row) = std::sqrt(std::max(0.0, second - error));
    nearest.others(row) = std::sqrt(std::max(0.0, third - error));
  }

  /// Searches again for some rows of a block.
  ///
  /// \param z        of these rows
  /// \param unclear  where they stand in the block
  template <class = void>
  void find_in_double(const Data& data, const Index* indices, const Block& z, double typical,
                      const std::vector<Index>& unclear, Nearest& nearest) const {
    const Vector norms = squared_norms(z);
    if (const double error = blur() * (norms.maxCoeff() + largest_norm_ * largest_norm_); error <= 1e-6 * typical) {
      Scores<double> scores;
      double_.find(z, scores);
      for (Index r = 0; r < z.rows(); ++r)
        put(nearest, unclear[static_cast<std::size_t>(r)], static_cast<Index>(scores.first_label(r)),
            static_cast<Index>(scores.second_label(r)), norms(r) - 2 * scores.first(r), norms(r) - 2 * scores.second(r),
            norms(r) - 2 * scores.third(r), error);
      return;
    }
    RowVector x(data.cols());
    for (const Index r : unclear) {
      data.load_row(indices[r], x);
      double first = std::numeric_limits<double>::infinity(), second = first, third = first;
      Index label = 0, second_label = 0;
      for (Index k = 0; k < centres_.rows(); ++k) {
        const double distance = spread_.squared_distance(x, centres_.row(k));
        third = std::min(third, std::max(second, distance));
        if (distance < first) {
          second = first, second_label = label;
          first = distance, label = k;
        } else if (distance < second) {
          second = distance, second_label = k;
        }
      }
      put(nearest, r, label, second_label, first, second, third, 0);
    }
  }

  Matrix centres_;  // K x d
  Spread spread_;
  ScoreTable<double> double_;
  ScoreTable<float> single_;
  double largest_norm_ = 0;  // of (centre - mean) * unit
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
