// One pass of EM, for each covariance type: rows per second, and the flops that the dense kernel would make.
#include <benchmark/benchmark.h>

#include "gaussmix/accumulate.hpp"
#include "gaussmix/sample.hpp"

namespace {

using gaussmix::Index;

/// A mixture of unit variances whose means lie `apart` deviations from each other a feature.
template <class Covariance>
gaussmix::Mixture<Covariance> make_mixture(Index k, Index d, double apart) {
  const gaussmix::Random random(0, gaussmix::Purpose::normals);
  gaussmix::Matrix means(k, d);
  for (Index i = 0; i < means.size(); ++i)
    means.data()[i] = apart * random.normals(static_cast<std::uint64_t>(i))[0](0);
  gaussmix::Matrix covariances = gaussmix::Mixture<Covariance>(k, d).covariances;
  for (Index m = 0; m < covariances.rows(); ++m) Covariance::add_diagonal(covariances.row(m).data(), d, 1);
  return gaussmix::from_covariances<Covariance>(gaussmix::Vector::Ones(k), means, covariances);
}

template <class Covariance>
void accumulate(benchmark::State& state) {
  const Index n = state.range(0), d = state.range(1), k = state.range(2);
  const auto mixture = make_mixture<Covariance>(k, d, state.range(3) ? 4 : 0.5);
  const auto rows = gaussmix::sample(mixture, n, 0).x;
  const int n_threads = gaussmix::default_threads();
  for (auto _ : state) benchmark::DoNotOptimize(gaussmix::accumulate(mixture, gaussmix::Data(rows), n_threads));
  state.SetItemsProcessed(state.iterations() * n);
  state.counters["dense_flops"] = benchmark::Counter(4.0 * static_cast<double>(n * k * Covariance::features(d)),
                                                     benchmark::Counter::kIsIterationInvariantRate);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"n", "d", "K", "apart"})->Unit(benchmark::kMillisecond)->UseRealTime();
  for (const std::int64_t apart : {0, 1}) {
    b->Args({100'000, 2, 8, apart})->Args({50'000, 10, 16, apart})->Args({20'000, 32, 32, apart});
    b->Args({5'000, 64, 64, apart});
  }
}

BENCHMARK_TEMPLATE(accumulate, gaussmix::Full)->Apply(sizes);
BENCHMARK_TEMPLATE(accumulate, gaussmix::Tied)->Apply(sizes);
BENCHMARK_TEMPLATE(accumulate, gaussmix::Diagonal)->Apply(sizes);
BENCHMARK_TEMPLATE(accumulate, gaussmix::Spherical)->Apply(sizes);

}  // namespace
