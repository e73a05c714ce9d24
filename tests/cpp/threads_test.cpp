// Everything from several threads at once, each with a team of its own, over data and models that they share: the
// bits of one thread. Under ThreadSanitizer (preset `threads`) it shows that nothing races.
#include <functional>
#include <thread>

#include "gaussmix/instances.hpp"
#include "gaussmix/kmeans.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Data;
using gaussmix::Initialization;
using gaussmix::LogProb;

constexpr int callers = 3, team = 4;

/// Calls body(caller) on several threads at the same time.
void at_once(const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (int caller = 0; caller < callers; ++caller) threads.emplace_back(body, caller);
  for (auto& thread : threads) thread.join();
}

template <class Covariance>
struct AtOnce : testing::Test {
  // Components and features enough for the screened kernel, and a block of its rows for each thread of a team.
  static constexpr Index n = 1200, d = 7, k = 8;
  gaussmix::Mixture<Covariance> mixture = random_mixture<Covariance>(k, d, 1, 6);
  Matrix x = rows_near(mixture, n, 2);
  Eigen::MatrixXf single = x.cast<float>();
};
TYPED_TEST_SUITE(AtOnce, AllTypes, TypeNames);

TYPED_TEST(AtOnce, fits) {
  for (const auto method : {Initialization::kmeans, Initialization::kmeans_plus_plus, Initialization::random,
                            Initialization::random_from_data}) {
    const auto fit = [&](int n_threads, const Data& data) {
      gaussmix::FitOptions options;
      options.initialization = method;
      options.max_iter = 3;
      options.n_threads = n_threads;
      options.callback = [](const gaussmix::Progress&) { return false; };
      return gaussmix::fit<TypeParam>(data, this->k, options).mixture;
    };
    const auto expected = fit(1, this->x);
    std::vector<gaussmix::Mixture<TypeParam>> found(callers);
    at_once([&](int caller) { found[static_cast<std::size_t>(caller)] = fit(team, this->x); });
    for (const auto& mixture : found) EXPECT_TRUE(same_bits(mixture, expected));
  }
}

TEST(StartsAtOnce, of_a_part_of_the_rows) {
  const Matrix x = clusters(4000, 2, 7);
  const auto fit = [&](int n_threads) {
    gaussmix::FitOptions options;
    options.max_iter = 2;
    options.n_threads = n_threads;
    return gaussmix::fit<gaussmix::Diagonal>(Data(x), 3, options).mixture;
  };
  const auto expected = fit(1);
  at_once([&](int) { EXPECT_TRUE(same_bits(fit(team), expected)); });
}

TYPED_TEST(AtOnce, passes_over_doubles_and_floats) {
  for (const Data& data : {Data(this->x), Data(this->single)}) {
    const auto expected = gaussmix::accumulate(this->mixture, data, 1);
    std::vector<gaussmix::Statistics<TypeParam>> found(callers);
    at_once(
        [&](int caller) { found[static_cast<std::size_t>(caller)] = gaussmix::accumulate(this->mixture, data, team); });
    for (const auto& statistics : found) {
      EXPECT_TRUE(statistics.counts == expected.counts && statistics.means == expected.means &&
                  statistics.covariances == expected.covariances);
      EXPECT_EQ(statistics.log_likelihood, expected.log_likelihood);
    }
  }
}

TYPED_TEST(AtOnce, predictions_of_a_shared_model) {
  const LogProb<TypeParam> log_prob(this->mixture);
  const Data data(this->x);
  Vector expected(this->n);
  gaussmix::log_densities(log_prob, data, expected.data());
  const double mean = gaussmix::score(log_prob, data);
  const auto worst = gaussmix::worst_rows(log_prob, data, 10, 1);
  at_once([&](int) {
    Vector l(this->n);
    Matrix r(this->n, this->k);
    std::vector<std::int64_t> labels(static_cast<std::size_t>(this->n));
    gaussmix::log_densities(log_prob, data, l.data(), team);
    gaussmix::responsibilities(log_prob, data, r.data(), team);
    gaussmix::labels<double>(log_prob, data, labels.data(), team);
    EXPECT_TRUE(l == expected);
    for (Index i = 0; i < this->n; ++i) {
      Index likeliest = 0;
      r.row(i).maxCoeff(&likeliest);
      EXPECT_EQ(labels[static_cast<std::size_t>(i)], likeliest);
    }
    EXPECT_EQ(gaussmix::score(log_prob, data, team), mean);
    EXPECT_EQ(gaussmix::worst_rows(log_prob, data, 10, team), worst);
  });
}

TYPED_TEST(AtOnce, samples) {
  const auto expected = gaussmix::sample(this->mixture, 5000, 3);
  at_once([&](int) {
    const auto found = gaussmix::sample(this->mixture, 5000, 3, team);
    EXPECT_TRUE(found.x == expected.x && found.labels == expected.labels);
  });
}

TEST(KMeansAtOnce, partitions) {
  const Matrix x = clusters(3000, 4, 5);
  const Data data(x);
  const auto run = [&](int n_threads) {
    gaussmix::KMeans kmeans(data, 6, n_threads, {});
    kmeans.run(kmeans.rows(kmeans.seed(gaussmix::Random(1, gaussmix::Purpose::seeding, 0))));
    return kmeans.partition();
  };
  const auto expected = run(1);
  at_once([&](int) {
    const auto found = run(team);
    EXPECT_TRUE(found.centres == expected.centres && found.labels == expected.labels);
  });
}

TEST(ExceptionsAtOnce, each_caller_gets_its_own) {
  at_once([&](int caller) {
    for (int round = 0; round < 50; ++round) {
      try {
        gaussmix::parallel_for(20, team, [&](Index i) {
          if (i == 7) throw std::runtime_error(std::to_string(caller));
        });
        ADD_FAILURE() << "nothing was thrown";
      } catch (const std::runtime_error& error) {
        EXPECT_EQ(error.what(), std::to_string(caller));
      }
    }
  });
}

}  // namespace
