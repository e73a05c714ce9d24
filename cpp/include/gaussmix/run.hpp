// One run of expectation maximisation (Dempster, Laird, Rubin, 1977) from one start: E-step and M-step in turn until the mean
// log-likelihood changes by less than tol, or at first, after a start from a part of the rows, by less than a tenth of it.
//
// A component that collapses does not end the run: `maximize` floors its covariance, and one that has lost its rows is
// seeded anew on the rows that the model explains worst, at most 2 K times a run and never where the caller gave
// the start. The result names the first event of each kind and component. Between two of them, with reg_covar = 0, the
// likelihood does not fall, but by the rounding of floats, in iterations in which rounding hides that a covariance has become
// singular, and while a floor is held: it is added to what would be the maximum.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "gaussmix/fit_options.hpp"
#include "gaussmix/maximize.hpp"
#include "gaussmix/passes.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

namespace detail {

/// EM from one start.
template <class Covariance>
class Run {
 public:
  Run(const Passes<Covariance>& passes, const FitOptions& options, int restart)
      : passes_(passes),
        options_(options),
        restart_(restart),
        // A tolerance that the rounding of floats would hide asks for double. If it hides a tenth of one, the run is longer.
        products_(options.tol > 0 && options.tol < 1e-6 ? Products::full : Products::single) {}

  const std::vector<Event>& events() const { return events_; }

  RunState state() const { return {iteration_, reseeds_, floored_, events_}; }

  /// Goes on where a run in that state was: before `from`.
  void resume(const RunState& state) {
    earlier_ = iteration_ = state.iterations;
    reseeds_ = state.reseeds;
    floored_ = state.floored;
    events_ = state.events;
  }

  /// What starts and restarts are compared by: without floored covariances first, then by likelihood.
  std::pair<bool, double> ranked(double bound) const {
    return {
        std::none_of(events_.begin(), events_.end(), [](const Event& e) { return e.cause == Event::Cause::floored; }),
        bound};
  }

  /// EM from a mixture, whose first passes may be known, or which may be what EM came to on a part of the rows. The optimum of
  /// the whole is near that of a part, but where the likelihood is flat not near enough, though it hardly changes there: that
  /// `tol` does not end the run there, its first iterations ask for less of a change.
  FitResult<Covariance> from(Mixture<Covariance> mixture, double previous_bound,
                             std::vector<Statistics<Covariance>> known = {}, bool of_part = false) {
    constexpr int first = 10;
    FitResult<Covariance> result;
    for (int iteration = 1; iteration <= options_.max_iter && !result.converged && !result.stopped; ++iteration) {
      iteration_ = earlier_ + iteration;
      const auto at = static_cast<std::size_t>(iteration - 1);
      const auto statistics = at < known.size() ? std::move(known[at]) : passes_.accumulate(mixture, products_);
      auto [next, moved] = maximize_repaired(statistics, &mixture);
      const double bound = statistics.mean_log_likelihood(), change = bound - previous_bound;
      result.lower_bounds.push_back(bound);
      const double tol = of_part && iteration <= first ? 0.1 * options_.tol : options_.tol;
      result.converged = std::abs(change) < tol && !moved;
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

  /// Whether the callback stops the fit while its start is looked for.
  bool stopped_seeding() const { return report({Progress::Stage::seeding, restart_, 0, 0, 0, false}); }

  /// The passes of so many iterations and one more, for the likelihood: fewer where that changes by no more than `little`.
  /// `mixture` becomes the model of the last pass.
  /// \throws Stopped if the callback asks for it
  std::vector<Statistics<Covariance>> short_run(Mixture<Covariance>& mixture, std::size_t iterations, double little) {
    std::vector<Statistics<Covariance>> passes;
    double previous = std::numeric_limits<double>::quiet_NaN();
    while (true) {
      if (stopped_seeding()) throw Stopped();
      passes.push_back(passes_.accumulate(mixture, products_));
      const double bound = passes.back().mean_log_likelihood();
      // Random responsibilities begin at a saddle, where the likelihood hardly changes either.
      const bool rests = options_.initialization != Initialization::random && std::abs(bound - previous) <= little;
      if (passes.size() > iterations || rests) return passes;
      previous = bound;
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
    // Where a component moves by 1e8 of its deviations, or its rows are far narrower than its model, moments about another point
    // cancel to less than their rounding. About the new means they are the same, and do not.
    if (previous && (collapsed || narrowed(mixture, *previous, repairs.starved))) {
      const std::vector<Index> suspected(repairs.floored.begin() + static_cast<std::ptrdiff_t>(floored_.size()),
                                         repairs.floored.end());
      again = passes_.accumulate(*previous, Products::none, &statistics.means);
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

 private:
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

  const Passes<Covariance>& passes_;
  const FitOptions& options_;
  int restart_;
  Products products_;
  int iteration_ = 0, earlier_ = 0;
  int reseeds_ = 0;
  std::vector<Index> floored_;  // matrices that have the floor until the end of the run
  std::vector<Event> events_;
};

}  // namespace detail

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
