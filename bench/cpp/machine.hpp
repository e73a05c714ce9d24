// What the machine can do, measured in the run that it is compared with, and what a piece of work takes of its memory.
#pragma once

#include <cstddef>
#include <string>

namespace bench {

/// The model of the processor, where Linux tells it.
std::string processor();

/// The libraries that the program was compiled with, and their versions.
std::string peer_versions();

/// GFLOP/s of a product of two 1024 x 1024 matrices of doubles on all threads, measured at the first call.
double dgemm_gflops();

/// Who made that product: "CBLAS" or "Eigen".
const char* dgemm_library();

/// The most bytes that were allocated at one time since it was made, above those that were then. It needs glibc, whose
/// `malloc` it stands in for; elsewhere it is 0.
class PeakMemory {
 public:
  PeakMemory();
  double bytes() const;

 private:
  std::ptrdiff_t before_;
};

}  // namespace bench
