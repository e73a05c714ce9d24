// The version of the library, and GAUSSMIX_ABI, the inline namespace that all of it lives in:
//
//   gaussmix::fit  is  gaussmix::v0_1_0_avx2_fma_openmp::fit
//
// A program may hold translation units with different versions of a header-only library, or compiled for different
// instruction sets: a plugin, a dependency's dependency. Functions of one name and two bodies would then be merged by the
// linker, and a program end in an instruction that its processor lacks. With what they depend on in their names they stay
// apart, and a mixture handed from one to the other fails to link. (What Eigen itself emits has no such names: see the guide.)
#pragma once

#include <Eigen/Core>

#define GAUSSMIX_VERSION_MAJOR 0
#define GAUSSMIX_VERSION_MINOR 1
#define GAUSSMIX_VERSION_PATCH 0

// What Eigen vectorises with: it sets the size of a packet, and with it the layout of panels.
#if defined(EIGEN_VECTORIZE_AVX512)
#define GAUSSMIX_ABI_SIMD _avx512
#elif defined(EIGEN_VECTORIZE_AVX2)
#define GAUSSMIX_ABI_SIMD _avx2
#elif defined(EIGEN_VECTORIZE_AVX)
#define GAUSSMIX_ABI_SIMD _avx
#elif defined(EIGEN_VECTORIZE_SSE4_2)
#define GAUSSMIX_ABI_SIMD _sse4_2
#elif defined(EIGEN_VECTORIZE_SSE2)
#define GAUSSMIX_ABI_SIMD _sse2
#elif defined(EIGEN_VECTORIZE)
#define GAUSSMIX_ABI_SIMD _simd
#else
#define GAUSSMIX_ABI_SIMD _scalar
#endif
#ifdef EIGEN_VECTORIZE_FMA
#define GAUSSMIX_ABI_FMA _fma
#else
#define GAUSSMIX_ABI_FMA
#endif
#ifdef _OPENMP
#define GAUSSMIX_ABI_THREADS _openmp
#else
#define GAUSSMIX_ABI_THREADS _serial
#endif

#define GAUSSMIX_ABI_JOIN(major, minor, patch, simd, fma, threads) v##major##_##minor##_##patch##simd##fma##threads
#define GAUSSMIX_ABI_EXPAND(major, minor, patch, simd, fma, threads) \
  GAUSSMIX_ABI_JOIN(major, minor, patch, simd, fma, threads)
#define GAUSSMIX_ABI                                                                                             \
  GAUSSMIX_ABI_EXPAND(GAUSSMIX_VERSION_MAJOR, GAUSSMIX_VERSION_MINOR, GAUSSMIX_VERSION_PATCH, GAUSSMIX_ABI_SIMD, \
                      GAUSSMIX_ABI_FMA, GAUSSMIX_ABI_THREADS)

/// Gaussian mixture models.
namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// The version of the headers, as numbers that can be compared: 10203 is 1.2.3.
inline constexpr int version = GAUSSMIX_VERSION_MAJOR * 10000 + GAUSSMIX_VERSION_MINOR * 100 + GAUSSMIX_VERSION_PATCH;

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
