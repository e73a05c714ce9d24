// The one place where the heavy templates are instantiated: for gaussmix::compiled, and for the tests with their flags.
#define GAUSSMIX_INSTANTIATE
#include "gaussmix/instances.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {
GAUSSMIX_INSTANCES()
}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
