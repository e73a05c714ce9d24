// The mixture of each covariance type, and its fit: written once, bound once a type. Arguments are converted first, the
// interpreter's lock is released, then the core computes.
#include <memory>
#include <mutex>
#include <optional>

#include "gaussmix/any_mixture.hpp"
#include "gaussmix/criteria.hpp"
#include "gaussmix/fit.hpp"
#include "gaussmix/predict.hpp"
#include "gaussmix/sample.hpp"

#include "bindings.hpp"

namespace gaussmix::python {
namespace {

/// A mixture, and its table of densities from when it is first asked for: a mixture that only travels has no use for one.
template <class Covariance>
struct BoundMixture {
  explicit BoundMixture(Mixture<Covariance> m) : mixture(std::move(m)) {}

  /// \throws NotPositiveDefinite if weights or factors are not those of a mixture
  const LogProb<Covariance>& log_prob(int n_threads) const {
    // Threads of Python share a model, and come without the interpreter's lock.
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!log_prob_) log_prob_.emplace(mixture, n_threads);
    return *log_prob_;
  }

  const Mixture<Covariance> mixture;

 private:
  mutable std::mutex mutex_;
  mutable std::optional<LogProb<Covariance>> log_prob_;
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

using Events = std::vector<std::tuple<std::string, Index, int, int, bool>>;
/// Iterations, reseeds, floored matrices, events.
using State = std::tuple<int, int, std::vector<Index>, Events>;

constexpr const char* causes[] = {"floored", "reseeded", "abandoned", "failed"};

template <class Covariance>
py::dict to_dict(const FitResult<Covariance>& result) {
  Events events;
  for (const Event& e : result.events)
    events.emplace_back(causes[static_cast<int>(e.cause)], e.component, e.restart, e.iteration,
                        e.restart == result.restart);
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

template <class Covariance>
Statistics<Covariance> to_statistics(const DoubleArray& counts, const DoubleArray& means,
                                     const DoubleArray& covariances, double log_likelihood, double total_weight) {
  require(means.ndim() == 2, "means must have 2 dimensions");
  Statistics<Covariance> statistics(means.shape(0), means.shape(1));
  require(counts.size() == statistics.n_components() && covariances.size() == statistics.covariances.size(),
          "counts and covariances must have the shapes of their type");
  statistics.counts = to_vector(counts);
  statistics.means = to_matrix(means, means.shape(0));
  statistics.covariances = to_matrix(covariances, statistics.covariances.rows());
  statistics.log_likelihood = log_likelihood;
  statistics.total_weight = total_weight;
  require(statistics.finite() && statistics.counts.allFinite() && std::isfinite(total_weight),
          "statistics must be finite");
  require(statistics.counts.minCoeff() >= 0 && total_weight >= 0, "counts and the total weight must not be negative");
  return statistics;
}

/// Passes that an object of Python makes.
template <class Covariance>
class PythonPasses : public Passes<Covariance> {
 public:
  explicit PythonPasses(py::object passes) : passes_(std::move(passes)) {}

  Statistics<Covariance> accumulate(const Mixture<Covariance>& mixture, Products /*products*/,
                                    const Matrix* about) const override {
    const py::gil_scoped_acquire lock;
    const py::object points = about ? py::object(to_array(*about)) : py::object(py::none());
    const py::object statistics = passes_.attr("accumulate")(bound(mixture), points);
    return statistics.cast<const Statistics<Covariance>&>();
  }

  double score(const Mixture<Covariance>& mixture) const override {
    const py::gil_scoped_acquire lock;
    return passes_.attr("score")(bound(mixture)).template cast<double>();
  }

  Matrix worst_rows(const Mixture<Covariance>& mixture, Index count) const override {
    const py::gil_scoped_acquire lock;
    const auto rows = passes_.attr("worst_rows")(bound(mixture), count).template cast<DoubleArray>();
    require(rows.ndim() == 2 && rows.shape(1) == mixture.n_features() && rows.shape(0) <= count,
            "worst_rows must return at most as many rows as it is asked for");
    return Eigen::Map<const Matrix>(rows.data(), rows.shape(0), rows.shape(1));
  }

 private:
  static py::object bound(const Mixture<Covariance>& mixture) {
    return py::cast(std::make_unique<BoundMixture<Covariance>>(mixture));
  }

  py::object passes_;
};

Initialization initialization(const std::string& name) {
  if (name == "kmeans") return Initialization::kmeans;
  if (name == "k-means++") return Initialization::kmeans_plus_plus;
  if (name == "random") return Initialization::random;
  require(name == "random_from_data", "init_params must be 'kmeans', 'k-means++', 'random' or 'random_from_data'");
  return Initialization::random_from_data;
}

using Callback = std::function<bool(const std::string&, int, int, double, double, bool)>;

/// Runs a fit, without the interpreter's lock, whose options have a callback of Python. An exception of the callback
/// (Ctrl-C) stops the fit, and is handed over with the best model so far.
template <class Fit>
py::dict run_with_callback(FitOptions& options, const Callback& callback, const Fit& run) {
  static constexpr const char* stages[] = {"start", "seeding", "iteration", "end"};
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
      return run();
    }();
    py::dict out = to_dict(result);
    out["raised"] = raised ? raised->value() : py::none();
    return out;
  } catch (const Stopped&) {
    if (raised) throw py::error_already_set(*raised);
    throw;
  }
}

template <class Covariance>
py::dict fit_data(const BoundData& data, Index n_components, double tol, double reg_covar, int max_iter, int n_init,
                  const std::string& init_params, const std::optional<DoubleArray>& weights,
                  const std::optional<DoubleArray>& means, const std::optional<DoubleArray>& precisions,
                  std::uint64_t seed, int n_threads, bool single, const Callback& callback,
                  const BoundMixture<Covariance>* previous, double previous_bound) {
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
  return run_with_callback(options, callback, [&] {
    return fit<Covariance>(data.data, n_components, options, previous ? &previous->mixture : nullptr, previous_bound);
  });
}

template <class Covariance>
py::dict fit_from_passes(const py::object& passes, const BoundMixture<Covariance>& start, double tol, double reg_covar,
                         int max_iter, bool given_start, int n_threads, bool single, const Callback& callback,
                         double previous_bound, const std::optional<State>& state, bool score_result) {
  FitOptions options;
  options.tol = tol;
  options.reg_covar = reg_covar;
  options.max_iter = max_iter;
  options.reseed = !given_start;
  options.n_threads = n_threads;
  options.single = single;
  options.score_result = score_result;
  RunState run;
  if (state) {
    run.iterations = std::get<0>(*state);
    run.reseeds = std::get<1>(*state);
    run.floored = std::get<2>(*state);
    for (const auto& [cause, component, restart, iteration, kept] : std::get<3>(*state)) {
      const auto known = std::find(std::begin(causes), std::end(causes), cause);
      require(known != std::end(causes), "an event has an unknown cause");
      run.events.push_back({static_cast<Event::Cause>(known - std::begin(causes)), component, restart, iteration});
    }
  }
  const PythonPasses<Covariance> source(passes);
  py::dict out = run_with_callback(
      options, callback, [&] { return fit_passes<Covariance>(source, start.mixture, options, previous_bound, &run); });
  out["state"] = py::make_tuple(run.iterations, run.reseeds, run.floored, out["events"]);
  return out;
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
void bind_statistics(py::module_& m, py::dict& types) {
  using Bound = Statistics<Covariance>;
  const std::string name = std::string("Statistics_") + Covariance::name;
  py::class_<Bound> type(m, name.c_str(), "Sufficient statistics of rows for one covariance type.");
  type.def(py::init(&to_statistics<Covariance>), py::arg("counts"), py::arg("means"), py::arg("covariances"),
           py::arg("log_likelihood"), py::arg("total_weight"));
  type.def_static(
      "of_labels",
      [](const BoundData& data, const DoubleArray& centres, const py::array_t<std::int32_t>& labels, int n_threads) {
        require(centres.ndim() == 2 && centres.shape(1) == data.data.cols(), "centres must have a column a feature");
        require(labels.ndim() == 1 && labels.size() == data.data.rows(), "labels must be one for each row");
        const std::vector<std::int32_t> given(labels.data(), labels.data() + labels.size());
        const Matrix points = to_matrix(centres, centres.shape(0));
        for (const std::int32_t label : given)
          require(label >= 0 && label < points.rows(), "labels must be those of centres");
        const py::gil_scoped_release unlock;
        // About the mean of the centres; a power of two brings the squares of large data into range.
        const double largest = (points.rowwise() - points.colwise().mean()).cwiseAbs().maxCoeff();
        const double unit = largest > 0 && std::isfinite(largest) ? std::ldexp(1.0, -std::ilogb(largest)) : 1.0;
        const Frame frame{points.colwise().mean(), RowVector::Constant(points.cols(), unit)};
        return statistics_of_labels<Covariance>(data.data, points, given.data(), frame, n_threads);
      },
      py::arg("data"), py::arg("centres"), py::arg("labels"), py::arg("n_threads"));
  type.def("merge", [](Bound& statistics, const Bound& other) { statistics.merge(other); }, py::arg("other"));
  type.def("scale", &Bound::scale, py::arg("factor"));
  type.def(
      "maximize",
      [](const Bound& statistics, double reg_covar, int n_threads) {
        const auto mixture = [&] {
          const py::gil_scoped_release unlock;
          return maximize(statistics, reg_covar, nullptr, n_threads);
        }();
        return py::make_tuple(to_array(mixture.weights), to_array(mixture.means), to_array(mixture.covariances),
                              to_array(mixture.precisions_cholesky));
      },
      py::arg("reg_covar"), py::arg("n_threads"));
  type.def_property_readonly("counts", [](const Bound& s) { return to_array(s.counts); });
  type.def_property_readonly("means", [](const Bound& s) { return to_array(s.means); });
  type.def_property_readonly("covariances", [](const Bound& s) { return to_array(s.covariances); });
  type.def_readonly("log_likelihood", &Bound::log_likelihood);
  type.def_readonly("total_weight", &Bound::total_weight);
  types[Covariance::name] = type;
}

template <class Covariance>
void bind_mixture(py::module_& m, py::dict& types) {
  using Bound = BoundMixture<Covariance>;
  const std::string name = std::string("Mixture_") + Covariance::name;
  py::class_<Bound> type(m, name.c_str(), "A Gaussian mixture of one covariance type.");
  type.def(py::init([](const DoubleArray& weights, const DoubleArray& means, const DoubleArray& covariances,
                       const DoubleArray& precisions_cholesky) {
             return std::make_unique<Bound>(restore<Covariance>(weights, means, covariances, precisions_cholesky));
           }),
           py::arg("weights"), py::arg("means"), py::arg("covariances"), py::arg("precisions_cholesky"));
  type.def_static("fit", &fit_data<Covariance>, py::arg("data"), py::arg("n_components"), py::kw_only(), py::arg("tol"),
                  py::arg("reg_covar"), py::arg("max_iter"), py::arg("n_init"), py::arg("init_params"),
                  py::arg("weights"), py::arg("means"), py::arg("precisions"), py::arg("seed"), py::arg("n_threads"),
                  py::arg("single"), py::arg("callback"), py::arg("previous"), py::arg("previous_bound"));
  type.def_static("fit_passes", &fit_from_passes<Covariance>, py::arg("passes"), py::arg("start"), py::kw_only(),
                  py::arg("tol"), py::arg("reg_covar"), py::arg("max_iter"), py::arg("given_start"),
                  py::arg("n_threads"), py::arg("single"), py::arg("callback"), py::arg("previous_bound"),
                  py::arg("state"), py::arg("score_result") = true);
  type.def(
      "accumulate",
      [](const Bound& b, const BoundData& data, int n_threads, const std::optional<DoubleArray>& about) {
        std::optional<Matrix> points;
        if (about) points = to_matrix(*about, b.mixture.n_components());
        const py::gil_scoped_release unlock;
        if (points) return accumulate(b.mixture, data.data, n_threads, Products::none, nullptr, &*points);
        // In double, as those of other parts of the rows may be.
        return accumulate(b.log_prob(n_threads), data.data, n_threads);
      },
      py::arg("data"), py::arg("n_threads"), py::arg("about") = py::none());
  type.def("arrays", [](const Bound& b) {
    return py::make_tuple(to_array(b.mixture.weights), to_array(b.mixture.means), to_array(b.mixture.covariances),
                          to_array(b.mixture.precisions_cholesky));
  });
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
                      [&](auto* out) { log_densities(b.log_prob(n_threads), data.data, out, n_threads); });
      },
      py::arg("data"), py::arg("single"), py::arg("n_threads"));
  type.def(
      "responsibilities",
      [](const Bound& b, const BoundData& data, bool single, int n_threads) {
        return filled({data.data.rows(), b.mixture.n_components()}, single,
                      [&](auto* out) { responsibilities(b.log_prob(n_threads), data.data, out, n_threads); });
      },
      py::arg("data"), py::arg("single"), py::arg("n_threads"));
  type.def(
      "labels",
      [](const Bound& b, const BoundData& data, bool single, int n_threads) {
        py::array_t<std::int64_t> out(data.data.rows());
        std::int64_t* values = out.mutable_data();
        const py::gil_scoped_release unlock;
        const auto& log_prob = b.log_prob(n_threads);
        single ? labels<float>(log_prob, data.data, values, n_threads)
               : labels<double>(log_prob, data.data, values, n_threads);
        return out;
      },
      py::arg("data"), py::arg("single"), py::arg("n_threads"));
  type.def(
      "score",
      [](const Bound& b, const BoundData& data, int n_threads) {
        return score(b.log_prob(n_threads), data.data, n_threads);
      },
      py::arg("data"), py::arg("n_threads"), py::call_guard<py::gil_scoped_release>());
  type.def(
      "certainty",
      [](const Bound& b, const BoundData& data, int n_threads) {
        return classification_log_likelihood(b.log_prob(n_threads), data.data, n_threads);
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
void bind_all(std::tuple<Types...>*, py::module_& m, py::dict& mixtures, py::dict& statistics) {
  (bind_statistics<Types>(m, statistics), ...);
  (bind_mixture<Types>(m, mixtures), ...);
}

/// Registers an exception as a ValueError. It is pickled as one: another process may use another instruction set.
template <class Exception>
void bind_value_error(py::module_& m, const char* name) {
  py::object type = py::register_exception<Exception>(m, name, PyExc_ValueError);
  type.attr("__reduce__") = py::cpp_function(
      [](const py::object& self) {
        return py::make_tuple(py::reinterpret_borrow<py::object>(PyExc_ValueError), self.attr("args"));
      },
      py::is_method(type));
}

}  // namespace

void bind_mixtures(py::module_& m) {
  py::dict mixtures, statistics;
  bind_all(static_cast<Covariances*>(nullptr), m, mixtures, statistics);
  m.attr("mixtures") = mixtures;
  m.attr("statistics") = statistics;
  m.def("aic", &aic, py::arg("mean_log_likelihood"), py::arg("n_parameters"), py::arg("total_weight"));
  m.def("bic", &bic, py::arg("mean_log_likelihood"), py::arg("n_parameters"), py::arg("total_weight"));
  m.def("icl", &icl, py::arg("mean_log_likelihood"), py::arg("certainty"), py::arg("n_parameters"),
        py::arg("total_weight"));
  py::register_exception<Stopped>(m, "Stopped", PyExc_RuntimeError);
  bind_value_error<NotPositiveDefinite>(m, "NotPositiveDefinite");
  bind_value_error<DegenerateData>(m, "DegenerateData");
}

}  // namespace gaussmix::python
