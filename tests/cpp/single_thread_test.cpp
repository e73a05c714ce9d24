// n_threads = 1 starts no thread, in any step, at sizes at which Eigen would. Linux only: it counts /proc/self/task.
#include <gtest/gtest.h>

#include <filesystem>
#include <iterator>
#include <thread>

#include "gaussmix/gaussmix.hpp"
#include "gaussmix/instances.hpp"

namespace {

using gaussmix::Data;
using gaussmix::Full;
using gaussmix::Index;
using gaussmix::Matrix;
using gaussmix::Vector;

std::ptrdiff_t threads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator());
}

/// Fails where a step leaves more threads than there were. OpenMP's stay alive once started.
struct SingleThread : testing::Test {
  static constexpr Index n = 1500, d = 40;
  Matrix x = Matrix::Random(n, d);
  std::ptrdiff_t before = 0;

  void SetUp() override {
#ifndef __linux__
    GTEST_SKIP() << "needs /proc/self/task";
#endif
#ifdef _OPENMP
    omp_set_num_threads(4);  // what Eigen would take, whatever the machine has
#endif
    before = threads();
  }
  void TearDown() override {
    if (!IsSkipped()) {
      EXPECT_EQ(threads(), before);
    }
  }
  static gaussmix::Mixture<Full> mixture() {
    Matrix identity = Matrix::Identity(d, d);
    return gaussmix::from_covariances<Full>(Vector::Ones(2), Matrix::Random(2, d),
                                            Eigen::Map<Matrix>(identity.data(), 1, d * d).replicate(2, 1));
  }
};

TEST_F(SingleThread, fit_of_each_type) {
  gaussmix::FitOptions options;
  options.max_iter = 2;
  for (const char* name : {"full", "tied", "diag", "spherical"})
    gaussmix::with_covariance(name, [&](auto c) { gaussmix::fit<decltype(c)>(Data(x), 2, options); });
}

TEST_F(SingleThread, predict) {
  const gaussmix::LogProb<Full> log_prob(mixture());
  gaussmix::score(log_prob, x);
  Vector l(n);
  gaussmix::log_densities(log_prob, x, l.data());
}

TEST_F(SingleThread, sample) { gaussmix::sample(mixture(), n, 1); }

TEST_F(SingleThread, from_precisions) {
  const auto m = mixture();
  gaussmix::from_precisions<Full>(m.weights, m.means, m.covariances);
}

TEST_F(SingleThread, the_count_sees_a_thread) {
  std::thread thread([&] { EXPECT_EQ(threads(), before + 1); });
  thread.join();
}

}  // namespace
