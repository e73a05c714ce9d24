// Loads a mixture that Python saved, and scores rows as they come, one at a time: how surprising is this one?
//
//   score_stream MODEL < ROWS         rows of numbers, separated by spaces and line ends
//   score_stream MODEL COUNT          COUNT rows drawn from the model itself
//
// Prints log p(row) and the likeliest component of each row, and at the end, on the error stream, how long one of the last
// 65,536 rows took.
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

/// Scores rows, and keeps how long the last ones took: a stream may have no end.
template <class Covariance>
class Stream {
 public:
  explicit Stream(const gaussmix::Mixture<Covariance>& mixture) : scorer_(mixture) { nanoseconds_.reserve(last); }

  void take(const double* row) {
    const auto begin = std::chrono::steady_clock::now();
    const double log_p = scorer_.log_density(row);  // allocates nothing
    const auto end = std::chrono::steady_clock::now();
    const double taken = std::chrono::duration<double, std::nano>(end - begin).count();
    if (nanoseconds_.size() < last)
      nanoseconds_.push_back(taken);
    else
      nanoseconds_[count_ % last] = taken;
    ++count_;
    std::printf("%.6f %lld\n", log_p, static_cast<long long>(scorer_.label()));
  }

  void report() {
    if (count_ == 0) return;
    std::fprintf(stderr, "%zu rows, a row in %.0f ns (median), %.0f ns (99th percentile)\n", count_, quantile(0.5),
                 quantile(0.99));
  }

 private:
  static constexpr std::size_t last = 65'536;

  double quantile(double q) {
    const auto at = static_cast<std::ptrdiff_t>(q * static_cast<double>(nanoseconds_.size() - 1));
    std::nth_element(nanoseconds_.begin(), nanoseconds_.begin() + at, nanoseconds_.end());
    return nanoseconds_[static_cast<std::size_t>(at)];
  }

  gaussmix::Scorer<Covariance> scorer_;
  std::vector<double> nanoseconds_;  // of the last rows, in any order
  std::size_t count_ = 0;            // of all rows
};

Index to_count(const char* text) {
  char* end = nullptr;
  const long count = std::strtol(text, &end, 10);
  if (end == text || *end != '\0' || count < 1) throw std::runtime_error(std::string("this is not a count: ") + text);
  return count;
}

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
    const Index count = argc == 3 ? to_count(argv[2]) : 0;
    std::visit([&](const auto& mixture) { score(mixture, count); }, model);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "score_stream: %s\n", error.what());
    return 1;
  }
}
