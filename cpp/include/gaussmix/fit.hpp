// Expectation maximisation (Dempster, Laird, Rubin, 1977): E-step and M-step in turn until the mean log-likelihood
// changes by less than tol, from several starts, of which the one with the best final likelihood is kept; one whose
// likelihood comes from a floored covariance counts as worse than any other.
//
// A component that collapses does not end the fit: `maximize` floors its covariance, and one that has lost its rows is
// seeded anew on the rows that the model explains worst, at most 2 K times a restart and never where the caller gave
// the start. With reg_covar = 0 the likelihood does not fall between two such events, but for the iterations in which
// rounding hides that a covariance has become singular, the rounding of floats, and while a floor is held, which is added after
// the maximum is found; the first of each kind and component is kept in the result.
//
// Where it costs little (n K (D + 20 d) <= 1e8) each restart draws up to 4 starts and goes on from the one that is best
// after at most 5 iterations: the short runs of Biernacki, Celeux, Govaert, "Choosing starting values for the EM
// algorithm", 2003.
// Where the first two, of k-means or of rows, come to the same likelihood, clusters are so clear that most would. The
// passes of the short run are those that the fit begins with.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "gaussmix/fit_options.hpp"
#include "gaussmix/initialize.hpp"
#include "gaussmix/maximize.hpp"
#include "gaussmix/passes.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

namespace detail {

/// Starts that one restart compares, by the size of the work that a start and an iteration are.
template <class Covariance>
int n_trials(Index n, Index d, Index k) {
  const double work =
      static_cast<double>(n) * static_cast<double>(k) * static_cast<double>(Covariance::features(d) + 20 * d);
  return work <= 1e8 && k > 1 ? 4 : 1;
}

/// One restart of EM.
template <class Covariance>
class Run {
 public:
  Run(const Passes<Covariance>& passes, Index n_components, const FitOptions& options, int restart)
      : passes_(passes),
        k_(n_components),
        options_(options),
        restart_(restart),
        // A tolerance that the rounding of floats would hide asks for double.
        products_(options.tol > 0 && options.tol < 1e-6 ? Products::full : Products::single) {}

  const std::vector<Event>& events() const { return events_; }

  RunState state() const { return {iteration_, reseeds_, floored_, events_}; }

  /// Goes on where a run in that state was: before `from`.
  void resume(const RunState& state) {
    earlier_ = iteration_ = state.iterations;
    earlier_reseeds_ = state.reseeds;
    floored_ = state.floored;
    events_ = state.events;
  }

  /// What starts and restarts are compared by: without floored covariances first, then by likelihood.
  std::pair<bool, double> ranked(double bound) const {
    return {
        std::none_of(events_.begin(), events_.end(), [](const Event& e) { return e.cause == Event::Cause::floored; }),
        bound};
  }

  /// The mixture to start from, drawn from the rows: of several the best after a short run.
  Mixture<Covariance> start(const Data& data) {
    const Start& given = options_.start;
    if (given.complete()) return from_precisions<Covariance>(*given.weights, *given.means, *given.precisions);
    const int trials = given.means ? 1 : n_trials<Covariance>(data.rows(), data.cols(), k_);
    std::optional<Mixture<Covariance>> best;
    std::vector<Event> best_events;
    std::vector<Index> best_floored;
    std::pair<bool, double> best_rank;
    std::vector<Statistics<Covariance>> best_passes;
    std::exception_ptr failure;
    const Spread spread =
        measure_spread(data, worth_threads(flops<Covariance>(data.rows(), data.cols(), 1), options_.n_threads));
    for (int trial = 0; trial < trials; ++trial) {
      events_.clear();
      floored_.clear();
      iteration_ = 0;
      try {
        auto mixture = draw(data, spread, static_cast<std::uint32_t>(restart_ * trials + trial));
        if (trials == 1) return mixture;
        const auto drawn_events = events_;
        const auto drawn_floored = floored_;
        auto passes = short_run(mixture, best_passes);
        const auto rank = ranked(passes.back().mean_log_likelihood());
        // Starts that are the same, or on their way to the same mixture: the first of them is kept, and asked no further.
        const bool same = passes.size() == 1 || (best && rank.first == best_rank.first &&
                                                 std::abs(rank.second - best_rank.second) <= little_);
        // Random responsibilities all begin near the same saddle.
        if (same && trial == 1 && options_.initialization != Initialization::random) break;
        if (same || (best && !(rank > best_rank))) continue;
        best = std::move(mixture);
        best_rank = rank;
        best_events = drawn_events;
        best_floored = drawn_floored;
        best_passes = std::move(passes);
      } catch (const NotPositiveDefinite&) {
        failure = std::current_exception();
      } catch (const DegenerateData&) {
        failure = std::current_exception();
      }
    }
    if (!best) std::rethrow_exception(failure);
    events_ = best_events;
    floored_ = best_floored;
    known_ = std::move(best_passes);
    return *best;
  }

  FitResult<Covariance> from(Mixture<Covariance> mixture, double previous_bound) {
    FitResult<Covariance> result;
    reseeds_ = earlier_reseeds_;
    for (int iteration = 1; iteration <= options_.max_iter && !result.converged && !result.stopped; ++iteration) {
      iteration_ = earlier_ + iteration;
      const auto at = static_cast<std::size_t>(iteration - 1);
      const auto statistics = at < known_.size() ? std::move(known_[at]) : passes_.accumulate(mixture, products_);
      auto [next, moved] = maximize_repaired(statistics, &mixture);
      const double bound = statistics.mean_log_likelihood(), change = bound - previous_bound;
      result.lower_bounds.push_back(bound);
      result.converged = std::abs(change) < options_.tol && !moved;
      previous_bound = moved ? -std::numeric_limits<double>::infinity() : bound;
      mixture = std::move(next);
      result.stopped = report({Progress::Stage::iteration, restart_, iteration_, bound, change, result.converged});
    }
    if (options_.single) round_to_single(mixture);
    if (options_.score_result) result.lower_bound = passes_.score(mixture);
    result.mixture = std::move(mixture);
    return result;
  }

  bool report(const Progress& progress) const { return options_.callback && options_.callback(progress); }

 private:
  Mixture<Covariance> draw(const Data& data, const Spread& spread, std::uint32_t stream) {
    const Interrupt interrupt = [this] { return report({Progress::Stage::seeding, restart_, 0, 0, 0, false}); };
    const auto statistics = initialize<Covariance>(data, k_, options_.initialization, options_.start, options_.seed,
                                                   stream, options_.n_threads, interrupt, &spread);
    return apply_start(maximize_repaired(statistics, nullptr).first, options_.start);
  }

  /// The passes of a few iterations from a start, the last of them for its likelihood: fewer where that has come to rest,
  /// and one where it is that of another start to the last digits, whose passes are known.
  std::vector<Statistics<Covariance>> short_run(Mixture<Covariance> mixture,
                                                const std::vector<Statistics<Covariance>>& of_another) {
    constexpr std::size_t iterations = 5;
    constexpr double rounding = 1e-12;
    std::vector<Statistics<Covariance>> passes;
    // Random responsibilities begin at a saddle, where the likelihood hardly changes either.
    const bool may_rest = options_.initialization != Initialization::random;
    reseeds_ = 0;
    double previous =
        of_another.empty() ? std::numeric_limits<double>::quiet_NaN() : of_another[0].mean_log_likelihood();
    double tolerance = rounding * (1 + std::abs(previous));
    while (true) {
      if (report({Progress::Stage::seeding, restart_, 0, 0, 0, false})) throw Stopped();
      passes.push_back(passes_.accumulate(mixture, products_));
      const double bound = passes.back().mean_log_likelihood();
      if (passes.size() > iterations || (may_rest && std::abs(bound - previous) <= tolerance)) return passes;
      previous = bound;
      tolerance = 0.1 * little_;
      mixture = maximize_repaired(passes.back(), &mixture).first;
    }
  }

  /// M-step with all repairs, which are noted; true if a component was moved. Data that are singular as a whole, or have
  /// fewer distinct rows than components, are refused where there is no regularisation. `previous` is the model of the
  /// E-step; none before the first.
  std::pair<Mixture<Covariance>, bool> maximize_repaired(const Statistics<Covariance>& statistics,
                                                         const Mixture<Covariance>* previous) {
    Repairs repairs;
    Mixture<Covariance> mixture;
    const auto collapses = [&](const Statistics<Covariance>& s, const std::vector<Index>& singular) {
      repairs = {floored_, {}};
      repairs.floored.insert(repairs.floored.end(), singular.begin(), singular.end());
      mixture = maximize(s, options_.reg_covar, &repairs, options_.n_threads);
      return repairs.floored.size() > floored_.size();
    };
    std::optional<Statistics<Covariance>> again;
    bool collapsed = true;
    try {
      collapsed = collapses(statistics, {});
    } catch (const DegenerateData&) {
      if (!previous) throw;
    }
    if (previous && (collapsed || narrowed(mixture, *previous, repairs.starved))) {
      const std::vector<Index> suspected(repairs.floored.begin() + static_cast<std::ptrdiff_t>(floored_.size()),
                                         repairs.floored.end());
      again = about_new_means(statistics, *previous);
      collapsed = collapses(*again, {});
      std::vector<Index> singular;
      for (const Index m : suspected)
        if (is_thin(mixture, m)) singular.push_back(m);
      if (!singular.empty()) collapsed = collapses(*again, singular);
    }
    if (collapsed && options_.reg_covar == 0 && passes_.degenerate(again ? *again : statistics))
      throw DegenerateData(singular_message);
    for (const Index m : repairs.floored) note(Event::Cause::floored, m);
    floored_ = repairs.floored;
    const bool moved = previous && repair_starved(mixture, *previous, repairs);
    return {std::move(mixture), moved};
  }

  /// Whether the variance of some feature, given others, is less than 2^-14 of what it was: the moments of a pass may be
  /// right to 1e-10 of what it was. Components without rows have only been lent a covariance.
  static bool narrowed(const Mixture<Covariance>& next, const Mixture<Covariance>& previous,
                       const std::vector<Index>& starved) {
    const Index d = next.n_features();
    for (Index m = 0; m < next.precisions_cholesky.rows(); ++m) {
      if (!Covariance::shared && std::find(starved.begin(), starved.end(), m) != starved.end()) continue;
      for (Index j = 0; j < d; ++j) {
        const double now = Covariance::variance(next.precisions_cholesky.row(m).data(), d, j);
        if (now > 0x1p7 * Covariance::variance(previous.precisions_cholesky.row(m).data(), d, j)) return true;
      }
    }
    return false;
  }

  /// Whether other features leave less than 2^-40 of the variance of some feature: of a covariance that looked singular it is
  /// rounding, which may come out above what `maximize` takes for it, and then be taken for a likelihood.
  static bool is_thin(const Mixture<Covariance>& mixture, Index m) {
    const Index d = mixture.n_features();
    for (Index j = 0; j < d; ++j) {
      const double u = Covariance::variance(mixture.precisions_cholesky.row(m).data(), d, j);
      if (Covariance::variance(mixture.covariances.row(m).data(), d, j) * u * u > 0x1p40) return true;
    }
    return false;
  }

  /// Statistics of the model with its means moved, and nothing else: a conditional M-step (Meng and Rubin, "Maximum
  /// likelihood estimation via the ECM algorithm", 1993), so that the likelihood does not fall. Where a component moves by
  /// 1e8 of its deviations, or its rows are far narrower than its model, moments about another point cancel to less than
  /// their rounding. All components take that step.
  Statistics<Covariance> about_new_means(const Statistics<Covariance>& statistics, Mixture<Covariance> model) const {
    model.means = statistics.means;
    return passes_.accumulate(model, Products::none);
  }

  /// Each kind of event once a component and restart.
  void note(Event::Cause cause, Index component) {
    for (const Event& e : events_)
      if (e.cause == cause && e.component == component) return;
    events_.push_back({cause, component, restart_, iteration_});
  }

  /// Seeds components without rows anew, or keeps them as they were; true if any moved.
  bool repair_starved(Mixture<Covariance>& next, const Mixture<Covariance>& previous, const Repairs& repairs) {
    if (repairs.starved.empty()) return false;
    const auto count = static_cast<int>(repairs.starved.size());
    const auto k = static_cast<int>(next.n_components());
    const bool reseed = options_.reseed && !options_.start.any() && reseeds_ + count <= 2 * k && count < k;
    const Matrix rows = reseed ? passes_.worst_rows(next, count) : Matrix();
    if (rows.rows() < count) {
      for (const Index c : repairs.starved) {
        next.means.row(c) = previous.means.row(c);
        if (!Covariance::shared) {
          next.covariances.row(c) = previous.covariances.row(c);
          next.precisions_cholesky.row(c) = previous.precisions_cholesky.row(c);
        }
        note(Event::Cause::abandoned, c);
      }
      return false;
    }
    next.weights *= 1 - static_cast<double>(count) / k;
    for (Index i = 0; i < rows.rows(); ++i) {
      const Index c = repairs.starved[static_cast<std::size_t>(i)];
      next.means.row(c) = rows.row(i);
      next.weights(c) = 1.0 / k;
      if (!Covariance::shared) floored_.erase(std::remove(floored_.begin(), floored_.end(), c), floored_.end());
      note(Event::Cause::reseeded, c);
    }
    reseeds_ += count;
    return true;
  }

  static constexpr double little_ = 1e-6;  // difference of mean log-likelihoods, in nats

  const Passes<Covariance>& passes_;
  Index k_;
  const FitOptions& options_;
  int restart_;
  Products products_;
  int iteration_ = 0, earlier_ = 0;
  int reseeds_ = 0, earlier_reseeds_ = 0;
  std::vector<Index> floored_;                 // matrices that have the floor until the end of the run
  std::vector<Statistics<Covariance>> known_;  // of the first passes of the run, which a short run has made
  std::vector<Event> events_;
};

}  // namespace detail

/// Fits a mixture by EM.
///
/// \param data            n x d rows, n >= n_components
/// \param n_components    K
/// \param options         see FitOptions
/// \param previous        if given, EM goes on from this mixture, whose last bound was `previous_bound`, in one restart
/// \returns the best of the restarts; if the callback stopped the fit, the best so far
/// \throws DegenerateData if the data overflow, or reg_covar is 0 and a component collapses where all rows together are
///         singular for the type of covariance or fewer of them are distinct than there are components; as `maximize`
/// \throws NotPositiveDefinite if given precisions are not
/// \throws Stopped if the callback stopped the fit before there was a model
/// \throws std::invalid_argument if sizes or options do not fit
template <class Covariance>
FitResult<Covariance> fit(const Data& data, Index n_components, const FitOptions& options,
                          const Mixture<Covariance>* previous = nullptr,
                          double previous_bound = -std::numeric_limits<double>::infinity()) {
  const Index d = data.cols();
  require(n_components >= 1 && data.rows() >= n_components, "there must be at least as many rows as components");
  require(options.tol >= 0 && options.reg_covar >= 0 && options.max_iter >= 0 && options.n_init >= 1,
          "tol, reg_covar and max_iter must not be negative, n_init must be at least 1");
  const Mixture<Covariance> shape(n_components, d);
  const Start& start = options.start;
  require((!start.weights || start.weights->size() == n_components) &&
              (!start.means || (start.means->rows() == n_components && start.means->cols() == d)) &&
              (!start.precisions || (start.precisions->rows() == shape.covariances.rows() &&
                                     start.precisions->cols() == shape.covariances.cols())),
          "given weights, means and precisions must have the shapes of the mixture");
  require(
      (!start.weights || (start.weights->allFinite() && start.weights->minCoeff() >= 0 && start.weights->sum() > 0)) &&
          (!start.means || start.means->allFinite()),
      "given weights and means must be finite, and weights not negative or all zero");

  std::optional<FitResult<Covariance>> best;
  std::pair<bool, double> best_rank;
  std::vector<Event> events;
  std::exception_ptr failure;
  bool stopped = false;
  const auto failed = [&](int restart) {
    failure = std::current_exception();
    events.push_back({Event::Cause::failed, -1, restart, 0});
  };
  // Where nothing is drawn, all restarts are the same.
  const int restarts = previous || start.complete() || start.means ? 1 : options.n_init;
  const PassesOverData<Covariance> passes(data, options.n_threads);
  for (int restart = 0; restart < restarts && !stopped; ++restart) {
    detail::Run<Covariance> run(passes, n_components, options, restart);
    try {
      stopped = run.report({Progress::Stage::start, restart, 0, 0, 0, false});
      if (stopped) break;
      auto result = run.from(previous ? *previous : run.start(data), previous_bound);
      stopped = run.report({Progress::Stage::end, restart, result.n_iter(), result.lower_bound, 0, result.converged}) ||
                result.stopped;
      events.insert(events.end(), run.events().begin(), run.events().end());
      const auto rank = run.ranked(result.lower_bound);
      if (best && !(rank > best_rank)) continue;
      best = std::move(result);
      best->restart = restart;
      best_rank = rank;
    } catch (const Stopped&) {
      stopped = true;
      failure = std::current_exception();
    } catch (const NotPositiveDefinite&) {
      failed(restart);
    } catch (const DegenerateData&) {
      failed(restart);
    }
  }
  if (!best && failure) std::rethrow_exception(failure);
  if (!best) throw Stopped();
  best->events = std::move(events);
  best->stopped = stopped;
  return std::move(*best);
}

/// Fits a mixture by EM to rows that may lie anywhere, in one restart.
///
/// \param passes          the rows
/// \param start           the mixture to start from, K components in d dimensions
/// \param options         see FitOptions; those that draw a start do not count
/// \param previous_bound  the mean log-likelihood before the last M-step, where a fit goes on
/// \param state           if given, the run goes on from it, and it becomes that of the end: with `start` and
///                        `previous_bound` of then, the result is that of a run without a break, to the bit
/// \returns as `fit`, which does the same to rows in memory
/// \throws DegenerateData, std::invalid_argument  as `fit`; whatever a pass throws
template <class Covariance>
FitResult<Covariance> fit_passes(const Passes<Covariance>& passes, const Mixture<Covariance>& start,
                                 const FitOptions& options,
                                 double previous_bound = -std::numeric_limits<double>::infinity(),
                                 RunState* state = nullptr) {
  require(options.tol >= 0 && options.reg_covar >= 0 && options.max_iter >= 0,
          "tol, reg_covar and max_iter must not be negative");
  detail::Run<Covariance> run(passes, start.n_components(), options, 0);
  if (state) run.resume(*state);
  auto result = run.from(start, previous_bound);
  result.events = run.events();
  if (state) *state = run.state();
  return result;
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
