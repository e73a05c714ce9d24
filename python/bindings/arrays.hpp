// NumPy arrays to Eigen and back.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <vector>

#include "gaussmix/data.hpp"
#include "gaussmix/types.hpp"

namespace gaussmix::python {

namespace py = pybind11;

/// Contiguous doubles, converted where they are not.
using DoubleArray = py::array_t<double, py::array::c_style | py::array::forcecast>;

/// Rows for the core, with the arrays that they lie in.
struct BoundData {
  std::vector<py::array> arrays;
  DoubleArray weights;
  Data data;
};

inline Vector to_vector(const DoubleArray& a) { return Eigen::Map<const Vector>(a.data(), a.size()); }

/// An array of any shape as a matrix of `rows` rows.
inline Matrix to_matrix(const DoubleArray& a, Index rows) {
  require(rows > 0 && a.size() > 0 && a.size() % rows == 0, "an array has a size that does not fit the others");
  return Eigen::Map<const Matrix>(a.data(), rows, a.size() / rows);
}

inline py::array_t<double> to_array(const Vector& v) { return py::array_t<double>(v.size(), v.data()); }
inline py::array_t<double> to_array(const Matrix& m) { return py::array_t<double>({m.rows(), m.cols()}, m.data()); }

}  // namespace gaussmix::python
