// The one place where the suites' heavy templates are instantiated.
#define GAUSSMIX_INSTANTIATE
#include "instances.hpp"

namespace gaussmix {
template class Panels<double>;
template class Panels<float>;
GAUSSMIX_INSTANCES(, Full)
GAUSSMIX_INSTANCES(, Tied)
GAUSSMIX_INSTANCES(, Diagonal)
GAUSSMIX_INSTANCES(, Spherical)
}  // namespace gaussmix
