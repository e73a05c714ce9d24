// The extension module of one instruction set. GAUSSMIX_MODULE is its name.
#include <Eigen/Core>

#include "bindings.hpp"
#include "gaussmix/parallel.hpp"

PYBIND11_MODULE(GAUSSMIX_MODULE, m) {
  namespace py = pybind11;
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
