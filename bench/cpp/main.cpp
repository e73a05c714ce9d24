// Runs the benchmarks, and tells beside them what they are compared with.
#include <benchmark/benchmark.h>

#include <string>

#include "gaussmix/parallel.hpp"
#include "gaussmix/version.hpp"
#include "machine.hpp"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("processor", bench::processor());
#ifdef __VERSION__
  benchmark::AddCustomContext("compiler", __VERSION__);
#endif
  benchmark::AddCustomContext("libraries", bench::peer_versions());
  benchmark::AddCustomContext("gaussmix", std::to_string(gaussmix::version));
  benchmark::AddCustomContext("eigen_simd", Eigen::SimdInstructionSetsInUse());
  benchmark::AddCustomContext("threads", std::to_string(gaussmix::default_threads()));
  benchmark::AddCustomContext("dgemm_gflops", std::to_string(bench::dgemm_gflops()));
  benchmark::AddCustomContext("dgemm_library", bench::dgemm_library());
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
