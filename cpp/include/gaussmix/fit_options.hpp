// What a fit is asked for, what it tells on its way, and what it returns.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "gaussmix/initialize.hpp"
#include "gaussmix/mixture.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Where a fit is: passed to the callback.
struct Progress {
  /// The parts of a restart.
  enum class Stage {
    start,      ///< a restart begins
    seeding,    ///< its start is looked for
    iteration,  ///< an iteration has been made
    end         ///< the restart has ended
  };
  Stage stage = Stage::start;  ///< where in a restart
  int restart = 0;             ///< from 0
  int iteration = 0;           ///< from 1 within a restart
  double lower_bound = 0;      ///< mean log-likelihood of the model before the iteration; at the end, of the result
  double change = 0;           ///< of the lower bound
  bool converged = false;      ///< whether the change was below `FitOptions::tol`
};

/// Something that EM had to repair.
struct Event {
  /// What had happened, and what was done.
  enum class Cause {
    floored,    ///< singular covariance: floor applied
    reseeded,   ///< no rows left: moved to a row that the model explains badly
    abandoned,  ///< no rows left: kept with its weight of about 0
    failed      ///< the restart ended without a model
  };
  Cause cause;      ///< the first of each kind and component of a restart is kept
  Index component;  ///< -1 where it is not one component's
  int restart;      ///< from 0
  int iteration;    ///< from 1; 0 in the start
};

/// What a run of EM knows beside its mixture and bound, so that it can go on after a break.
struct RunState {
  int iterations = 0;          ///< that were made
  int reseeds = 0;             ///< components that were moved
  std::vector<Index> floored;  ///< matrices that have the floor
  std::vector<Event> events;   ///< so far
};

/// Options of `fit`; the defaults are scikit-learn's.
struct FitOptions {
  /// On the change of the mean log-likelihood, nats; a tenth of it in the first ten iterations after a start from a part.
  double tol = 1e-3;
  double reg_covar = 1e-6;                                 ///< added to the variances
  int max_iter = 100;                                      ///< iterations of a restart at most
  int n_init = 1;                                          ///< restarts
  Initialization initialization = Initialization::kmeans;  ///< how starts are made
  Start start;                                             ///< parameters of the start that are given
  std::uint64_t seed = 0;                                  ///< of all random numbers
  bool reseed = true;   ///< whether components without rows are moved to others; never where `start` gives anything
  int n_threads = 1;    ///< at most; the result has the same bits with any number
  bool single = false;  ///< round the parameters of the result to float, and its lower bound with them
  bool score_result = true;  ///< whether a last pass finds the lower bound of the result; else it is minus infinity
  /// True stops the fit; the best model so far is returned. Called on the thread that called `fit`, which leads a team then:
  /// loops of OpenMP in it have one thread, and a process that is forked in it must end in it.
  std::function<bool(const Progress&)> callback;
};

/// What `fit` found.
template <class Covariance>
struct FitResult {
  Mixture<Covariance> mixture;                                    ///< after the last M-step of the best restart
  bool converged = false;                                         ///< whether that restart was
  bool stopped = false;                                           ///< by the callback
  double lower_bound = -std::numeric_limits<double>::infinity();  ///< mean log-likelihood of `mixture`
  std::vector<double> lower_bounds;                               ///< before each M-step
  std::vector<Event> events;                                      ///< of all restarts
  int restart = 0;                                                ///< the one that is returned
  /// Iterations of the restart that is returned.
  int n_iter() const { return static_cast<int>(lower_bounds.size()); }
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
