// Two tasks write to one number, which ThreadSanitizer must tell of: this program has to fail, or the suite of threads shows
// nothing.
#include <chrono>
#include <cstdio>
#include <thread>

#include "gaussmix/parallel.hpp"

int main() {
  long sum = 0;
  gaussmix::parallel_for(4, 2, [&](gaussmix::Index i) {
    // So long that one thread cannot do all tasks before another has begun.
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    sum += i;
  });
  std::printf("%ld\n", sum);
}
