// One function for each subject that is bound.
#pragma once

#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "arrays.hpp"

namespace gaussmix::python {

void bind_data(py::module_& m);
void bind_mixtures(py::module_& m);

}  // namespace gaussmix::python
