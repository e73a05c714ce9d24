// Log-sum-exp and responsibilities against long double.
#include "gaussmix/normalize.hpp"

#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Block;

/// Log-densities of n rows, in whole panels whose last rows are NaN.
Block panels_of(const Block& values) {
  Block table = Block::Constant(gaussmix::padded<double>(values.rows()), values.cols(), std::nan(""));
  table.topRows(values.rows()) = values;
  return table;
}

/// Errors of the exponential beyond two units in the last place, by |x|: those of n log 2.
#ifdef EIGEN_HAS_SINGLE_INSTRUCTION_MADD
constexpr double rounded = 0.2;
#else
constexpr double rounded = 0.7;
#endif

/// The exponentials of a panel of numbers, in place, without their unit.
template <class Scalar>
void exponentials(Scalar* values) {
  using Packet = gaussmix::detail::Packet<Scalar>;
  constexpr Index size = gaussmix::detail::packet_size<Scalar>;
  Packet x[3];
  for (Index i = 0; i < 3; ++i) x[i] = Eigen::internal::pload<Packet>(values + i * size);
  gaussmix::detail::exp_not_positive<Scalar>(x);
  for (Index i = 0; i < 3; ++i) Eigen::internal::pstore(values + i * size, x[i]);
  for (Index i = 0; i < 3 * size; ++i) values[i] /= gaussmix::detail::Exponential<Scalar>::unit;
}

TEST(Normalize, exponential_is_right_to_its_last_digits) {
  constexpr Index rows = gaussmix::panel_rows<double>;
  for (double x = -690; x <= 0; x += 0.0137) {
    alignas(64) double values[rows];
    for (Index i = 0; i < rows; ++i) values[i] = std::min(0.0, x + 1e-3 * static_cast<double>(i));
    const std::vector<double> arguments(values, values + rows);
    exponentials(values);
    for (Index i = 0; i < rows; ++i) {
      const double argument = arguments[static_cast<std::size_t>(i)];
      const Real expected = std::exp(Real{argument}), units = 2 - rounded * Real{argument};
      ASSERT_LE(std::abs(values[i] / expected - 1), units * std::numeric_limits<double>::epsilon()) << argument;
    }
  }
}

TEST(Normalize, exponential_of_floats_is_right_to_its_last_digits) {
  constexpr Index rows = gaussmix::panel_rows<float>;
  for (float x = -68; x <= 0; x += 0.0137f) {
    alignas(64) float values[rows];
    for (Index i = 0; i < rows; ++i) values[i] = std::min(0.0f, x + 1e-3f * static_cast<float>(i));
    const std::vector<float> arguments(values, values + rows);
    exponentials(values);
    for (Index i = 0; i < rows; ++i) {
      const float argument = arguments[static_cast<std::size_t>(i)];
      const double expected = std::exp(double{argument}), units = 2 - rounded * double{argument};
      ASSERT_LE(std::abs(values[i] / expected - 1), units * double{std::numeric_limits<float>::epsilon()}) << argument;
    }
  }
  alignas(64) float far[rows];
  std::fill_n(far, rows, -HUGE_VALF);
  exponentials(far);
  EXPECT_EQ(far[0], 0);
}

TEST(Normalize, zero_is_exact_and_what_lies_far_below_is_nothing) {
  constexpr Index rows = gaussmix::panel_rows<double>;
  alignas(64) double values[rows];
  std::fill_n(values, rows, 0.0);
  exponentials(values);
  EXPECT_EQ(*std::min_element(values, values + rows), 1);
  for (const double far : {-691.0, -708.0, -1e5, -1e300, -HUGE_VAL}) {
    std::fill_n(values, rows, far);
    exponentials(values);
    EXPECT_EQ(*std::max_element(values, values + rows), 0);
  }
}

/// Looks at logarithms of numbers from 1 on.
template <class Scalar>
void expect_right_logarithms() {
  using Packet = gaussmix::detail::Packet<Scalar>;
  constexpr Index size = gaussmix::detail::packet_size<Scalar>;
  const auto look = [&](Scalar argument) {
    alignas(64) Scalar arguments[size], values[size];
    for (Index q = 0; q < size; ++q) arguments[q] = argument * (1 + static_cast<Scalar>(q));
    std::copy_n(arguments, size, values);
    Packet x[1] = {Eigen::internal::pload<Packet>(values)};
    gaussmix::detail::log_from_one<Scalar>(x);
    Eigen::internal::pstore(values, x[0]);
    for (Index q = 0; q < size; ++q) {
      const Real expected = std::log(Real{arguments[q]}), error = std::abs(values[q] - expected);
      ASSERT_LT(error, (1 + expected) * Real{std::numeric_limits<Scalar>::epsilon()}) << arguments[q];
    }
  };
  for (Scalar x = 1; x < Scalar(1e9); x *= Scalar(1.0003)) look(x);
  for (const Scalar step : {Scalar(1e-3), std::numeric_limits<Scalar>::epsilon()})
    for (int i = -3000; i < 3000; ++i) {
      if (i >= 0) look(1 + static_cast<Scalar>(i) * step);
      look(std::sqrt(Scalar(2)) * (1 + static_cast<Scalar>(i) * step / 20));  // where the exponent changes
    }
}

TEST(Normalize, logarithm_is_right_to_its_last_digits) {
  expect_right_logarithms<double>();
  expect_right_logarithms<float>();
  using Packet = gaussmix::detail::Packet<double>;
  Packet one[1] = {Eigen::internal::pset1<Packet>(1.0)};
  gaussmix::detail::log_from_one<double>(one);
  EXPECT_EQ(Eigen::internal::pfirst(one[0]), 0);
}

TEST(Normalize, equals_the_reference) {
  for (const Index n : {1, 5, 24, 61})
    for (const Index k : {1, 2, 9, 40}) {
      const Block l = 30 * normals(n, k, 1);
      Block table = panels_of(l);
      Vector log_norm(n), inverse_sum(n);
      gaussmix::normalize(n, table, log_norm, inverse_sum);
      for (Index i = 0; i < n; ++i) {
        Real sum = 0;
        for (Index c = 0; c < k; ++c) sum += std::exp(Real{l(i, c)});
        EXPECT_NEAR(log_norm(i), static_cast<double>(std::log(sum)), 1e-13);
        for (Index c = 0; c < k; ++c)
          EXPECT_NEAR(table(i, c) * inverse_sum(i), static_cast<double>(std::exp(Real{l(i, c)}) / sum), 1e-15);
      }
      EXPECT_TRUE((table.bottomRows(table.rows() - n).array() == 0).all());
    }
}

TEST(Normalize, any_size_of_log_density) {
  Block l(4, 3);
  l << -1e300, -1e300, -1e299, 1e5, -HUGE_VAL, 1e5, -5e299, -5e299, -5e299, 0, -800, -680;
  Block table = panels_of(l);
  Vector log_norm(4), inverse_sum(4);
  gaussmix::normalize(4, table, log_norm, inverse_sum);
  EXPECT_TRUE(table.allFinite());
  EXPECT_EQ(log_norm(0), -1e299);
  EXPECT_DOUBLE_EQ(log_norm(1), 1e5 + std::log(2.0));
  const Block r = inverse_sum.asDiagonal() * table.topRows(4);
  EXPECT_EQ(r(0, 2), 1);
  EXPECT_EQ(r(1, 1), 0);
  EXPECT_EQ(r(1, 0), 0.5);
  EXPECT_DOUBLE_EQ(r(2, 1), 1.0 / 3);
  EXPECT_EQ(r(3, 1), 0);                             // below what is negligible
  EXPECT_NEAR(r(3, 2) / std::exp(-680.0), 1, 1e-4);  // above
}

}  // namespace
