// Where a restart of EM begins.
//
// Where it costs little up to 4 starts are drawn, and EM goes on from the one that is best after at most 5 iterations: the short
// runs of Biernacki, Celeux, Govaert, "Choosing starting values for the EM algorithm", 2003. Where the first two, of k-means
// or of rows, come to the same likelihood, clusters are so clear that most would.
//
// Where rows are many beside what such a model needs, starts are tried on some that stand for all, with n K (D + 20 d) <= 2.5e7
// for n of them, and EM over all rows begins where the best short run ended. Else they are tried on all rows, up to four times
// as many, and the passes of the short run are those that EM begins with.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <utility>
#include <vector>

#include "gaussmix/fit_options.hpp"
#include "gaussmix/initialize.hpp"
#include "gaussmix/maximize.hpp"
#include "gaussmix/passes.hpp"
#include "gaussmix/run.hpp"
#include "gaussmix/spread.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

namespace detail {

/// Mean log-likelihoods, in nats, that differ by less are taken for those of the same mixture.
inline constexpr double little_difference = 1e-6;

/// Starts that are compared, and the work that may be spent on each.
inline constexpr int n_trials = 4;
inline constexpr double trial_work = 2.5e7;

/// The start of a run.
template <class Covariance>
struct ChosenStart {
  Mixture<Covariance> mixture;
  std::vector<Statistics<Covariance>> passes;  ///< of the first iterations, as far as they are known
  RunState state;                              ///< what was repaired in the start
  bool of_part = false;                        ///< whether EM has come to it on a part of the rows
};

/// A start, and where a short run from it ends.
template <class Covariance>
struct Trial {
  ChosenStart<Covariance> start;
  Mixture<Covariance> reached;
  std::pair<bool, double> rank;  ///< of `reached`, as `Run::ranked`
  std::exception_ptr failure;    ///< if there is no model
};

/// Rows that stand for all, with weights.
struct Coreset {
  Matrix rows;
  Vector weights;

  Data data() const { return Data(rows).set_weights(weights.data()); }
};

/// Draws a row from each of `size` strata, in the order of the rows. Half of the draws are by weight, half by weight times the
/// squared distance from the mean, so that the few rows far out, which starts depend on, are not missed; a draw weighs the
/// inverse of its probability (Bachem, Lucic, Krause, "Scalable k-means clustering via lightweight coresets", 2018).
template <class = void>
Coreset draw_coreset(const Data& data, Index size, const Random& random, int n_threads) {
  const Spread spread = measure_spread(data, n_threads);
  const double typical = spread.variance * static_cast<double>(data.cols());
  const Lanes lanes = Spread::lanes(data);
  Vector masses(data.rows());
  parallel_for(lanes.count, n_threads, [&](Index lane) {
    Block z;
    lanes.for_blocks(lane, [&](Index first, Index n) {
      z.resize(n, data.cols());
      data.load(first, z, spread.frame());
      auto mass = masses.segment(first, n);
      data.load_weights(first, mass);
      if (typical > 0)
        mass = (mass.array() > 0).select(mass.array() * (0.5 + 0.5 / typical * z.rowwise().squaredNorm().array()), 0.0);
    });
  });
  Index last = 0;  // that has a weight
  for (Index i = 0; i < data.rows(); ++i)
    if (masses(i) > 0) last = i;
  std::vector<Index> rows;
  std::vector<double> weights;
  const double share = masses.sum() / static_cast<double>(size);
  double before = 0;
  Index row = 0;
  for (Index stratum = 0; stratum < size; ++stratum) {
    const double place =
        (static_cast<double>(stratum) + random.uniform(static_cast<std::uint64_t>(stratum))[0]) * share;
    for (; row < last && place >= before + masses(row); ++row) before += masses(row);
    if (rows.empty() || rows.back() != row) {
      rows.push_back(row);
      weights.push_back(0);
    }
    weights.back() += data.weight(row) / masses(row);
  }
  return {row_values(data, rows), Eigen::Map<const Vector>(weights.data(), static_cast<Index>(weights.size()))};
}

/// Adds d + 2 rows of the pooled covariance to each component of `rows` in all (in full; fewer numbers need fewer): the prior
/// of Fraley and Raftery, "Bayesian regularization for normal mixture estimation and model-based clustering", 2007. A cluster
/// that is small in a part of the rows would be singular there, and stay so in the whole, of a likelihood that is none.
template <class Covariance>
void smooth(Statistics<Covariance>& statistics, Index rows) {
  const Index d = statistics.n_features();
  const double prior = 2.0 * static_cast<double>(Covariance::features(d)) / static_cast<double>(1 + d);
  const double share = statistics.counts.sum() / static_cast<double>(rows);
  if (Covariance::shared || !(share > 0) || !statistics.finite()) return;
  const RowVector pooled = pooled_covariance(statistics);
  for (Index m = 0; m < statistics.covariances.rows(); ++m) {
    const double added = prior / (prior + statistics.mass(m) / share);
    statistics.covariances.row(m) += added * (pooled - statistics.covariances.row(m));
  }
}

/// Passes over rows that stand for more: smoothed.
template <class Covariance>
class PassesOverCoreset : public PassesOverData<Covariance> {
 public:
  PassesOverCoreset(const Data& data, int n_threads)
      : PassesOverData<Covariance>(data, n_threads), rows_(data.rows()) {}

  Statistics<Covariance> accumulate(const Mixture<Covariance>& mixture, Products products,
                                    const Matrix* about = nullptr) const override {
    auto statistics = PassesOverData<Covariance>::accumulate(mixture, products, about);
    smooth(statistics, rows_);
    return statistics;
  }

 private:
  Index rows_;
};

/// About what a start and an iteration take, for n rows. A factorisation takes what d rows do.
template <class Covariance>
double start_work(Index n, Index d, Index k) {
  return static_cast<double>(n) * static_cast<double>(k) * static_cast<double>(Covariance::features(d) + 20 * d);
}

/// Rows that tell starts apart: some thousand, and some for each number of a component; beyond these as many as a trial may
/// take, up to an eighth of all, with which four trials take half the time of one over all rows.
template <class Covariance>
Index coreset_rows(Index n, Index d, Index k) {
  const Index of_component = std::max<Index>(100, 20 * Covariance::features(d) / (1 + d));
  const auto affordable = static_cast<Index>(trial_work / start_work<Covariance>(1, d, k));
  return std::max({Index{2000}, k * of_component, std::min(n / 8, affordable)});
}

/// Draws a start.
template <class Covariance>
ChosenStart<Covariance> draw_start(const Data& data, const Passes<Covariance>& passes, Index k,
                                   const FitOptions& options, int restart, std::uint32_t stream,
                                   const Spread* spread = nullptr, bool is_coreset = false) {
  Run<Covariance> run(passes, options, restart);
  const Interrupt interrupt = [&run] { return run.stopped_seeding(); };
  auto statistics = initialize<Covariance>(data, k, options.initialization, options.start, options.seed, stream,
                                           options.n_threads, interrupt, spread);
  if (is_coreset) smooth(statistics, data.rows());
  auto mixture = apply_start(run.maximize_repaired(statistics, nullptr).first, options.start);
  return {std::move(mixture), {}, run.state(), false};
}

/// The best of some starts after a short run, if one of them leads to a model. Trials run side by side.
/// \throws Stopped if the callback asks for it
template <class Covariance>
Trial<Covariance> best_trial(const Data& data, const Passes<Covariance>& passes, Index k, const FitOptions& options,
                             int restart, bool is_coreset = false) {
  FitOptions quiet = options;
  quiet.callback = nullptr;  // which is for the thread that called
  const Run<Covariance> asked(passes, options, restart);
  const double pass = flops<Covariance>(data.rows(), data.cols(), k);
  const Spread spread = measure_spread(data, worth_threads(pass, options.n_threads));
  const auto try_start = [&](int number) {
    Trial<Covariance> trial;
    try {
      trial.start =
          draw_start<Covariance>(data, passes, k, quiet, restart,
                                 static_cast<std::uint32_t>(restart * n_trials + number), &spread, is_coreset);
      Run<Covariance> run(passes, quiet, restart);
      run.resume(trial.start.state);
      trial.reached = trial.start.mixture;
      trial.start.passes = run.short_run(trial.reached, 5, 0.1 * little_difference);
      trial.rank = run.ranked(trial.start.passes.back().mean_log_likelihood());
    } catch (const NotPositiveDefinite&) {
      trial.failure = std::current_exception();
    } catch (const DegenerateData&) {
      trial.failure = std::current_exception();
    }
    return trial;
  };
  // Some twenty passes, of k-means and of EM, are a trial.
  const int team = worth_threads(20 * n_trials * pass, std::min(n_trials, options.n_threads));
  std::vector<Trial<Covariance>> trials(static_cast<std::size_t>(n_trials));
  std::size_t best = 0;
  for (int first = 0; first < n_trials; first += team) {
    if (asked.stopped_seeding()) throw Stopped();
    parallel_for(std::min(team, n_trials - first), team, [&](Index i) {
      trials[static_cast<std::size_t>(first + i)] = try_start(first + static_cast<int>(i));
    });
    for (auto t = static_cast<std::size_t>(std::max(first, 1));
         t < static_cast<std::size_t>(std::min(first + team, n_trials)); ++t) {
      auto &kept = trials[best], &other = trials[t];
      if (other.failure) continue;
      const bool same = !kept.failure && other.rank.first == kept.rank.first &&
                        std::abs(other.rank.second - kept.rank.second) <= little_difference;
      // Random responsibilities all begin near the same saddle.
      if (same && t == 1 && options.initialization != Initialization::random) return std::move(kept);
      const bool better = kept.failure || (!same && other.rank > kept.rank);
      (better ? kept : other).start = {};  // the statistics of a large model are large
      if (better) best = t;
    }
  }
  return std::move(trials[best]);
}

}  // namespace detail

/// The start of a restart, drawn from the rows unless all of it is given: of several the best after a short run.
///
/// \param data     n x d rows
/// \param passes   over them
/// \param k        K
/// \param options  of the fit
/// \param restart  from 0: other random numbers for each
/// \returns the mixture that EM is to begin with, and what is known of its first passes
/// \throws NotPositiveDefinite, DegenerateData, Stopped  as `fit`
template <class Covariance>
detail::ChosenStart<Covariance> choose_start(const Data& data, const Passes<Covariance>& passes, Index k,
                                             const FitOptions& options, int restart) {
  using detail::best_trial, detail::draw_start, detail::start_work, detail::trial_work;
  const Start& given = options.start;
  if (given.complete())
    return {from_precisions<Covariance>(*given.weights, *given.means, *given.precisions), {}, {}, false};
  const Index n = data.rows(), d = data.cols(), size = detail::coreset_rows<Covariance>(n, d, k);
  const auto stream = static_cast<std::uint32_t>(restart);
  const bool several = !given.means && k > 1;
  if (several && !given.any() && options.initialization != Initialization::random && n >= 2 * size &&
      start_work<Covariance>(size + d, d, k) <= trial_work) {
    const auto coreset = detail::draw_coreset(data, size, Random(options.seed, Purpose::coreset, stream),
                                              worth_threads(2 * flops<Covariance>(n, d, 1), options.n_threads));
    if (coreset.rows.rows() >= k) {
      const Data part = coreset.data();
      const detail::PassesOverCoreset<Covariance> passes_over_part(part, options.n_threads);
      auto trial = best_trial<Covariance>(part, passes_over_part, k, options, restart, true);
      // What is singular in a part need not be so in the whole, or in another start.
      if (!trial.failure && trial.rank.first) return {std::move(trial.reached), {}, {}, true};
    }
  }
  if (!several || start_work<Covariance>(n + d, d, k) > detail::n_trials * trial_work)
    return draw_start<Covariance>(data, passes, k, options, restart, stream);
  auto trial = best_trial<Covariance>(data, passes, k, options, restart);
  if (trial.failure) std::rethrow_exception(trial.failure);
  return std::move(trial.start);
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
