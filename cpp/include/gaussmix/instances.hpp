// Declares the heavy templates as instantiated elsewhere: in the target gaussmix::compiled, whose users have this header
// with gaussmix.hpp. A call of any of them is then compiled as a call and no more. Everything works without it.
//
// instances.cpp instantiates what is listed here, for every covariance type. A program that is compiled for another
// instruction set, or without OpenMP where the library has it, does not link (version.hpp).
#pragma once

#include "gaussmix/fit.hpp"
#include "gaussmix/predict.hpp"
#include "gaussmix/sample.hpp"

static_assert(std::tuple_size_v<gaussmix::Covariances> == 4, "a new covariance type belongs in the lists below too");

#define GAUSSMIX_INSTANCES_OF(KEYWORD, C)                                                                          \
  KEYWORD template class LogProb<C>;                                                                               \
  KEYWORD template class Screen<C>;                                                                                \
  KEYWORD template Statistics<C> accumulate<C>(const LogProb<C>&, const Data&, int, const TotalScatter*,           \
                                               const Matrix*);                                                     \
  KEYWORD template Statistics<C> accumulate<C>(const Mixture<C>&, const Data&, int, Products, const TotalScatter*, \
                                               const Matrix*);                                                     \
  KEYWORD template Mixture<C> maximize<C>(const Statistics<C>&, double, Repairs*, int);                            \
  KEYWORD template Statistics<C> initialize<C>(const Data&, Index, Initialization, const Start&, std::uint64_t,    \
                                               std::uint32_t, int, const Interrupt&, const Spread*);               \
  KEYWORD template FitResult<C> fit<C>(const Data&, Index, const FitOptions&, const Mixture<C>*, double);          \
  KEYWORD template void log_densities<C, double>(const LogProb<C>&, const Data&, double*, int);                    \
  KEYWORD template void responsibilities<C, double>(const LogProb<C>&, const Data&, double*, int);                 \
  KEYWORD template void labels<double, C>(const LogProb<C>&, const Data&, std::int64_t*, int);                     \
  KEYWORD template double score<C>(const LogProb<C>&, const Data&, int);                                           \
  KEYWORD template void sample<C>(const Mixture<C>&, Index, std::uint64_t, double*, std::int64_t*, int);           \
  KEYWORD template Sample sample<C>(const Mixture<C>&, Index, std::uint64_t, int);

#define GAUSSMIX_INSTANCES(KEYWORD)        \
  KEYWORD template class Panels<double>;   \
  KEYWORD template class Panels<float>;    \
  GAUSSMIX_INSTANCES_OF(KEYWORD, Full)     \
  GAUSSMIX_INSTANCES_OF(KEYWORD, Tied)     \
  GAUSSMIX_INSTANCES_OF(KEYWORD, Diagonal) \
  GAUSSMIX_INSTANCES_OF(KEYWORD, Spherical)

#ifndef GAUSSMIX_INSTANTIATE
namespace gaussmix {
inline namespace GAUSSMIX_ABI {
GAUSSMIX_INSTANCES(extern)
}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
#endif
