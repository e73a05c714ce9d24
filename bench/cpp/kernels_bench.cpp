// The parts of a fit, for each covariance type, and for rows of double and of float where they are read.
#include "problem.hpp"

namespace {

using bench::PeakMemory;
using bench::Problem;
using bench::report;
using gaussmix::Diagonal;
using gaussmix::Full;
using gaussmix::Spherical;
using gaussmix::Tied;

/// Times body() and reports it.
template <class Problem, class Body>
void run(benchmark::State& state, const Problem& problem, double flops, const Body& body) {
  const PeakMemory peak;
  for (auto _ : state) body();
  report(state, problem.n, flops, peak.bytes());
}

template <class Covariance, class Scalar>
void accumulate(benchmark::State& state) {
  const Problem<Covariance, Scalar> p(state);
  run(state, p, p.dense_flops(),
      [&] { benchmark::DoNotOptimize(gaussmix::accumulate(p.mixture, p.data, p.n_threads)); });
}

template <class Covariance>
void maximize(benchmark::State& state) {
  const Problem<Covariance> p(state);
  const auto statistics = gaussmix::accumulate(p.mixture, p.data, p.n_threads);
  run(state, p, 0, [&] { benchmark::DoNotOptimize(gaussmix::maximize(statistics, 1e-6, nullptr, p.n_threads)); });
}

template <class Covariance, class Scalar>
void log_densities(benchmark::State& state) {
  const Problem<Covariance, Scalar> p(state);
  const gaussmix::LogProb<Covariance> log_prob(p.mixture, p.n_threads);
  std::vector<Scalar> out(static_cast<std::size_t>(p.n));
  run(state, p, p.dense_flops() / 2, [&] {
    gaussmix::log_densities(log_prob, p.data, out.data(), p.n_threads);
    benchmark::ClobberMemory();
  });
}

/// k-means++ alone, which no covariance has a part in.
template <class Scalar>
void seeding(benchmark::State& state) {
  const Problem<Spherical, Scalar> p(state);
  const gaussmix::KMeans kmeans(p.data, p.k, p.n_threads, {});
  const gaussmix::Random random(0, gaussmix::Purpose::seeding);
  run(state, p, 0, [&] { benchmark::DoNotOptimize(kmeans.seed(random)); });
}

/// k-means++, k-means, and the statistics of its clusters.
template <class Covariance, class Scalar>
void initialize(benchmark::State& state) {
  const Problem<Covariance, Scalar> p(state);
  run(state, p, 0, [&] {
    benchmark::DoNotOptimize(
        gaussmix::initialize<Covariance>(p.data, p.k, gaussmix::Initialization::kmeans, {}, 0, 0, p.n_threads, {}));
  });
}

template <class Covariance>
void sample(benchmark::State& state) {
  const Problem<Covariance> p(state);
  run(state, p, 0, [&] { benchmark::DoNotOptimize(gaussmix::sample(p.mixture, p.n, 0, p.n_threads)); });
}

/// A fit with the defaults, from k-means to convergence.
template <class Covariance, class Scalar>
void fit(benchmark::State& state) {
  const Problem<Covariance, Scalar> p(state);
  gaussmix::FitOptions options;
  options.n_threads = p.n_threads;
  int iterations = 0;
  run(state, p, 0, [&] { iterations = gaussmix::fit<Covariance>(p.data, p.k, options).n_iter(); });
  state.counters["em_iterations"] = iterations;
}

#define GAUSSMIX_BENCH_TYPES(NAME, SIZES)           \
  BENCHMARK_TEMPLATE(NAME, Full)->Apply(SIZES);     \
  BENCHMARK_TEMPLATE(NAME, Tied)->Apply(SIZES);     \
  BENCHMARK_TEMPLATE(NAME, Diagonal)->Apply(SIZES); \
  BENCHMARK_TEMPLATE(NAME, Spherical)->Apply(SIZES)
#define GAUSSMIX_BENCH_TYPES_AND_SCALARS(NAME, SIZES)        \
  BENCHMARK_TEMPLATE(NAME, Full, double)->Apply(SIZES);      \
  BENCHMARK_TEMPLATE(NAME, Full, float)->Apply(SIZES);       \
  BENCHMARK_TEMPLATE(NAME, Tied, double)->Apply(SIZES);      \
  BENCHMARK_TEMPLATE(NAME, Tied, float)->Apply(SIZES);       \
  BENCHMARK_TEMPLATE(NAME, Diagonal, double)->Apply(SIZES);  \
  BENCHMARK_TEMPLATE(NAME, Diagonal, float)->Apply(SIZES);   \
  BENCHMARK_TEMPLATE(NAME, Spherical, double)->Apply(SIZES); \
  BENCHMARK_TEMPLATE(NAME, Spherical, float)->Apply(SIZES)

GAUSSMIX_BENCH_TYPES_AND_SCALARS(accumulate, bench::kernel_sizes);
GAUSSMIX_BENCH_TYPES(maximize, bench::call_sizes);
GAUSSMIX_BENCH_TYPES_AND_SCALARS(log_densities, bench::kernel_sizes);
BENCHMARK_TEMPLATE(seeding, double)->Apply(bench::call_sizes);
BENCHMARK_TEMPLATE(seeding, float)->Apply(bench::call_sizes);
GAUSSMIX_BENCH_TYPES_AND_SCALARS(initialize, bench::call_sizes);
GAUSSMIX_BENCH_TYPES(sample, bench::call_sizes);
GAUSSMIX_BENCH_TYPES_AND_SCALARS(fit, bench::call_sizes);

}  // namespace
