// The one switch between covariance types at run time: a name, or a mixture of a type that only the run knows.
#pragma once

#include <string_view>
#include <tuple>
#include <utility>
#include <variant>

#include "gaussmix/mixture.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

namespace detail {
template <class Tuple>
struct AnyOf;
template <class... Types>
struct AnyOf<std::tuple<Types...>> {
  using type = std::variant<Mixture<Types>...>;
};

template <std::size_t I, class Function>
decltype(auto) with_covariance(std::string_view name, Function&& function) {
  using Covariance = std::tuple_element_t<I, Covariances>;
  if constexpr (I + 1 < std::tuple_size_v<Covariances>) {
    if (name != Covariance::name) return with_covariance<I + 1>(name, std::forward<Function>(function));
  } else {
    require(name == Covariance::name, "covariance_type must be 'full', 'tied', 'diag' or 'spherical'");
  }
  return function(Covariance{});
}
}  // namespace detail

/// A mixture of any covariance type.
using AnyMixture = detail::AnyOf<Covariances>::type;

/// Calls function(Covariance{}) for the covariance type of that name ("full", "tied", "diag", "spherical").
/// All calls must return the same type. \throws std::invalid_argument if there is no such type
template <class Function>
decltype(auto) with_covariance(std::string_view name, Function&& function) {
  return detail::with_covariance<0>(name, std::forward<Function>(function));
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
