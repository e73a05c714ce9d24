// Fits a mixture by EM from several starts, of which the one with the best final likelihood is kept; one whose
// likelihood comes from a floored covariance counts as worse than any other.
#pragma once

#include <exception>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "gaussmix/choose_start.hpp"
#include "gaussmix/fit_options.hpp"
#include "gaussmix/parallel.hpp"
#include "gaussmix/passes.hpp"
#include "gaussmix/run.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

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
  // Some twenty passes are a fit, each of which takes as much for the E-step as for the statistics.
  with_team(worth_threads(40 * flops<Covariance>(data.rows(), d, n_components), options.n_threads), [&] {
    const PassesOverData<Covariance> passes(data, options.n_threads);
    for (int restart = 0; restart < restarts && !stopped; ++restart) {
      detail::Run<Covariance> run(passes, options, restart);
      try {
        stopped = run.report({Progress::Stage::start, restart, 0, 0, 0, false});
        if (stopped) break;
        auto chosen = previous ? detail::ChosenStart<Covariance>{*previous, {}, {}, false}
                               : choose_start<Covariance>(data, passes, n_components, options, restart);
        run.resume(chosen.state);
        auto result = run.from(std::move(chosen.mixture), previous_bound, std::move(chosen.passes), chosen.of_part);
        stopped =
            run.report({Progress::Stage::end, restart, result.n_iter(), result.lower_bound, 0, result.converged}) ||
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
  });
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
  detail::Run<Covariance> run(passes, options, 0);
  if (state) run.resume(*state);
  auto result = run.from(start, previous_bound);
  result.events = run.events();
  if (state) *state = run.state();
  return result;
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
