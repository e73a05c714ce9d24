// From weighted log-densities of a block of rows to responsibilities, and log p(x_n), their log-sum-exp:
//
//   log p(x_n) = m_n + log sum_k exp(l_nk - m_n),   r_nk = exp(l_nk - log p(x_n)),   m_n = max_k l_nk
//
// A panel of rows at a time, in registers. The exponential is of numbers that are not positive and whose results below
// `negligible` are dropped, so that a polynomial and a shift of the exponent do, without a division.
#pragma once

#include <cfloat>
#include <cstdint>
#include <cstring>

#include "gaussmix/panels.hpp"

#if defined(__FAST_MATH__) || FLT_EVAL_METHOD == 2
#error "gaussmix needs the rounding of IEEE 754 doubles, infinities and NaN: compile without -ffast-math, with SSE2."
#endif

namespace gaussmix {

/// Responsibilities below this become 0: numbers near the smallest double slow products down and count for nothing.
inline constexpr double negligible = 1e-300;

namespace detail {

/// values = exp(values) for a panel of numbers at most 0, within 2 units in the last place; below e^-708 it is e^-708.
///
/// exp(x) = 2^n e^r, |r| <= log(2) / 2: the series of e^r to r^12. Added to a number whose last digits are the exponent's
/// bias, x / log 2 is rounded to n, which lies ready to be shifted to where a double has its exponent.
inline void exp_not_positive(double* values) {
  using Eigen::internal::pmadd;
  using Eigen::internal::pset1;
  using Vector = Packet<double>;
  constexpr double shift = 0x1.8p52 + 1023, log2_high = 0x1.62e42feep-1, log2_low = 0x1.a39ef35793c76p-33;
  constexpr double factorial[] = {1, 1, 2, 6, 24, 120, 720, 5040., 40320., 362880., 3628800., 39916800., 479001600.};
  alignas(64) double power[panel_rows<double>];
  for (Index i = 0; i < panel_rows<double>; i += packet_size<double>) {
    const auto x = Eigen::internal::pmax(Eigen::internal::pload<Vector>(values + i), pset1<Vector>(-708.0));
    const auto shifted = pmadd(x, pset1<Vector>(1.4426950408889634), pset1<Vector>(shift));
    const auto n = Eigen::internal::psub(shifted, pset1<Vector>(shift));
    const auto r = pmadd(n, pset1<Vector>(-log2_low), pmadd(n, pset1<Vector>(-log2_high), x));
    auto series = pset1<Vector>(1 / factorial[12]);
    for (int term = 11; term >= 0; --term) series = pmadd(series, r, pset1<Vector>(1 / factorial[term]));
    Eigen::internal::pstore(values + i, series);
    Eigen::internal::pstore(power + i, shifted);
  }
  for (Index i = 0; i < panel_rows<double>; ++i) {
    std::uint64_t bits;
    std::memcpy(&bits, power + i, sizeof bits);
    bits <<= 52;
    double two_to_n;
    std::memcpy(&two_to_n, &bits, sizeof bits);
    values[i] *= two_to_n;
  }
}

}  // namespace detail

/// Turns log-densities into responsibilities, in place.
///
/// \param table     whole panels of rows x K: in the first `rows` log pi_k + log N(x_n | k), then r_nk; 0 in the others
/// \param log_norm  log p(x_n), one for each of the first rows
inline void normalize(Index rows, Block& table, Vector& log_norm) {
  using Rows = Eigen::Array<double, panel_rows<double>, 1>;
  for (Index first = 0; first < rows; first += panel_rows<double>) {
    const auto column = [&](Index k) {
      return Eigen::Map<Rows, panel_alignment<double>>(table.data() + k * table.rows() + first);
    };
    Rows largest = column(0), sum = Rows::Zero();
    for (Index k = 1; k < table.cols(); ++k) largest = largest.max(column(k));
    alignas(64) Rows r;
    for (Index k = 0; k < table.cols(); ++k) {
      r = column(k) - largest;
      detail::exp_not_positive(r.data());
      r = (r - negligible).max(0.0);
      column(k) = r;
      sum += r;
    }
    const Index n = std::min(panel_rows<double>, rows - first);
    log_norm.segment(first, n) = (largest + sum.log()).head(n);
    const Rows inverse = sum.inverse();
    for (Index k = 0; k < table.cols(); ++k) column(k) *= inverse;
  }
  table.bottomRows(table.rows() - rows).setZero();
}

}  // namespace gaussmix
