// Problems drawn at random, of every size that makes a difference (rows that fill no panel, one feature, more components
// than registers, several slices of features), of floats and doubles in any layout, with weights and offsets, against the
// dense reference in long double. A failure tells the seed of its problem: GAUSSMIX_PROPERTY_SEED=SEED runs that one
// alone, and GAUSSMIX_PROPERTY_TRIALS=N runs N of them.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>
#include <sstream>

#include "gaussmix/instances.hpp"
#include "gaussmix/scorer.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Data;
using gaussmix::LogProb;

/// A number that the environment gives, or another.
unsigned from_environment(const char* name, unsigned otherwise) {
  const char* text = std::getenv(name);
  return text ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

/// How rows lie in memory: a row after the other, a column after the other, or every second number of every second row.
enum class Layout { by_row, by_column, with_gaps };

/// A copy of rows, as floats or doubles, in some layout.
class Rows {
 public:
  Rows() = default;
  Rows(const Matrix& x, Layout layout, bool single) : cols_(x.cols()), single_(single) {
    row_stride_ = layout == Layout::by_row ? cols_ : layout == Layout::by_column ? 1 : 4 * cols_;
    col_stride_ = layout == Layout::by_row ? 1 : layout == Layout::by_column ? x.rows() : 2;
    const auto size = static_cast<std::size_t>(4 * x.size());
    floats_.assign(single ? size : 0, std::nanf(""));
    doubles_.assign(single ? 0 : size, std::nan(""));
    for (Index i = 0; i < x.rows(); ++i)
      for (Index j = 0; j < cols_; ++j) {
        const auto at = static_cast<std::size_t>(i * row_stride_ + j * col_stride_);
        single ? floats_[at] = static_cast<float>(x(i, j)) : doubles_[at] = x(i, j);
      }
  }

  Data view(Index first, Index count) const {
    const Index at = first * row_stride_;
    return single_ ? Data(floats_.data() + at, count, cols_, row_stride_, col_stride_)
                   : Data(doubles_.data() + at, count, cols_, row_stride_, col_stride_);
  }

 private:
  Index cols_ = 0, row_stride_ = 0, col_stride_ = 0;
  bool single_ = false;
  std::vector<float> floats_;
  std::vector<double> doubles_;
};

/// A mixture, and rows with weights.
template <class Covariance>
struct Problem {
  Index n, d, k;
  int n_threads;
  double offset;
  bool weighted, single;
  Layout layout;
  Rows rows;
  gaussmix::Mixture<Covariance> mixture;
  Matrix x;  ///< the same rows
  std::vector<double> weights;

  explicit Problem(unsigned seed) {
    std::mt19937 engine(seed);
    const auto draw = [&](Index low, Index high) { return std::uniform_int_distribution<Index>(low, high)(engine); };
    // Small sizes are as likely as large ones.
    const auto size = [&](Index low, Index high) { return draw(low, draw(low, high)); };
    n = size(1, 300);
    d = size(1, 25);
    k = size(1, 20);
    n_threads = static_cast<int>(draw(1, 3));
    offset = draw(0, 2) == 0 ? 1000.0 : 0.0;
    weighted = draw(0, 1) == 1;
    single = draw(0, 2) == 0;
    layout = static_cast<Layout>(draw(0, 2));
    mixture = random_mixture<Covariance>(k, d, seed, static_cast<double>(draw(0, 4)), 100);
    mixture.means.array() += offset;
    x = rows_near(mixture, n, seed + 1);
    if (single) x = x.cast<float>().cast<double>().eval();
    rows = Rows(x, layout, single);
    if (!weighted) return;
    weights = uniforms(n, 0, 3, seed + 2);
    for (std::size_t i = 1; i < weights.size(); i += 5) weights[i] = 0;
  }

  Data data() const {
    Data view = rows.view(0, n);
    if (weighted) view.set_weights(weights.data());
    return view;
  }

  std::string describe(unsigned seed) const {
    std::ostringstream out;
    out << "GAUSSMIX_PROPERTY_SEED=" << seed << ": n = " << n << ", d = " << d << ", K = " << k << ", offset " << offset
        << (weighted ? ", weighted, " : ", ") << (single ? "floats, " : "doubles, ") << "layout "
        << static_cast<int>(layout) << ", " << n_threads << " threads";
    return out.str();
  }
};

template <class Covariance>
struct Property : testing::Test {
  /// Calls body(problem) for problems of seeds that all differ, or for the one that was asked for.
  template <class Body>
  static void for_problems(const Body& body) {
    const char* asked = std::getenv("GAUSSMIX_PROPERTY_SEED");
    const unsigned trials = asked ? 1 : from_environment("GAUSSMIX_PROPERTY_TRIALS", 100);
    for (unsigned trial = 0; trial < trials; ++trial) {
      const unsigned seed = from_environment("GAUSSMIX_PROPERTY_SEED", 10007 * (trial + 1));
      const Problem<Covariance> problem(seed);
      SCOPED_TRACE(problem.describe(seed));
      body(problem);
    }
  }
};
TYPED_TEST_SUITE(Property, AllTypes, TypeNames);

TYPED_TEST(Property, a_pass_gives_the_moments_of_the_reference) {
  this->for_problems([](const auto& p) {
    auto expected = reference::accumulate(p.mixture, p.x, p.weights);
    for (const auto products : {gaussmix::Products::none, gaussmix::Products::full}) {
      auto found = gaussmix::accumulate(p.mixture, p.data(), p.n_threads, products);
      EXPECT_NEAR(found.total_weight, static_cast<double>(expected.total_weight), 1e-12 * found.total_weight);
      EXPECT_NEAR(found.mean_log_likelihood(), static_cast<double>(expected.log_likelihood / expected.total_weight),
                  1e-9);
      EXPECT_TRUE(close(found.counts, column(expected.counts), 1e-10L, expected.total_weight));
      // Means and covariances over next to no rows are those of rounding.
      for (Index c = 0; c < p.k; ++c) {
        if (expected.counts[static_cast<std::size_t>(c)] > 1e-6L * expected.total_weight) continue;
        for (Index j = 0; j < p.d; ++j) expected.means(c, j) = found.means(c, j) = 0;
        for (Index j = 0; j < expected.covariances.cols && !TypeParam::shared; ++j)
          expected.covariances(c, j) = found.covariances(c, j) = 0;
      }
      EXPECT_TRUE(close(found.means, expected.means, 1e-9L, 1 + Real{p.offset}));
      EXPECT_TRUE(close(found.covariances, expected.covariances, 1e-8L, 1));
    }
  });
}

TYPED_TEST(Property, predictions_are_those_of_the_reference) {
  this->for_problems([](const auto& p) {
    const auto e = reference::expect(p.mixture, p.x);
    const LogProb<TypeParam> log_prob(p.mixture);
    gaussmix::Scorer<TypeParam> scorer(p.mixture);
    Vector l(p.n), one_by_one(p.n);
    Matrix r(p.n, p.k);
    gaussmix::log_densities(log_prob, p.data(), l.data(), p.n_threads);
    gaussmix::responsibilities(log_prob, p.data(), r.data(), p.n_threads);
    for (Index i = 0; i < p.n; ++i) one_by_one(i) = scorer.log_density(p.x.row(i).data());
    EXPECT_TRUE(close(l, column(e.log_norm), 1e-9L, 1));
    EXPECT_TRUE(close(one_by_one, column(e.log_norm), 1e-9L, 1));
    EXPECT_TRUE(close(r, e.r, 1e-9L, 1));
  });
}

TYPED_TEST(Property, parts_of_the_rows_merge_to_the_whole) {
  this->for_problems([](const auto& p) {
    if (p.n < 2) return;
    const Index first = 1 + p.n / 3;
    Data head = p.rows.view(0, first), tail = p.rows.view(first, p.n - first);
    // Weights that a part has none of are refused by the library.
    const std::vector<double> ones(static_cast<std::size_t>(p.n), 1.0);
    const auto& weights = p.weighted ? p.weights : ones;
    const auto some = [](auto begin, auto end) { return std::any_of(begin, end, [](double w) { return w > 0; }); };
    if (!some(weights.begin(), weights.begin() + first) || !some(weights.begin() + first, weights.end())) return;
    head.set_weights(weights.data());
    tail.set_weights(weights.data() + first);
    auto merged = gaussmix::accumulate(p.mixture, head, 1, gaussmix::Products::full);
    merged.merge(gaussmix::accumulate(p.mixture, tail, 1, gaussmix::Products::full));
    const auto whole = gaussmix::accumulate(p.mixture, p.data(), 1, gaussmix::Products::full);
    const double total = whole.total_weight;
    EXPECT_NEAR(merged.total_weight, total, 1e-12 * total);
    EXPECT_NEAR(merged.log_likelihood, whole.log_likelihood, 1e-9 * (total + std::abs(whole.log_likelihood)));
    EXPECT_TRUE(close(merged.counts, whole.counts, 1e-9L, total));
    // Sums, and not averages: components of small counts weigh as little as they should.
    const Matrix sums = merged.counts.asDiagonal() * merged.means, expected = whole.counts.asDiagonal() * whole.means;
    EXPECT_TRUE(close(sums, expected, 1e-9L, total * (1 + p.offset)));
  });
}

TYPED_TEST(Property, an_iteration_does_not_lower_the_likelihood) {
  this->for_problems([](const auto& p) {
    if (p.n < 4 * p.d) return;  // else covariances are singular
    const auto statistics = gaussmix::accumulate(p.mixture, p.data(), p.n_threads, gaussmix::Products::full);
    gaussmix::Repairs repairs;
    const auto next = gaussmix::maximize(statistics, 0, &repairs);
    if (!repairs.floored.empty() || !repairs.starved.empty()) return;
    const double then = gaussmix::score(LogProb<TypeParam>(next), p.data());
    EXPECT_GE(then, statistics.mean_log_likelihood() - 1e-9);
  });
}

}  // namespace
