// Threads: lanes cover the rows, exceptions come out, several fits at once, a fit in a forked process.
#include "gaussmix/parallel.hpp"

#include <atomic>
#include <chrono>
#include <thread>

#include "gaussmix/instances.hpp"
#include "problems.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

using namespace problems;
using gaussmix::Data;
using gaussmix::Full;
using gaussmix::Lanes;
using gaussmix::parallel_for;

TEST(ParallelFor, runs_every_task_once) {
  for (const int n_threads : {0, 1, 2, 8})
    for (const Index n_tasks : {0, 1, 5, 100}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(n_tasks));
      parallel_for(n_tasks, n_threads, [&](Index i) { ++runs[static_cast<std::size_t>(i)]; });
      for (const auto& count : runs) EXPECT_EQ(count, 1);
    }
}

TEST(WorthThreads, each_has_enough_to_do) {
  double enough = 5 * GAUSSMIX_THREAD_FLOPS;
  for (const int n_threads : {-1, 0, 1}) EXPECT_EQ(gaussmix::worth_threads(1e9 * enough, n_threads), 1);
  EXPECT_EQ(gaussmix::worth_threads(0.0, 8), 1);
  EXPECT_EQ(gaussmix::worth_threads(1.9 * enough, 8), 1);
  EXPECT_EQ(gaussmix::worth_threads(3.5 * enough, 8), 3);
  EXPECT_EQ(gaussmix::worth_threads(1e9 * enough, 8), 8);
#ifdef _OPENMP
  enough = GAUSSMIX_THREAD_FLOPS;
#endif
  gaussmix::with_team(2, [&] {
    EXPECT_EQ(gaussmix::worth_threads(1.9 * enough, 8), 1);
    EXPECT_EQ(gaussmix::worth_threads(3.5 * enough, 8), 3);
  });
}

TEST(ParallelFor, an_exception_comes_out_after_all_tasks_ended) {
  for (const int n_threads : {1, 4}) {
    std::atomic<int> running{0};
    try {
      parallel_for(50, n_threads, [&](Index i) {
        ++running;
        if (i % 10 == 3) {
          --running;
          throw std::runtime_error("task");
        }
        --running;
      });
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "task");
    }
    EXPECT_EQ(running, 0);
  }
}

/// Whether two tasks are in work at the same time.
bool run_side_by_side() {
  std::atomic<int> inside{0}, most{0};
  parallel_for(2, 2, [&](Index) {
    ++inside;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (most < 2 && std::chrono::steady_clock::now() < end) {
      if (inside == 2) most = 2;
      std::this_thread::yield();
    }
  });
  return most == 2;
}

TEST(ParallelFor, uses_more_than_one_thread_where_asked) {
#ifndef _OPENMP
  GTEST_SKIP() << "built without OpenMP";
#endif
  EXPECT_TRUE(run_side_by_side());
}

/// Whether so many threads run side by side; without OpenMP none do.
constexpr bool has_team([[maybe_unused]] int n_threads) {
#ifdef _OPENMP
  return n_threads > 1;
#else
  return false;
#endif
}

TEST(ParallelFor, of_several_exceptions_the_first_task_s_comes_out) {
  for (const int n_threads : {1, 4}) {
    std::atomic<bool> later_has_thrown{!has_team(n_threads)};
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    try {
      parallel_for(8, n_threads, [&](Index i) {
        if (i == 5) {
          later_has_thrown = true;
          throw std::runtime_error("5");
        }
        while (i == 2 && !later_has_thrown && std::chrono::steady_clock::now() < end) std::this_thread::yield();
        if (i == 2) throw std::runtime_error("2");
      });
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "2");
    }
  }
}

TEST(WithTeam, every_task_of_every_loop_runs_once) {
  for (const int n_threads : {0, 1, 2, 8}) {
    std::vector<std::atomic<int>> runs(100);
    gaussmix::with_team(n_threads, [&] {
      for (int loop = 0; loop < 20; ++loop)
        parallel_for(100, n_threads, [&](Index i) {
          const auto here = std::this_thread::get_id();
          parallel_for(3, n_threads, [&](Index j) {
            runs[static_cast<std::size_t>(i)] += j == 1 && std::this_thread::get_id() == here;
          });
        });
    });
    for (const auto& count : runs) EXPECT_EQ(count, 20);
    EXPECT_EQ(gaussmix::detail::led_team, nullptr);
  }
}

TEST(WithTeam, tasks_run_side_by_side) {
#ifndef _OPENMP
  GTEST_SKIP() << "built without OpenMP";
#endif
  gaussmix::with_team(2, [] { EXPECT_TRUE(run_side_by_side()); });
}

TEST(WithTeam, an_exception_of_a_task_or_of_the_body_comes_out) {
  for (const int n_threads : {1, 4}) {
    EXPECT_THROW(gaussmix::with_team(n_threads, [&] { throw std::runtime_error("body"); }), std::runtime_error);
    EXPECT_EQ(gaussmix::detail::led_team, nullptr);
    std::atomic<int> ended{0};
    bool caught = false;
    gaussmix::with_team(n_threads, [&] {
      try {
        parallel_for(50, n_threads, [&](Index i) {
          ++ended;
          if (i == 3) throw std::runtime_error("task");
        });
      } catch (const std::runtime_error&) {
        caught = true;
        EXPECT_EQ(ended, has_team(n_threads) ? 50 : 4);
      }
      parallel_for(5, n_threads, [&](Index) { ++ended; });
    });
    EXPECT_TRUE(caught);
    EXPECT_EQ(ended, has_team(n_threads) ? 55 : 9);
  }
}

TEST(LanesOfRows, every_row_once_and_in_order) {
  for (const Index rows : {1, 31, 32, 33, 1000, 5000})
    for (const Index block : {32, 256})
      for (const Index most : {1, 2, 7, 64}) {
        const Lanes lanes(rows, block, most);
        EXPECT_LE(lanes.count, most);
        Index next = 0;
        for (Index lane = 0; lane < lanes.count; ++lane)
          lanes.for_blocks(lane, [&](Index first, Index n) {
            ASSERT_EQ(first, next);
            ASSERT_GE(n, 1);
            ASSERT_LE(n, block);
            next = first + n;
          });
        ASSERT_EQ(next, rows);
      }
}

gaussmix::FitResult<Full> fit(const Matrix& x, int n_threads) {
  gaussmix::FitOptions options;
  options.n_threads = n_threads;
  options.max_iter = 10;
  options.tol = 0;
  return gaussmix::fit<Full>(Data(x), 3, options);
}

TEST(Threads, several_fits_at_once) {
  const Matrix x = clusters(3000, 3, 1);
  const auto expected = fit(x, 1);
  std::vector<gaussmix::FitResult<Full>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results) threads.emplace_back([&] { result = fit(x, 2); });
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_TRUE(same_bits(result.mixture, expected.mixture));
}

#if defined(__unix__) || defined(__APPLE__)
TEST(Threads, a_fit_in_a_forked_process_after_a_parallel_one) {
  const Matrix x = clusters(3000, 3, 2);
  const auto expected = fit(x, 2);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int code = 1;
    try {
      code = gaussmix::default_threads() != 1 ? 2 : same_bits(fit(x, 2).mixture, expected.mixture) ? 0 : 3;
    } catch (...) {
    }
    _exit(code);
  }
  int status = 0;
  pid_t ended = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while ((ended = waitpid(child, &status, WNOHANG)) == 0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  if (ended == 0) {
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    FAIL() << "the forked process hangs";
  }
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}
#endif

}  // namespace
