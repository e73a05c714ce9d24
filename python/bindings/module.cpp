// The extension module of one instruction set. GAUSSMIX_MODULE is its name.
#include <Eigen/Core>
#include <cstdlib>

#include "bindings.hpp"
#include "gaussmix/parallel.hpp"

namespace {

// Lets glibc keep what one iteration frees for the next. By default it gives a few MB back to the system, which then
// clears them page by page when they are asked for again: half the time of an iteration on a few thousand rows. Freeing
// a block raises the threshold to twice its size (mallopt(3), M_TRIM_THRESHOLD), unless MALLOC_TRIM_THRESHOLD_ is set;
// this one is never touched. It holds for the process, which is why a Python module does it and the C++ library does not.
void keep_freed_memory() {
#ifdef __GLIBC__
  void* volatile block = std::malloc(std::size_t{31} << 20);
  std::free(block);
#endif
}

}  // namespace

PYBIND11_MODULE(GAUSSMIX_MODULE, m) {
  namespace py = pybind11;
  keep_freed_memory();
  m.doc() = "Compiled core of gaussmix.";
  gaussmix::python::bind_data(m);
  gaussmix::python::bind_mixtures(m);
  m.def("default_threads", &gaussmix::default_threads, "Threads that OpenMP would use now.");
  py::dict config;
  config["version"] = GAUSSMIX_VERSION;
  config["eigen"] = std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) + "." +
                    std::to_string(EIGEN_MINOR_VERSION);
  config["simd"] = Eigen::SimdInstructionSetsInUse();
#ifdef _OPENMP
  config["openmp"] = _OPENMP;
#else
  config["openmp"] = py::none();
#endif
#if defined(__clang__)
  config["compiler"] = "clang " __clang_version__;
#elif defined(__GNUC__)
  config["compiler"] = "gcc " __VERSION__;
#elif defined(_MSC_VER)
  config["compiler"] = "msvc " + std::to_string(_MSC_VER);
#else
  config["compiler"] = "unknown";
#endif
  m.attr("config") = config;
}
