// Threads over fixed tasks. Which rows a task holds depends on the sizes alone, never on the number of threads, and
// results are merged in the order of the tasks: the same bits at any thread count.
//
// OpenMP when the compiler has it, else one thread. A process that was forked from one that had loaded the library
// runs on one thread: GNU's runtime would wait for a team that the fork did not copy.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "gaussmix/types.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

namespace detail {
#if defined(__unix__) || defined(__APPLE__)
inline const auto loading_process = getpid();
inline bool forked() { return getpid() != loading_process; }
#else
inline bool forked() { return false; }
#endif
}  // namespace detail

/// Threads that OpenMP would use here: OMP_NUM_THREADS, or what `omp_set_num_threads` said; 1 without OpenMP.
inline int default_threads() {
#ifdef _OPENMP
  return detail::forked() ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

namespace detail {

/// The threads of one parallel region: one leads, and the others help with its loops when they get time.
class Team {
 public:
  /// Calls work() here and on at most `helpers` others, of those that come before it is done here.
  void share(int helpers, const std::function<void()>& work) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      work_ = &work;
      places_ = helpers;
    }
    for (int i = 0; i < helpers; ++i) called_.notify_one();  // a large team may have many more
    work();
    std::unique_lock<std::mutex> lock(mutex_);
    places_ = 0;
    wait(lock, left_, [this] { return busy_ == 0; });
  }

  /// What a thread that does not lead does until the end.
  void help() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!ended_) {
      if (places_ > 0) {
        --places_;
        ++busy_;
        lock.unlock();
        (*work_)();
        lock.lock();
        if (--busy_ == 0) left_.notify_one();
      }
      wait(lock, called_, [this] { return places_ > 0 || ended_; });
    }
  }

  void end() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ended_ = true;
    }
    called_.notify_all();
  }

 private:
  /// Waits for something that is often near: to be woken takes longer than some yields.
  template <class Condition>
  void wait(std::unique_lock<std::mutex>& lock, std::condition_variable& told, const Condition& condition) {
    using Clock = std::chrono::steady_clock;
    lock.unlock();
    for (const auto end = Clock::now() + std::chrono::microseconds(100); !condition() && Clock::now() < end;)
      std::this_thread::yield();
    lock.lock();
    told.wait(lock, condition);
  }

  std::mutex mutex_;
  std::condition_variable called_, left_;
  const std::function<void()>* work_ = nullptr;
  std::atomic<int> places_{0}, busy_{0};  // these are changed under the lock
  std::atomic<bool> ended_{false};
};

/// The team that this thread leads.
inline thread_local Team* led_team = nullptr;

/// Whether this thread is in a task: what that calls runs on this thread alone.
inline thread_local bool in_task = false;

/// Sets something for as long as it lives.
template <class T>
class Scoped {
 public:
  Scoped(T& variable, T value) : variable_(variable), before_(std::exchange(variable, value)) {}
  ~Scoped() { variable_ = before_; }
  Scoped(const Scoped&) = delete;
  Scoped& operator=(const Scoped&) = delete;

 private:
  T &variable_, before_;
};

}  // namespace detail

/// Calls body() with a team of `n_threads` at hand, which helps with each `parallel_for` of the body. A thread that gets no
/// time, since others wait for something on its core and burn it (as those of a BLAS do, long after a product), is waited for
/// once, at the end: loops with teams of their own would each. Throws what the body throws.
template <class Body>
void with_team([[maybe_unused]] int n_threads, const Body& body) {
#ifdef _OPENMP
  if (n_threads > 1 && !detail::led_team && !detail::in_task && !detail::forked()) {
    detail::Team team;
    std::exception_ptr failure;
#pragma omp parallel num_threads(n_threads)
    if (omp_get_thread_num() == 0) {
      try {
        const detail::Scoped<detail::Team*> lead(detail::led_team, &team);
        body();
      } catch (...) {
        failure = std::current_exception();
      }
      team.end();
    } else {
      team.help();
    }
    if (failure) std::rethrow_exception(failure);
    return;
  }
#endif
  body();
}

/// Calls task(i) for i = 0 ... n_tasks - 1 on at most `n_threads` threads. If some throw, what the first of them in this order
/// threw is thrown here: on one thread at once, else after all have ended. One thread or one task never starts a team, nor does
/// a task.
template <class Task>
void parallel_for(Index n_tasks, int n_threads, const Task& task) {
  [[maybe_unused]] const int team = static_cast<int>(std::min<Index>(n_tasks, n_threads));
#ifdef _OPENMP
  if (team > 1 && !detail::in_task && !detail::forked()) {
    std::exception_ptr failure;
    Index failed = n_tasks;
    std::mutex one_at_a_time;  // a critical section would be shared by all callers of the process
    std::atomic<Index> next{0};
    const auto work = [&] {
      const detail::Scoped<bool> busy(detail::in_task, true);
      for (Index i = next++; i < n_tasks; i = next++) {
        try {
          task(i);
        } catch (...) {
          const std::lock_guard<std::mutex> lock(one_at_a_time);
          if (i < failed) failure = std::current_exception(), failed = i;
        }
      }
    };
    if (detail::led_team) {
      detail::led_team->share(team - 1, std::cref(work));
    } else {
#pragma omp parallel num_threads(team)
      work();
    }
    if (failure) std::rethrow_exception(failure);
    return;
  }
#endif
  for (Index i = 0; i < n_tasks; ++i) task(i);
}

/// Numbers from which on a model's matrices are worth threads. Tests set it to 1, as below.
#ifndef GAUSSMIX_THREAD_NUMBERS
#define GAUSSMIX_THREAD_NUMBERS 16384
#endif

/// Threads for work on each of a model's matrices: one where all of them are small.
inline int worth_threads(const Matrix& matrices, int n_threads) {
  return matrices.size() < GAUSSMIX_THREAD_NUMBERS ? 1 : n_threads;
}

/// What a thread of a team is to have of a pass, in flops: some 100 us of them. To wake one takes a tenth of that. Tests set
/// it to 1, so that small data have teams too.
#ifndef GAUSSMIX_THREAD_FLOPS
#define GAUSSMIX_THREAD_FLOPS 4e6
#endif

/// Threads for a pass of so many flops, at most `n_threads`, at least one. One that starts a team of its own waits at its end
/// for all of it, some milliseconds where cores are busy: it must be longer.
inline int worth_threads(double flops, int n_threads) {
  const double share = detail::led_team ? GAUSSMIX_THREAD_FLOPS : 5.0 * GAUSSMIX_THREAD_FLOPS;
  return static_cast<int>(std::clamp(flops / share, 1.0, std::max(1.0, static_cast<double>(n_threads))));
}

/// Calls body(first_row, n_rows) for blocks of rows first ... first + rows - 1, in order.
template <class Body>
void for_blocks(Index first, Index rows, Index block, const Body& body) {
  for (Index i = first; i < first + rows; i += block) body(i, std::min(block, first + rows - i));
}

/// Rows of each of about so many blocks of n rows, in steps that fill panels of doubles with every instruction set.
inline Index rows_of_blocks(Index n, Index blocks, Index step = 24) {
  return ((n + blocks - 1) / blocks + step - 1) / step * step;
}

/// Rows of each block where n rows are cut into as few blocks as hold at most `most`: all about as long, so that no thread
/// waits for another's last one. They fill panels of floats too.
inline Index even_rows(Index n, Index most) {
  return std::min(most, rows_of_blocks(n, std::max<Index>(1, (n + most - 1) / most), 48));
}

/// n rows cut into lanes of whole blocks. A lane is what one thread runs from end to end with accumulators of its
/// own; there are at most `max_lanes`.
struct Lanes {
  Index rows, block, blocks, count;

  Lanes(Index n_rows, Index block_rows, Index max_lanes)
      : rows(n_rows),
        block(block_rows),
        blocks((n_rows + block_rows - 1) / block_rows),
        count(std::max<Index>(1, std::min(blocks, max_lanes))) {}

  Index first(Index lane) const { return std::min(rows, blocks * lane / count * block); }

  Index lane_of(Index row) const {
    Index lane = 0;
    while (lane + 1 < count && first(lane + 1) <= row) ++lane;
    return lane;
  }

  /// Calls body(first_row, n_rows) for each block of a lane, in order.
  template <class Body>
  void for_blocks(Index lane, const Body& body) const {
    gaussmix::for_blocks(first(lane), first(lane + 1) - first(lane), block, body);
  }
};

/// Lanes for a pass over n rows of d numbers whose accumulators hold `numbers` doubles each: together those of one kernel
/// stay within 20 MB or a quarter of the data, and a lane has the rows that pay for them. A power of two, so that no
/// thread waits for the last lane of others.
inline Index max_lanes(Index n, Index d, Index numbers) {
  const Index budget = std::max<Index>(2'500'000, n * d / 4), rows = std::max<Index>(n / 256, 2);
  const Index most = std::clamp<Index>(budget / std::max<Index>(numbers, 1), 2, rows);
  Index lanes = 2;
  while (2 * lanes <= most && lanes < 64) lanes *= 2;
  return lanes;
}

/// Adds up what lanes made, in order; it is used up.
template <class Part>
Part sum_in_order(std::vector<Part>& parts) {
  for (std::size_t i = 1; i < parts.size(); ++i) parts[0] += parts[i];
  return std::move(parts[0]);
}

/// Calls body(lane) for all lanes, and adds up what it returns, in order.
template <class Body>
auto sum_over_lanes(const Lanes& lanes, int n_threads, const Body& body) {
  std::vector<decltype(body(Index{}))> parts(static_cast<std::size_t>(lanes.count));
  parallel_for(lanes.count, n_threads, [&](Index lane) { parts[static_cast<std::size_t>(lane)] = body(lane); });
  return sum_in_order(parts);
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
