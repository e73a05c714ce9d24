// k-means against brute force, and its seeding.
#include "gaussmix/kmeans.hpp"

#include <map>
#include <numeric>
#include <set>

#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Data;
using gaussmix::KMeans;
using gaussmix::Purpose;
using gaussmix::Random;

/// |x_i - centre_k|^2
Real distance(const Matrix& x, Index i, const Matrix& centres, Index k) {
  Real sum = 0;
  for (Index j = 0; j < x.cols(); ++j)
    sum += (Real{x(i, j)} - Real{centres(k, j)}) * (Real{x(i, j)} - Real{centres(k, j)});
  return sum;
}

/// sum_n w_n |x_n - centre|^2 in units of the data and of the weights as given.
double inertia(const KMeans& kmeans, const Data& data) {
  const auto& p = kmeans.partition();
  Real sum = 0;
  RowVector x(data.cols());
  for (Index i = 0; i < data.rows(); ++i) {
    if (!(data.weight(i) > 0)) continue;
    data.load_row(i, x);
    const auto label = p.labels[static_cast<std::size_t>(i)];
    sum += Real{data.weight(i)} / data.weight_scale() * (x - p.centres.row(label)).squaredNorm();
  }
  return static_cast<double>(sum);
}

/// Labels are nearest centres, and the inertia is the sum over them.
void expect_nearest(const KMeans& kmeans, const Data& data, const Matrix& x) {
  const auto& p = kmeans.partition();
  Real sum = 0;
  for (Index i = 0; i < x.rows(); ++i) {
    Real nearest = distance(x, i, p.centres, 0);
    for (Index k = 1; k < p.centres.rows(); ++k) nearest = std::min(nearest, distance(x, i, p.centres, k));
    const Real own = distance(x, i, p.centres, p.labels[static_cast<std::size_t>(i)]);
    EXPECT_LE(own, nearest * (1 + 1e-6L) + 1e-300L) << "row " << i;
    sum += Real{data.weight(i)} / data.weight_scale() * own;
  }
  EXPECT_NEAR(inertia(kmeans, data), static_cast<double>(sum), 1e-6 * static_cast<double>(sum));
}

/// Searches the centres for all rows, and compares with distances in long double.
void expect_found(const Matrix& x, const Matrix& centres, double typical, bool tight = false) {
  const Data data(x);
  const auto spread = gaussmix::measure_spread(data, 1);
  std::vector<Index> rows(static_cast<std::size_t>(x.rows()));
  std::iota(rows.begin(), rows.end(), Index{0});
  gaussmix::Block z(x.rows(), x.cols());
  data.load(rows.data(), z.rows(), z, spread.frame());
  gaussmix::Nearest found;
  gaussmix::CentreSearch(centres, spread).find(data, rows.data(), z, typical, found);
  for (Index i = 0; i < x.rows(); ++i) {
    const Index label = found.label[static_cast<std::size_t>(i)], second = found.second[static_cast<std::size_t>(i)];
    if (centres.rows() > 1) {
      EXPECT_NE(second, label) << "row " << i;
    }
    Real own = 0, other = HUGE_VALL, next = HUGE_VALL, others = HUGE_VALL;
    for (Index k = 0; k < centres.rows(); ++k) {
      const Real squared = distance(x, i, centres, k) * spread.unit * spread.unit;
      if (k == label)
        own = squared;
      else
        other = std::min(other, squared);
      if (k == second && k != label) next = squared;
      if (k != second && k != label) others = std::min(others, squared);
    }
    EXPECT_LE(own, other + 1e-6L * typical) << "row " << i;
    EXPECT_GE(found.upper(i), std::sqrt(own) * (1 - 1e-12L)) << "row " << i;
    EXPECT_LE(found.lower(i), std::sqrt(next) * (1 + 1e-12L)) << "row " << i;
    EXPECT_LE(found.others(i), std::sqrt(others) * (1 + 1e-12L)) << "row " << i;
    // Tight enough that rows are passed over: the second is the next but for the digits of floats.
    if (tight) {
      EXPECT_GE(found.lower(i), std::sqrt(other) - 1e-2L) << "row " << i;
      EXPECT_GE(found.others(i), std::sqrt(others) - 1e-2L) << "row " << i;
    }
  }
}

TEST(CentreSearch, finds_what_long_doubles_find) {
  for (const Index d : {1, 2, 8, 17})
    for (const Index k : {1, 2, 7, 8, 9, 20}) {
      const Matrix x = clusters(203, d, 1);
      expect_found(x, x.topRows(k), 1, k > 2);
      expect_found(x.array() + 1e8, x.topRows(k).array() + 1e8, 1);  // from differences
    }
}

TEST(CentreSearch, a_far_centre_is_searched_too) {
  for (const double far : {1e3, 1e6, 1e12, 1e25}) {
    const Matrix x = clusters(203, 4, 2);
    Matrix centres = x.topRows(9);
    centres.row(4).setConstant(far);
    centres.row(6).setConstant(-far);
    expect_found(x, centres, 1);
    Matrix with_row = x;
    with_row.row(17).setConstant(far);
    expect_found(with_row, centres, 1e-3);
    expect_found(with_row, centres.middleRows(4, 1), 1e-3);  // alone
  }
}

TEST(CentreSearch, what_overflows_is_no_farther_than_it_is) {
  const Matrix x = clusters(203, 4, 2);
  for (const double far : {1e17, 1e19, 1e20, 1e25, 1e37, 1e60}) {
    Matrix centres = x.topRows(3);
    centres.row(2).setConstant(far);
    expect_found(x, centres, 1);
  }
}

TEST(CentreSearch, floats_that_do_not_tell_are_not_believed) {
  // Half of the rows in two clusters 1e-3 wide, whose squared distances floats about the mean blur to nothing.
  Matrix x = 1e-3 * normals(400, 3, 2), centres(3, 3);
  centres << 0, 0, 0, 0.002, -0.002, 0.001, 10, 10, 10;
  for (Index i = 0; i < 400; ++i) x.row(i) += centres.row(i % 2 == 0 ? 2 : i % 4 == 1 ? 0 : 1);
  expect_found(x, centres, 1e-7);
  // No float is as large.
  x.row(7).setConstant(1e60);
  expect_found(x, centres, 1e-120);
  expect_found(x * 1e200, centres * 1e200, 1e-120);
}

TEST(CentreSearch, the_first_of_equal_centres_is_found) {
  const Matrix x = normals(50, 2, 3);
  Matrix centres(12, 2);
  centres.setConstant(100);
  for (const Index k : {3, 5, 11}) centres.row(k).setOnes();
  const Data data(x);
  const auto spread = gaussmix::measure_spread(data, 1);
  std::vector<Index> rows(50);
  std::iota(rows.begin(), rows.end(), Index{0});
  gaussmix::Block z(50, 2);
  data.load(rows.data(), z.rows(), z, spread.frame());
  gaussmix::Nearest found;
  gaussmix::CentreSearch(centres, spread).find(data, rows.data(), z, 1, found);
  for (Index i = 0; i < 50; ++i) {
    EXPECT_EQ(found.label[static_cast<std::size_t>(i)], 3);
    EXPECT_LE(found.lower(i), found.upper(i));
    EXPECT_LE(found.others(i), found.upper(i));
  }
}

TEST(KMeans, labels_are_nearest_and_inertia_is_their_sum) {
  for (const Index d : {1, 2, 8})
    for (const double offset : {0.0, 1e8})  // at 1e8 distances are taken from differences, not from products
      for (const Index k : {1, 3, 11}) {
        const Matrix x = clusters(700, d, 1).array() + offset;
        const auto weights = uniforms(700, 0, 5, 2);
        Data data(x);
        data.set_weights(weights.data());
        KMeans kmeans(data, k, 1, {});
        kmeans.run(kmeans.rows(kmeans.seed(Random(3, Purpose::seeding))));
        expect_nearest(kmeans, data, x);
      }
}

/// One step of Lloyd's iteration by brute force: new centres of rows with these labels, and the labels that follow.
void lloyd(const Matrix& x, const std::vector<double>& weights, Matrix& centres, std::vector<Index>& labels) {
  const auto label = [&](Index i) -> Index& { return labels[static_cast<std::size_t>(i)]; };
  const auto weight = [&](Index i) { return weights[static_cast<std::size_t>(i)]; };
  if (labels.empty()) {
    labels.resize(static_cast<std::size_t>(x.rows()));
  } else {
    Matrix sums = Matrix::Zero(centres.rows(), x.cols());
    Vector counts = Vector::Zero(centres.rows());
    for (Index i = 0; i < x.rows(); ++i) {
      counts(label(i)) += weight(i);
      sums.row(label(i)) += weight(i) * x.row(i);
    }
    Matrix moved = centres;
    std::set<Index> taken;
    for (Index k = 0; k < centres.rows(); ++k)
      if (counts(k) > 0) {
        moved.row(k) = sums.row(k) / counts(k);
      } else {
        Index farthest = -1;
        for (Index i = 0; i < x.rows(); ++i)
          if (weight(i) > 0 && taken.count(i) == 0 &&
              (farthest < 0 || distance(x, i, centres, label(i)) > distance(x, farthest, centres, label(farthest))))
            farthest = i;
        taken.insert(farthest);
        moved.row(k) = x.row(farthest);
      }
    centres = moved;
  }
  for (Index i = 0; i < x.rows(); ++i) {
    label(i) = 0;
    for (Index k = 1; k < centres.rows(); ++k)
      if (distance(x, i, centres, k) < distance(x, i, centres, label(i))) label(i) = k;
  }
}

TEST(KMeans, rows_that_are_passed_over_are_those_that_do_not_change) {
  for (const Index d : {1, 3, 17})
    for (const Index k : {2, 3, 20})
      for (const double far : {0.0, 40.0, 1e6, 1e25})  // of a centre that is empty at first
        for (const bool weighted : {false, true}) {
          const Matrix x = clusters(900, d, 21);
          std::vector<double> weights(900, 1.0);
          if (weighted)
            for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<double>(i % 4);
          Data data(x);
          if (weighted) data.set_weights(weights.data());
          Matrix start = x.topRows(k);
          if (far > 0) start.row(k - 1).setConstant(far);
          Matrix centres = start;
          std::vector<Index> labels;
          for (int iterations = 0; iterations < 12; ++iterations) {
            lloyd(x, weights, centres, labels);
            KMeans kmeans(data, k, 1, {});
            kmeans.run(start, iterations, 0);
            EXPECT_TRUE(close(kmeans.partition().centres, centres, 1e-11L, 1)) << iterations;
            const auto& found = kmeans.partition().labels;
            EXPECT_TRUE(std::equal(labels.begin(), labels.end(), found.begin(), found.end())) << iterations;
          }
        }
}

TEST(KMeans, a_cluster_far_from_the_others_keeps_its_partition) {
  // Two clusters 1e-3 wide and 1e-2 apart beside one at 1e6: |z|^2 - 2zc + |c|^2 alone would blur them.
  Matrix x = 1e-3 * normals(300, 2, 4);
  for (Index i = 0; i < 300; ++i) x.row(i).array() += i % 3 == 0 ? 1e6 : i % 3 == 1 ? -1e6 : -1e6 + 1e-2;
  const Data data(x);
  KMeans kmeans(data, 3, 1, {});
  kmeans.run(x.topRows(3));
  for (Index i = 0; i < 300; ++i) EXPECT_EQ(kmeans.partition().labels[static_cast<std::size_t>(i)], i % 3);
}

TEST(KMeans, the_view_that_it_is_made_from_need_not_outlive_it) {
  const Matrix x = clusters(60, 2, 5), other = Matrix::Constant(60, 2, 1e9);
  Data view(x);
  KMeans kmeans(view, 3, 1, {});
  const gaussmix::Spread spread = kmeans.spread();
  gaussmix::Spread gone = spread;
  gaussmix::Seeding seeding(view, gone, 3, 1, {});
  view = Data(other);
  gone.unit = 0;
  const Random random(6, Purpose::seeding);
  EXPECT_EQ(seeding.k_means_plus_plus(random), gaussmix::Seeding(x, spread, 3, 1, {}).k_means_plus_plus(random));
  kmeans.run(x.topRows(3));
  expect_nearest(kmeans, x, x);
}

TEST(KMeans, at_the_end_centres_are_means_of_their_rows) {
  const Matrix x = clusters(500, 3, 5);
  const Data data(x);
  KMeans kmeans(data, 4, 1, {});
  kmeans.run(kmeans.rows(kmeans.seed(Random(6, Purpose::seeding))), 1000, 0);
  Matrix w = Matrix::Zero(500, 4);
  for (Index i = 0; i < 500; ++i) w(i, kmeans.partition().labels[static_cast<std::size_t>(i)]) = 1;
  EXPECT_TRUE(close(kmeans.partition().centres, reference::moments<gaussmix::Spherical>(x, w).means, 1e-13L, 1));
}

TEST(KMeans, lloyds_iteration_never_raises_the_inertia) {
  const Matrix x = clusters(600, 3, 7);
  const Data data(x);
  double previous = HUGE_VAL;
  for (const int iterations : {0, 1, 2, 3, 5, 10, 100}) {
    KMeans kmeans(data, 5, 1, {});
    kmeans.run(x.topRows(5), iterations, 0);
    EXPECT_LE(inertia(kmeans, data), previous * (1 + 1e-12));
    previous = inertia(kmeans, data);
  }
}

TEST(KMeans, weights_equal_repeated_rows) {
  const Matrix x = clusters(400, 2, 8);
  std::vector<double> weights(400);
  std::vector<Index> present;
  for (Index i = 0; i < 400; ++i) {
    weights[static_cast<std::size_t>(i)] = static_cast<double>(i % 4);
    for (Index copy = 0; copy < i % 4; ++copy) present.push_back(i);
  }
  const Matrix repeated = x(present, Eigen::all);
  Data weighted(x);
  weighted.set_weights(weights.data());
  const Data copies(repeated);
  KMeans a(weighted, 5, 1, {}), b(copies, 5, 1, {});
  const auto seeds_a = a.seed(Random(9, Purpose::seeding)), seeds_b = b.seed(Random(9, Purpose::seeding));
  EXPECT_TRUE(a.rows(seeds_a) == b.rows(seeds_b));
  a.run(a.rows(seeds_a));
  b.run(a.rows(seeds_a));
  EXPECT_TRUE(close(a.partition().centres, b.partition().centres, 1e-12L, 1));
  EXPECT_NEAR(inertia(a, weighted), inertia(b, copies), 1e-9);
  for (std::size_t r = 0; r < present.size(); ++r)
    EXPECT_EQ(a.partition().labels[static_cast<std::size_t>(present[r])], b.partition().labels[r]);
}

TEST(KMeans, same_bits_at_any_number_of_threads) {
  const Matrix x = clusters(9000, 3, 10);
  const Data data(x);
  KMeans one(data, 6, 1, {});
  const auto seeds = one.seed(Random(11, Purpose::seeding));
  one.run(one.rows(seeds));
  for (const int n_threads : {2, 3, 8}) {
    KMeans many(data, 6, n_threads, {});
    EXPECT_EQ(many.seed(Random(11, Purpose::seeding)), seeds);
    many.run(many.rows(seeds));
    EXPECT_TRUE(many.partition().centres == one.partition().centres);
    EXPECT_EQ(many.partition().labels, one.partition().labels);
    EXPECT_EQ(inertia(many, data), inertia(one, data));
  }
}

TEST(KMeans, fewer_distinct_rows_than_centres) {
  Matrix x(30, 2);
  for (Index i = 0; i < 30; ++i) x.row(i) << static_cast<double>(i % 3), 1.0;
  const Data data(x);
  KMeans kmeans(data, 5, 1, {});
  kmeans.run(kmeans.rows(kmeans.seed(Random(12, Purpose::seeding))));
  EXPECT_TRUE(kmeans.partition().centres.allFinite());
  EXPECT_EQ(inertia(kmeans, data), 0);
}

TEST(KMeans, an_empty_cluster_moves_to_the_farthest_row) {
  Matrix x(6, 1), centres(3, 1);
  x << 0, 1, 2, 10, 11, 30;
  const Data data(x);
  for (const double far : {1e3, 1e15, 1e25, 1e60}) {
    centres << 1, 10, far;
    KMeans kmeans(data, 3, 1, {});
    kmeans.run(centres);
    EXPECT_TRUE(close(kmeans.partition().centres, Table(Vector(Eigen::Vector3d(1, 10.5, 30))), 1e-14L)) << far;
  }
}

TEST(KMeansSeeding, draws_distinct_rows_while_there_are_any) {
  Matrix x(40, 2);
  for (Index i = 0; i < 40; ++i) x.row(i) << static_cast<double>(i % 5), static_cast<double>(i % 5) * 2;
  const Data data(x);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    KMeans kmeans(data, 5, 1, {});
    std::set<double> values;
    for (const Index i : kmeans.seed(Random(seed, Purpose::seeding))) values.insert(x(i, 0));
    EXPECT_EQ(values.size(), 5u);
  }
}

TEST(KMeansSeeding, identical_rows) {
  const Matrix x = Matrix::Constant(10, 3, 4.5);
  const Data data(x);
  KMeans kmeans(data, 4, 1, {});
  const auto seeds = kmeans.seed(Random(13, Purpose::seeding));
  EXPECT_EQ(seeds.size(), 4u);
  kmeans.run(kmeans.rows(seeds));
  EXPECT_TRUE(kmeans.partition().centres == Matrix::Constant(4, 3, 4.5));
  EXPECT_EQ(inertia(kmeans, data), 0);
}

TEST(KMeansSeeding, rows_that_need_not_be_read_change_nothing) {
  // Few rows are packed, and all are read; a row without weight prevents that, and changes nothing else.
  const Index n = 1500, d = 9;
  const Matrix x = clusters(n, d, 92);
  Matrix one_more(n + 1, d);
  one_more << x, 100 * Matrix::Ones(1, d);
  std::vector<double> weights(static_cast<std::size_t>(n + 1), 1.0);
  weights.back() = 0;
  Data unpacked(one_more);
  unpacked.set_weights(weights.data());
  for (const int n_threads : {1, 2, 3})
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      const Random random(seed, Purpose::seeding);
      EXPECT_EQ(KMeans(unpacked, 20, n_threads, {}).seed(random), KMeans(x, 20, 1, {}).seed(random));
    }
}

TEST(KMeansSeeding, a_large_constant_beside_tiny_numbers) {
  const Matrix x = 1e-300 * clusters(200, 3, 93);
  Matrix wide(200, 4);
  wide << x, Matrix::Constant(200, 1, 1e10);
  const Random random(1, Purpose::seeding);
  EXPECT_EQ(KMeans(wide, 8, 1, {}).seed(random), KMeans(x, 8, 1, {}).seed(random));
}

TEST(KMeansSeeding, first_row_is_drawn_in_proportion_to_weight) {
  const Matrix x = normals(600, 1, 14);  // more than one lane
  std::vector<double> weights(600, 0.0);
  weights[5] = 1;
  weights[300] = 2;
  weights[599] = 5;
  Data data(x);
  data.set_weights(weights.data());
  std::map<Index, int> drawn;
  KMeans kmeans(data, 1, 1, {});
  for (std::uint64_t seed = 0; seed < 4000; ++seed) ++drawn[kmeans.seed(Random(seed, Purpose::seeding))[0]];
  EXPECT_EQ(drawn.size(), 3u);
  EXPECT_NEAR(drawn[5] / 4000.0, 1.0 / 8, 5 * std::sqrt(7.0 / 64 / 4000));
  EXPECT_NEAR(drawn[300] / 4000.0, 2.0 / 8, 5 * std::sqrt(12.0 / 64 / 4000));
}

TEST(KMeansSeeding, draw_gives_different_rows_of_positive_weight) {
  const Matrix x = normals(20, 2, 15);
  std::vector<double> weights(20, 0.0);
  for (const std::size_t i : {3u, 8u, 13u}) weights[i] = 1;
  Data data(x);
  data.set_weights(weights.data());
  const auto rows = KMeans(data, 3, 1, {}).draw(Random(16, Purpose::seeding));
  EXPECT_EQ(std::set<Index>(rows.begin(), rows.end()), (std::set<Index>{3, 8, 13}));
  EXPECT_THROW(KMeans(data, 4, 1, {}).draw(Random(16, Purpose::seeding)), gaussmix::DegenerateData);
}

TEST(KMeans, interrupt_stops_seeding_and_iteration) {
  const Matrix x = clusters(100, 2, 17);
  const Data data(x);
  EXPECT_THROW(KMeans(data, 3, 1, [] { return true; }).seed(Random(18, Purpose::seeding)), gaussmix::Stopped);
  EXPECT_THROW(KMeans(data, 3, 1, [] { return true; }).run(x.topRows(3)), gaussmix::Stopped);
}

TEST(KMeans, seeds_are_different_rows_where_rows_differ) {
  const Matrix x = normals(180, 2, 91);
  const Data data(x);
  KMeans kmeans(data, 150, 2, {});
  auto rows = kmeans.seed(gaussmix::Random(0, gaussmix::Purpose::seeding));
  std::sort(rows.begin(), rows.end());
  EXPECT_EQ(std::unique(rows.begin(), rows.end()) - rows.begin(), 150);
}

}  // namespace
