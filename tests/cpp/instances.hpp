// Declares the heavy templates as instantiated elsewhere (instances.cpp), so that the suites compile them once.
#pragma once

#include "gaussmix/fit.hpp"

static_assert(std::tuple_size_v<gaussmix::Covariances> == 4, "a new covariance type belongs in this list too");

#define GAUSSMIX_INSTANCES(KEYWORD, C)                                                                          \
  KEYWORD template class LogProb<C>;                                                                            \
  KEYWORD template Statistics<C> accumulate<C>(const Mixture<C>&, const Data&, int, bool);                      \
  KEYWORD template Mixture<C> maximize<C>(const Statistics<C>&, double, Repairs*, int);                         \
  KEYWORD template Statistics<C> initialize<C>(const Data&, Index, Initialization, const Start&, std::uint64_t, \
                                               std::uint32_t, int, const Interrupt&);                           \
  KEYWORD template FitResult<C> fit<C>(const Data&, Index, const FitOptions&, const Mixture<C>*, double);

#ifndef GAUSSMIX_INSTANTIATE
namespace gaussmix {
extern template class Panels<double>;
extern template class Panels<float>;
GAUSSMIX_INSTANCES(extern, Full)
GAUSSMIX_INSTANCES(extern, Tied)
GAUSSMIX_INSTANCES(extern, Diagonal)
GAUSSMIX_INSTANCES(extern, Spherical)
}  // namespace gaussmix
#endif
