// The mixture of each covariance type, and its fit: written once, bound once a type. Arguments are converted first, the
// interpreter's lock is released, then the core computes.
#include "gaussmix/any_mixture.hpp"
#include "gaussmix/criteria.hpp"
#include "gaussmix/fit.hpp"
#include "gaussmix/predict.hpp"
#include "gaussmix/sample.hpp"

#include "bindings.hpp"

namespace gaussmix::python {
namespace {

/// A mixture, prepared for densities.
template <class Covariance>
struct BoundMixture {
  Mixture<Covariance> mixture;
  LogProb<Covariance> log_prob;
};

/// A mixture from fitted arrays, without factoring anything.
template <class Covariance>
Mixture<Covariance> restore(const DoubleArray& weights, const DoubleArray& means, const DoubleArray& covariances,
                            const DoubleArray& factors) {
  require(means.ndim() == 2, "means must have 2 dimensions");
  Mixture<Covariance> mixture(means.shape(0), means.shape(1));
  const Index matrices = mixture.covariances.rows(), entries = mixture.covariances.cols();
  mixture.weights = to_vector(weights);
  mixture.means = to_matrix(means, means.shape(0));
  require(mixture.weights.size() == mixture.n_components(), "weights must be one for each component");
  require(mixture.means.allFinite(), "means must be finite");
  for (const auto& [target, source, message] :
       {std::tuple{&mixture.precisions_cholesky, &factors, "precisions_cholesky must have the shape of its type"},
        std::tuple{&mixture.covariances, &covariances, "covariances must have the shape of their type"}}) {
    require(source->size() == matrices * entries, message);
    *target = to_matrix(*source, matrices);
  }
  return mixture;
}

template <class Covariance>
py::dict to_dict(const FitResult<Covariance>& result) {
  static constexpr const char* causes[] = {"floored", "reseeded", "abandoned", "failed"};
  py::list events;
  for (const Event& e : result.events)
    events.append(py::make_tuple(causes[static_cast<int>(e.cause)], e.component, e.restart, e.iteration,
                                 e.restart == result.restart));
  py::dict out;
  out["weights"] = to_array(result.mixture.weights);
  out["means"] = to_array(result.mixture.means);
  out["covariances"] = to_array(result.mixture.covariances);
  out["precisions_cholesky"] = to_array(result.mixture.precisions_cholesky);
  out["converged"] = result.converged;
  out["stopped"] = result.stopped;
  out["lower_bound"] = result.lower_bound;
  out["lower_bounds"] = result.lower_bounds;
  out["events"] = events;
  out["restart"] = result.restart;
  return out;
}

Initialization initialization(const std::string& name) {
  if (name == "kmeans") return Initialization::kmeans;
  if (name == "k-means++") return Initialization::kmeans_plus_plus;
  if (name == "random") return Initialization::random;
  require(name == "random_from_data", "init_params must be 'kmeans', 'k-means++', 'random' or 'random_from_data'");
  return Initialization::random_from_data;
}

using Callback = std::function<bool(const std::string&, int, int, double, double, bool)>;

template <class Covariance>
py::dict fit_data(const BoundData& data, Index n_components, double tol, double reg_covar, int max_iter, int n_init,
                  const std::string& init_params, const std::optional<DoubleArray>& weights,
                  const std::optional<DoubleArray>& means, const std::optional<DoubleArray>& precisions,
                  std::uint64_t seed, int n_threads, bool single, const Callback& callback,
                  const BoundMixture<Covariance>* previous, double previous_bound) {
  static constexpr const char* stages[] = {"start", "seeding", "iteration", "end"};
  FitOptions options;
  options.tol = tol;
  options.reg_covar = reg_covar;
  options.max_iter = max_iter;
  options.n_init = n_init;
  options.initialization = initialization(init_params);
  if (weights) options.start.weights = to_vector(*weights);
  if (means) options.start.means = to_matrix(*means, n_components);
  if (precisions) options.start.precisions = to_matrix(*precisions, n_matrices<Covariance>(n_components));
  options.seed = seed;
  options.n_threads = n_threads;
  options.single = single;
  // An exception of the callback (Ctrl-C) stops the fit, and is handed over with the best model so far.
  std::optional<py::error_already_set> raised;
  options.callback = [&](const Progress& p) {
    const py::gil_scoped_acquire lock;
    try {
      return callback(stages[static_cast<int>(p.stage)], p.restart, p.iteration, p.lower_bound, p.change, p.converged);
    } catch (const py::error_already_set& error) {
      raised.emplace(error);
      return true;
    }
  };
  try {
    const auto result = [&] {
      const py::gil_scoped_release unlock;
      return fit<Covariance>(data.data, n_components, options, previous ? &previous->mixture : nullptr, previous_bound);
    }();
    py::dict out = to_dict(result);
    out["raised"] = raised ? raised->value() : py::none();
    return out;
  } catch (const Stopped&) {
    if (raised) throw py::error_already_set(*raised);
    throw;
  }
}

/// An array of n, or n x k, numbers of the asked type, filled without the interpreter's lock.
template <class Fill>
py::array filled(std::vector<py::ssize_t> shape, bool single, const Fill& fill) {
  const auto make = [&](auto zero) {
    py::array_t<decltype(zero)> out(shape);
    auto* values = out.mutable_data();
    const py::gil_scoped_release unlock;
    fill(values);
    return out;
  };
  if (single) return make(0.0f);
  return make(0.0);
}

template <class Covariance>
void bind_mixture(py::module_& m, py::dict& types) {
  using Bound = BoundMixture<Covariance>;
  const std::string name = std::string("Mixture_") + Covariance::name;
  py::class_<Bound> type(m, name.c_str(), "A Gaussian mixture of one covariance type, prepared for densities.");
  type.def(py::init([](const DoubleArray& weights, const DoubleArray& means, const DoubleArray& covariances,
                       const DoubleArray& precisions_cholesky) {
             auto mixture = restore<Covariance>(weights, means, covariances, precisions_cholesky);
             LogProb<Covariance> log_prob(mixture);
             return Bound{std::move(mixture), std::move(log_prob)};
           }),
           py::arg("weights"), py::arg("means"), py::arg("covariances"), py::arg("precisions_cholesky"));
  type.def_static("fit", &fit_data<Covariance>, py::arg("data"), py::arg("n_components"), py::kw_only(), py::arg("tol"),
                  py::arg("reg_covar"), py::arg("max_iter"), py::arg("n_init"), py::arg("init_params"),
                  py::arg("weights"), py::arg("means"), py::arg("precisions"), py::arg("seed"), py::arg("n_threads"),
                  py::arg("single"), py::arg("callback"), py::arg("previous"), py::arg("previous_bound"));
  type.def_static(
      "from_covariances",
      [](const DoubleArray& weights, const DoubleArray& means, const DoubleArray& covariances) {
        require(means.ndim() == 2, "means must have 2 dimensions");
        const Index k = means.shape(0);
        const auto mixture = from_covariances<Covariance>(to_vector(weights), to_matrix(means, k),
                                                          to_matrix(covariances, n_matrices<Covariance>(k)));
        return py::make_tuple(to_array(mixture.weights), to_array(mixture.means), to_array(mixture.covariances),
                              to_array(mixture.precisions_cholesky));
      },
      py::arg("weights"), py::arg("means"), py::arg("covariances"));
  type.def_static(
      "check",
      [](const DoubleArray& weights, const DoubleArray& means, const DoubleArray& covariances,
         const DoubleArray& precisions_cholesky) {
        const auto mixture = restore<Covariance>(weights, means, covariances, precisions_cholesky);
        const py::gil_scoped_release unlock;
        check_parameters(mixture);
      },
      py::arg("weights"), py::arg("means"), py::arg("covariances"), py::arg("precisions_cholesky"));
  type.def_static(
      "precisions",
      [](const DoubleArray& factors, Index n_components, Index n_features) {
        const Matrix u = to_matrix(factors, n_matrices<Covariance>(n_components));
        Matrix p(u.rows(), u.cols());
        for (Index i = 0; i < u.rows(); ++i) Covariance::precision(u.row(i).data(), n_features, p.row(i).data());
        return to_array(p);
      },
      py::arg("precisions_cholesky"), py::arg("n_components"), py::arg("n_features"));
  type.def_static(
      "covariances",
      [](const DoubleArray& factors, Index n_components, Index n_features) {
        const Matrix u = to_matrix(factors, n_matrices<Covariance>(n_components));
        Matrix sigma(u.rows(), u.cols());
        for (Index i = 0; i < u.rows(); ++i) Covariance::covariance(u.row(i).data(), n_features, sigma.row(i).data());
        return to_array(sigma);
      },
      py::arg("precisions_cholesky"), py::arg("n_components"), py::arg("n_features"));
  type.def(
      "log_densities",
      [](const Bound& b, const BoundData& data, bool single, int n_threads) {
        return filled({data.data.rows()}, single,
                      [&](auto* out) { log_densities(b.log_prob, data.data, out, n_threads); });
      },
      py::arg("data"), py::arg("single"), py::arg("n_threads"));
  type.def(
      "responsibilities",
      [](const Bound& b, const BoundData& data, bool single, int n_threads) {
        return filled({data.data.rows(), b.mixture.n_components()}, single,
                      [&](auto* out) { responsibilities(b.log_prob, data.data, out, n_threads); });
      },
      py::arg("data"), py::arg("single"), py::arg("n_threads"));
  type.def(
      "labels",
      [](const Bound& b, const BoundData& data, bool single, int n_threads) {
        py::array_t<std::int64_t> out(data.data.rows());
        std::int64_t* values = out.mutable_data();
        const py::gil_scoped_release unlock;
        single ? labels<float>(b.log_prob, data.data, values, n_threads)
               : labels<double>(b.log_prob, data.data, values, n_threads);
        return out;
      },
      py::arg("data"), py::arg("single"), py::arg("n_threads"));
  type.def(
      "score",
      [](const Bound& b, const BoundData& data, int n_threads) { return score(b.log_prob, data.data, n_threads); },
      py::arg("data"), py::arg("n_threads"), py::call_guard<py::gil_scoped_release>());
  type.def(
      "certainty",
      [](const Bound& b, const BoundData& data, int n_threads) {
        return classification_log_likelihood(b.log_prob, data.data, n_threads);
      },
      py::arg("data"), py::arg("n_threads"), py::call_guard<py::gil_scoped_release>());
  type.def_static(
      "sample",
      [](const DoubleArray& weights, const DoubleArray& means, const DoubleArray& covariances, Index n,
         std::uint64_t seed, int n_threads) {
        // Draws need no factors of precisions; the covariances stand in for them.
        const auto mixture = restore<Covariance>(weights, means, covariances, covariances);
        // NumPy's memory, which comes in large pages.
        require(n >= 1, "at least one row must be drawn");
        py::array_t<double> rows({n, mixture.n_features()});
        py::array_t<std::int64_t> labels(n);
        auto* x = rows.mutable_data();
        auto* y = labels.mutable_data();
        {
          const py::gil_scoped_release unlock;
          sample(mixture, n, seed, x, y, n_threads);
        }
        return py::make_tuple(rows, labels);
      },
      py::arg("weights"), py::arg("means"), py::arg("covariances"), py::arg("n_samples"), py::arg("seed"),
      py::arg("n_threads"));
  type.def_property_readonly("n_parameters", [](const Bound& b) { return b.mixture.n_parameters(); });
  types[Covariance::name] = type;
}

template <class... Types>
void bind_all(std::tuple<Types...>*, py::module_& m, py::dict& types) {
  (bind_mixture<Types>(m, types), ...);
}

}  // namespace

void bind_mixtures(py::module_& m) {
  py::dict types;
  bind_all(static_cast<Covariances*>(nullptr), m, types);
  m.attr("mixtures") = types;
  m.def("aic", &aic, py::arg("mean_log_likelihood"), py::arg("n_parameters"), py::arg("total_weight"));
  m.def("bic", &bic, py::arg("mean_log_likelihood"), py::arg("n_parameters"), py::arg("total_weight"));
  m.def("icl", &icl, py::arg("mean_log_likelihood"), py::arg("certainty"), py::arg("n_parameters"),
        py::arg("total_weight"));
  py::register_exception<Stopped>(m, "Stopped", PyExc_RuntimeError);
}

}  // namespace gaussmix::python
