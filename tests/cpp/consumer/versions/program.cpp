// One copy of the library, compiled into the namespace of_NAME.
#include "program.hpp"

#include <gaussmix/mixture.hpp>
#include <gaussmix/panels.hpp>

#define JOIN(a, b) a##b
#define NAMESPACE(name) JOIN(of_, name)

Told NAMESPACE(NAME)::tell() {
  Told told{gaussmix::version, "", static_cast<long>(gaussmix::padded<double>(1))};
  try {
    gaussmix::from_covariances<gaussmix::Spherical>({}, {}, {});
  } catch (const std::invalid_argument& error) {
    told.message = error.what();
  }
  return told;
}
