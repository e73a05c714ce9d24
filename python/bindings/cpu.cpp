// Which instruction sets this processor has. Compiled without any of them, so that it runs everywhere.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#if defined(_MSC_VER) && !defined(__clang__) && (defined(_M_X64) || defined(_M_IX86))
#include <windows.h>
#endif

namespace {

std::vector<std::string> supported() {
  std::vector<std::string> sets{"baseline"};
#if (defined(__GNUC__) || defined(__clang__)) && (defined(__x86_64__) || defined(__i386__))
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets.emplace_back("avx2");
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && sets.size() == 2)
    sets.emplace_back("avx512");
#elif defined(_MSC_VER) && (defined(_M_X64) || defined(_M_IX86))
  constexpr DWORD avx2 = 40, avx512f = 41;  // PF_AVX2_INSTRUCTIONS_AVAILABLE, PF_AVX512F_INSTRUCTIONS_AVAILABLE
  if (IsProcessorFeaturePresent(avx2)) sets.emplace_back("avx2");
  if (IsProcessorFeaturePresent(avx512f) && sets.size() == 2) sets.emplace_back("avx512");
#endif
  return sets;
}

}  // namespace

PYBIND11_MODULE(_cpu, m) {
  m.doc() = "Detection of the processor's instruction sets.";
  m.def("supported", &supported, "Names of the instruction sets that this processor has, the widest last.");
}
