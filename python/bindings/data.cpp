// `Data`: a view of NumPy arrays for the core. Nothing is copied.
#include "bindings.hpp"

namespace gaussmix::python {
namespace {

bool is_single(const py::array& a) {
  if (py::isinstance<py::array_t<float>>(a)) return true;
  require(py::isinstance<py::array_t<double>>(a), "data must be float32 or float64");
  return false;
}

std::ptrdiff_t stride(const py::array& a, int axis) {
  const py::ssize_t bytes = a.strides(axis), item = a.itemsize();
  require(bytes % item == 0 && reinterpret_cast<std::uintptr_t>(a.data()) % static_cast<std::uintptr_t>(item) == 0,
          "data must be aligned");
  return bytes / item;
}

Data view(const std::vector<py::array>& arrays) {
  require(!arrays.empty(), "data must have at least one column");
  if (arrays.size() == 1 && arrays[0].ndim() == 2) {
    const py::array& a = arrays[0];
    if (is_single(a))
      return Data(static_cast<const float*>(a.data()), a.shape(0), a.shape(1), stride(a, 0), stride(a, 1));
    return Data(static_cast<const double*>(a.data()), a.shape(0), a.shape(1), stride(a, 0), stride(a, 1));
  }
  std::vector<Column> columns;
  for (const py::array& a : arrays) {
    require(a.ndim() == 1 && a.shape(0) == arrays[0].shape(0), "columns must be 1-dimensional and of one length");
    columns.push_back({a.data(), stride(a, 0), is_single(a)});
  }
  return Data(std::move(columns), arrays[0].shape(0));
}

}  // namespace

void bind_data(py::module_& m) {
  py::class_<BoundData>(m, "Data",
                        "Rows in NumPy arrays, with weights or without: one 2-D array, or one array a column.")
      .def(py::init([](std::vector<py::array> arrays, const py::object& weights) {
             Data data = view(arrays);
             DoubleArray kept;
             if (!weights.is_none()) {
               kept = weights.cast<DoubleArray>();
               require(kept.ndim() == 1 && kept.shape(0) == data.rows(), "weights must be one for each row");
               data.set_weights(kept.data());
             }
             return BoundData{std::move(arrays), std::move(kept), std::move(data)};
           }),
           py::arg("arrays"), py::arg("weights") = py::none())
      .def_property_readonly("shape", [](const BoundData& d) { return py::make_tuple(d.data.rows(), d.data.cols()); });
}

}  // namespace gaussmix::python
