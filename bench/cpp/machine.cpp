#include "machine.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <limits>

#ifdef GAUSSMIX_BENCH_CBLAS
#include <cblas.h>
#endif
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace bench {
namespace {
std::atomic<std::ptrdiff_t> allocated{0}, highest{0};
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(": ") + 2);
  return "unknown processor";
}

double dgemm_gflops() {
  static const double measured = [] {
    constexpr int n = 1024, repeats = 20;
    const Eigen::MatrixXd a = Eigen::MatrixXd::Random(n, n), b = Eigen::MatrixXd::Random(n, n);
    Eigen::MatrixXd c = Eigen::MatrixXd::Zero(n, n);
    double fastest = std::numeric_limits<double>::infinity();
    for (int i = 0; i < repeats; ++i) {
      const auto start = std::chrono::steady_clock::now();
#ifdef GAUSSMIX_BENCH_CBLAS
      cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1.0, a.data(), n, b.data(), n, 0.0, c.data(), n);
#else
      c.noalias() = a * b;
#endif
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
      fastest = std::min(fastest, time.count());
    }
    return 2.0 * n * n * n / fastest * 1e-9;
  }();
  return measured;
}

const char* dgemm_library() {
#ifdef GAUSSMIX_BENCH_CBLAS
  return "CBLAS";
#else
  return "Eigen";
#endif
}

PeakMemory::PeakMemory() : before_(allocated) { highest = before_; }
double PeakMemory::bytes() const { return static_cast<double>(highest - before_); }

}  // namespace bench

#ifdef __GLIBC__
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);

static void* taken(void* place) {
  const auto now = bench::allocated += static_cast<std::ptrdiff_t>(malloc_usable_size(place));
  auto most = bench::highest.load();
  while (now > most && !bench::highest.compare_exchange_weak(most, now)) {
  }
  return place;
}

void* malloc(std::size_t size) { return taken(__libc_malloc(size)); }
void* calloc(std::size_t count, std::size_t size) { return taken(__libc_calloc(count, size)); }
void* realloc(void* place, std::size_t size) {
  const auto before = static_cast<std::ptrdiff_t>(malloc_usable_size(place));
  void* moved = __libc_realloc(place, size);
  if (moved || size == 0) bench::allocated -= before;
  return taken(moved);
}
void* memalign(std::size_t alignment, std::size_t size) { return taken(__libc_memalign(alignment, size)); }
void* aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }
int posix_memalign(void** place, std::size_t alignment, std::size_t size) {
  void* found = memalign(alignment, size);
  if (!found) return ENOMEM;
  *place = found;
  return 0;
}
void free(void* place) {
  bench::allocated -= static_cast<std::ptrdiff_t>(malloc_usable_size(place));
  __libc_free(place);
}
}
#endif
