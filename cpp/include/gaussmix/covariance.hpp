// The covariance types, listed once. Each is a struct without state, and the only code that knows the type: how a
// covariance is stored, factored, scaled, merged, drawn from, and which features its log-density is linear in. All
// else takes the struct as a template parameter. A new type is a header like these and one word in this list.
#pragma once

#include <tuple>

#include "gaussmix/covariance/diagonal.hpp"
#include "gaussmix/covariance/full.hpp"
#include "gaussmix/covariance/spherical.hpp"
#include "gaussmix/covariance/tied.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// All types of covariance; each has the members of `Full`.
using Covariances = std::tuple<Full, Tied, Diagonal, Spherical>;

/// Matrices that a mixture of k components stores: one, or one each.
template <class Covariance>
Index n_matrices(Index k) {
  return Covariance::shared ? 1 : k;
}

/// Calls body(c) for the components of matrix m, of k in all.
template <class Covariance, class Body>
void for_components(Index m, Index k, const Body& body) {
  for (Index c = m; c < (Covariance::shared ? k : m + 1); ++c) body(c);
}

/// The row of the matrix of component k.
template <class Covariance>
Index matrix_of(Index k) {
  return Covariance::shared ? 0 : k;
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
