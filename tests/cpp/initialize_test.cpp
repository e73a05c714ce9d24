// Where EM starts: each method's statistics against the reference, and given parameters in any combination.
#include "gaussmix/initialize.hpp"

#include "gaussmix/instances.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Data;
using gaussmix::Initialization;
using gaussmix::KMeans;
using gaussmix::Purpose;
using gaussmix::Random;
using gaussmix::Start;
using gaussmix::Statistics;

constexpr Initialization methods[] = {Initialization::kmeans, Initialization::kmeans_plus_plus, Initialization::random,
                                      Initialization::random_from_data};

template <class Covariance>
struct Initialize : testing::Test {
  static constexpr Index n = 600, d = 2, k = 3;
  Matrix x = clusters(n, d, 1);
  Data data{x};

  Statistics<Covariance> of(Initialization method, const Start& start = {}, std::uint32_t restart = 0,
                            int n_threads = 1) const {
    return gaussmix::initialize<Covariance>(data, k, method, start, 7, restart, n_threads, {});
  }
  /// Statistics of the partition by nearest of these points.
  reference::Moments nearest(const Matrix& points) const {
    Matrix w = Matrix::Zero(n, k);
    for (Index i = 0; i < n; ++i) {
      Index best = 0;
      (points.rowwise() - x.row(i)).rowwise().squaredNorm().minCoeff(&best);
      w(i, best) = 1;
    }
    return reference::moments<Covariance>(x, w);
  }
  static void expect_close(const Statistics<Covariance>& s, const reference::Moments& m) {
    EXPECT_TRUE(close(s.counts, column(m.counts), 1e-12L));
    EXPECT_TRUE(close(s.means, m.means, 1e-12L, 1));
    EXPECT_TRUE(close(s.covariances, m.covariances, 1e-12L));
  }
};
TYPED_TEST_SUITE(Initialize, AllTypes, TypeNames);

TYPED_TEST(Initialize, kmeans_gives_the_moments_of_its_partition) {
  KMeans kmeans(this->data, this->k, 1, {});
  kmeans.run(kmeans.rows(kmeans.seed(Random(7, Purpose::seeding))));
  this->expect_close(this->of(Initialization::kmeans), this->nearest(kmeans.partition().centres));
}

TYPED_TEST(Initialize, rows_give_means_at_rows_and_moments_of_the_nearest) {
  KMeans kmeans(this->data, this->k, 1, {});
  const Matrix seeded = kmeans.rows(kmeans.seed(Random(7, Purpose::seeding)));
  const Matrix drawn = kmeans.rows(kmeans.draw(Random(7, Purpose::seeding)));
  for (const bool random : {false, true}) {
    const Matrix& rows = random ? drawn : seeded;
    const auto s = this->of(random ? Initialization::random_from_data : Initialization::kmeans_plus_plus);
    EXPECT_TRUE(s.means == rows);
    const auto m = this->nearest(rows);
    EXPECT_TRUE(close(s.counts, column(m.counts), 1e-12L));
    EXPECT_TRUE(close(s.covariances, m.covariances, 1e-12L));
  }
}

TYPED_TEST(Initialize, random_gives_the_moments_of_uniform_responsibilities) {
  Matrix w(this->n, this->k);
  const Random random(7, Purpose::responsibilities);
  for (Index i = 0; i < this->n; ++i) {
    const auto a = random.uniform(static_cast<std::uint64_t>(2 * i)),
               b = random.uniform(static_cast<std::uint64_t>(2 * i + 1));
    w.row(i) << a[0], a[1], b[0];
    w.row(i) /= w.row(i).sum();
  }
  this->expect_close(this->of(Initialization::random), reference::moments<TypeParam>(this->x, w));
}

TYPED_TEST(Initialize, rows_without_weight_are_absent) {
  std::vector<double> weights(static_cast<std::size_t>(this->n), 1.0);
  std::vector<Index> present;
  for (Index i = 0; i < this->n; ++i)
    if (i % 5 == 1)
      weights[static_cast<std::size_t>(i)] = 0;
    else
      present.push_back(i);
  const Matrix rows = this->x(present, Eigen::all);
  const Data fewer(rows);
  this->data.set_weights(weights.data());
  for (const auto method : methods) {
    const auto with = this->of(method);
    const auto without = gaussmix::initialize<TypeParam>(fewer, this->k, method, {}, 7, 0, 1, {});
    EXPECT_TRUE(close(with.counts, without.counts, 1e-11L));
    EXPECT_TRUE(close(with.means, without.means, 1e-11L, 1));
    EXPECT_TRUE(close(with.covariances, without.covariances, 1e-11L));
  }
}

TYPED_TEST(Initialize, counts_are_sums_of_the_weights_of_rows) {
  for (const double factor : {1e-300, 3.0, 1e300}) {
    const std::vector<double> weights(static_cast<std::size_t>(this->n), factor);
    const Data weighted = Data(this->x).set_weights(weights.data());
    for (const auto method : methods) {
      const auto s = gaussmix::initialize<TypeParam>(weighted, this->k, method, {}, 7, 0, 1, {});
      EXPECT_TRUE(close(s.counts, Table(Vector(factor * this->of(method).counts)), 1e-12L));
      EXPECT_NEAR(s.total_weight / factor, static_cast<double>(this->n), 1e-9);
    }
  }
}

TYPED_TEST(Initialize, same_bits_at_any_number_of_threads_and_others_at_other_restarts) {
  for (const auto method : methods) {
    const auto one = this->of(method), many = this->of(method, {}, 0, 3), other = this->of(method, {}, 1);
    EXPECT_TRUE(one.counts == many.counts && one.means == many.means && one.covariances == many.covariances);
    if (method != Initialization::kmeans) {
      EXPECT_FALSE(one.means == other.means);
    }
  }
}

TYPED_TEST(Initialize, any_combination_of_given_parameters) {
  auto given = random_mixture<TypeParam>(this->k, this->d, 3);
  given.means = this->x.middleRows(30, 3);  // one of each cluster
  Matrix precisions = given.covariances;
  for (Index m = 0; m < precisions.rows(); ++m)
    TypeParam::precision(given.precisions_cholesky.row(m).data(), this->d, precisions.row(m).data());
  for (const auto method : methods)
    for (int parts = 0; parts < 8; ++parts) {
      Start start;
      if (parts & 1) start.weights = given.weights;
      if (parts & 2) start.means = given.means;
      if (parts & 4) start.precisions = precisions;
      EXPECT_EQ(start.complete(), parts == 7);
      EXPECT_EQ(start.any(), parts != 0);
      const auto estimated = gaussmix::maximize(this->of(method, start), 1e-6);
      const auto mixture = gaussmix::apply_start(estimated, start);
      EXPECT_TRUE(close(mixture.weights, parts & 1 ? given.weights : estimated.weights, 1e-15L));
      EXPECT_TRUE(mixture.means == (parts & 2 ? given.means : estimated.means));
      EXPECT_TRUE(close(mixture.covariances, parts & 4 ? given.covariances : estimated.covariances, 1e-12L));
      if (parts & 2) this->expect_close(this->of(method, start), this->nearest(given.means));
    }
}

TYPED_TEST(Initialize, given_weights_are_normalised) {
  Start start;
  start.weights = Vector(Eigen::Vector3d(1, 2, 5));
  const auto mixture = gaussmix::apply_start(gaussmix::maximize(this->of(Initialization::kmeans, start), 1e-6), start);
  EXPECT_NEAR(mixture.weights.sum(), 1, 1e-15);
}

TYPED_TEST(Initialize, estimated_components_are_matched_to_given_weights) {
  // Clusters of 60, 30 and 10 per cent, far apart; the weights are given in every order.
  Matrix x = 0.1 * normals(1000, 2, 4);
  for (Index i = 0; i < 1000; ++i) x.row(i).array() += i % 10 < 6 ? 0.0 : i % 10 < 9 ? 10.0 : 20.0;
  const Data rows(x);
  Eigen::Vector3d weights(0.1, 0.3, 0.6);
  do {
    Start start;
    start.weights = Vector(weights);
    const auto s = gaussmix::initialize<TypeParam>(rows, 3, Initialization::kmeans, start, 1, 0, 1, {});
    EXPECT_TRUE(close(s.counts, Table(Vector(1000 * weights)), 1e-12L));
    for (Index c = 0; c < 3; ++c) EXPECT_NEAR(s.means(c, 0), weights(c) == 0.6 ? 0 : weights(c) == 0.3 ? 10 : 20, 0.1);
  } while (std::next_permutation(weights.data(), weights.data() + 3));
}

TYPED_TEST(Initialize, estimated_components_are_matched_to_given_precisions) {
  if (TypeParam::shared) GTEST_SKIP() << "one precision for all: nothing to match";
  Matrix x = normals(900, 2, 5);
  for (Index i = 0; i < 900; ++i)
    x.row(i) = (x.row(i) * std::pow(10.0, i % 3 - 2)).array() + 20.0 * static_cast<double>(i % 3);
  const Data rows(x);
  Eigen::Vector3d deviations(0.01, 0.1, 1);
  do {
    Start start;
    start.precisions = Matrix::Zero(3, TypeParam::entries(2));
    for (Index c = 0; c < 3; ++c)
      TypeParam::add_diagonal(start.precisions->row(c).data(), 2, 1 / (deviations(c) * deviations(c)));
    const auto s = gaussmix::initialize<TypeParam>(rows, 3, Initialization::kmeans, start, 1, 0, 1, {});
    for (Index c = 0; c < 3; ++c)
      EXPECT_NEAR(s.means(c, 0), deviations(c) == 0.01 ? 0 : deviations(c) == 0.1 ? 20 : 40, 1);
  } while (std::next_permutation(deviations.data(), deviations.data() + 3));
}

TYPED_TEST(Initialize, components_share_rows_where_too_few_are_distinct) {
  Matrix x(20, 2);
  for (Index i = 0; i < 20; ++i) x.row(i) << static_cast<double>(i % 2), static_cast<double>(i % 2);
  const Data rows(x);
  for (const auto method : methods) {
    const auto s = gaussmix::initialize<TypeParam>(rows, 4, method, {}, 1, 0, 1, {});
    EXPECT_NEAR(s.counts.sum(), 20, 1e-12);
    EXPECT_GT(s.counts.minCoeff(), 0);
    EXPECT_TRUE(s.means.allFinite() && s.covariances.allFinite());
  }
}

}  // namespace
