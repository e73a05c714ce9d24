// Rows and the mixture that they were drawn from, which is where everything here starts.
#pragma once

#include <benchmark/benchmark.h>

#include <cmath>

#include "gaussmix/gaussmix.hpp"
#include "machine.hpp"

namespace bench {

using gaussmix::Index;

/// How components lie, and with that which kernel computes them: `overlapping` ones (means half a deviation apart a
/// feature) go dense, those that are `apart` (four) are screened, and with a `narrow` one among them (a deviation of 1e-5)
/// the guard asks for the centred kernel. A shared covariance is then narrow in one direction (1e-3), for the whitened one.
enum Layout { overlapping, apart, narrow };

template <class Covariance>
gaussmix::Mixture<Covariance> make_mixture(Index k, Index d, Layout layout) {
  const gaussmix::Random random(0, gaussmix::Purpose::normals);
  gaussmix::Matrix means(k, d);
  for (Index i = 0; i < means.size(); ++i)
    means.data()[i] = (layout == apart ? 4 : 0.5) * random.normals(static_cast<std::uint64_t>(i))[0](0);
  gaussmix::Matrix covariances = gaussmix::Mixture<Covariance>(k, d).covariances;
  for (Index m = 0; m < covariances.rows(); ++m)
    Covariance::add_diagonal(covariances.row(m).data(), d,
                             layout == narrow && m == 0 && !Covariance::shared ? 1e-10 : 1);
  if (layout == narrow && Covariance::shared) {
    const gaussmix::RowVector across = gaussmix::RowVector::Constant(d, 1 / std::sqrt(static_cast<double>(d)));
    Covariance::add_outer(covariances.row(0).data(), across, 1e-6 - 1);
    means += (1e-3 - 1) * (means * across.transpose()).eval() * across;
  }
  return gaussmix::from_covariances<Covariance>(gaussmix::Vector::Ones(k), means, covariances);
}

/// n rows of `Scalar`, drawn from a mixture of K components in d dimensions.
template <class Covariance, class Scalar = double>
struct Problem {
  using Rows = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  explicit Problem(const benchmark::State& state)
      : n(state.range(0)),
        d(state.range(1)),
        k(state.range(2)),
        mixture(make_mixture<Covariance>(k, d, static_cast<Layout>(state.range(3)))),
        rows(gaussmix::sample(mixture, n, 0).x.template cast<Scalar>()),
        data(rows) {}

  Index n, d, k;
  gaussmix::Mixture<Covariance> mixture;
  Rows rows;
  gaussmix::Data data;
  int n_threads = gaussmix::default_threads();

  /// The flops of a dense pass, E-step and M-step: what is compared with DGEMM whatever a kernel really does.
  double dense_flops() const { return 4.0 * static_cast<double>(n * k * Covariance::features(d)); }
};

/// Reports rows and, where flops are given, GFLOP/s and their share of DGEMM; `bytes` is memory above the data.
inline void report(benchmark::State& state, Index rows, double flops, double bytes) {
  state.SetItemsProcessed(state.iterations() * rows);
  if (flops > 0) {
    const auto rate = benchmark::Counter::kIsIterationInvariantRate;
    state.counters["dense_gflops"] = benchmark::Counter(flops * 1e-9, rate);
    state.counters["share_of_dgemm"] = benchmark::Counter(flops * 1e-9 / dgemm_gflops(), rate);
  }
  state.counters["bytes_above_data"] = bytes;
}

/// Sizes: overlapping and apart; `narrow` only where it was asked for.
inline void sizes(benchmark::internal::Benchmark* b, bool with_narrow) {
  b->ArgNames({"n", "d", "K", "layout"})->Unit(benchmark::kMillisecond)->UseRealTime();
  for (int layout = overlapping; layout <= (with_narrow ? narrow : apart); ++layout)
    for (const auto& [n, d, k] : {std::tuple{100'000, 2, 8}, {50'000, 10, 16}, {20'000, 32, 32}, {5'000, 64, 64}})
      b->Args({n, d, k, layout});
}
inline void kernel_sizes(benchmark::internal::Benchmark* b) { sizes(b, true); }
inline void call_sizes(benchmark::internal::Benchmark* b) { sizes(b, false); }

}  // namespace bench
