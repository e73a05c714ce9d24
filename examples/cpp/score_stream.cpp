// Loads a mixture that Python saved, and scores rows as they come, one at a time: how surprising is this one?
//
//   score_stream MODEL < ROWS         rows of numbers, separated by spaces and line ends
//   score_stream MODEL COUNT          COUNT rows drawn from the model itself
//
// Prints log p(row) and the likeliest component of each row, and at the end, on the error stream, how long a row took.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <gaussmix/any_mixture.hpp>
#include <gaussmix/io.hpp>
#include <gaussmix/sample.hpp>
#include <gaussmix/scorer.hpp>
#include <iostream>
#include <stdexcept>
#include <variant>
#include <vector>

using gaussmix::Index;

namespace {

/// Scores rows, and keeps how long each took.
template <class Covariance>
class Stream {
 public:
  explicit Stream(const gaussmix::Mixture<Covariance>& mixture) : scorer_(mixture) { nanoseconds_.reserve(1 << 20); }

  void take(const double* row) {
    const auto begin = std::chrono::steady_clock::now();
    const double log_p = scorer_.log_density(row);  // allocates nothing
    const auto end = std::chrono::steady_clock::now();
    nanoseconds_.push_back(std::chrono::duration<double, std::nano>(end - begin).count());
    std::printf("%.6f %lld\n", log_p, static_cast<long long>(scorer_.label()));
  }

  void report() {
    if (nanoseconds_.empty()) return;
    std::fprintf(stderr, "%zu rows, a row in %.0f ns (median), %.0f ns (99th percentile)\n", nanoseconds_.size(),
                 quantile(0.5), quantile(0.99));
  }

 private:
  double quantile(double q) {
    const auto at = static_cast<std::ptrdiff_t>(q * static_cast<double>(nanoseconds_.size() - 1));
    std::nth_element(nanoseconds_.begin(), nanoseconds_.begin() + at, nanoseconds_.end());
    return nanoseconds_[static_cast<std::size_t>(at)];
  }

  gaussmix::Scorer<Covariance> scorer_;
  std::vector<double> nanoseconds_;
};

template <class Covariance>
void score(const gaussmix::Mixture<Covariance>& mixture, Index count) {
  Stream<Covariance> stream(mixture);
  if (count > 0) {
    const auto drawn = gaussmix::sample(mixture, count, /*seed=*/0);
    for (Index i = 0; i < count; ++i) stream.take(drawn.x.row(i).data());
  } else {
    gaussmix::RowVector row(mixture.n_features());
    Index j = 0;
    while (std::cin >> row(j)) {
      if (++j < row.size()) continue;
      stream.take(row.data());
      j = 0;
    }
    if (!std::cin.eof() || j > 0) throw std::runtime_error("the input must be whole rows of numbers");
  }
  stream.report();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) {
    std::fprintf(stderr, "usage: score_stream MODEL [COUNT]\n");
    return 2;
  }
  try {
    // The type of covariance is in the file: what is loaded is a variant of the four types.
    const gaussmix::AnyMixture model = gaussmix::load(argv[1]);
    std::visit([&](const auto& mixture) { score(mixture, argc == 3 ? std::atoll(argv[2]) : 0); }, model);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "score_stream: %s\n", error.what());
    return 1;
  }
}
