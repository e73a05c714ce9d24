// From weighted log-densities of a block of rows to responsibilities, and log p(x_n), their log-sum-exp:
//
//   log p(x_n) = m_n + log sum_k exp(l_nk - m_n),   r_nk = exp(l_nk - log p(x_n)),   m_n = max_k l_nk
//
// A panel of rows at a time, in registers. The exponential is of numbers that are not positive and whose results near the
// smallest number are dropped, so that a polynomial and a shift of the exponent do, without a division.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "gaussmix/panels.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Responsibilities below this become 0: numbers near the smallest one slow products down and count for nothing.
template <class Scalar>
inline constexpr Scalar negligible = Scalar(1e-300);
template <>
inline constexpr float negligible<float> = 1e-30f;

namespace detail {

/// What the exponential of a type needs to know of it. log 2 comes in two parts: the first has so few digits that n times
/// it is exact.
template <class Scalar>
struct Exponential;
template <>
struct Exponential<double> {
  using Bits = std::uint64_t;
  static constexpr double lowest = -708, shift = 0x1.8p52 + 1023;
  static constexpr double log2_high = 0x1.62e42feep-1, log2_low = 0x1.a39ef35793c76p-33;
  static constexpr int fraction = 52, terms = 12;
};
template <>
struct Exponential<float> {
  using Bits = std::uint32_t;
  static constexpr float lowest = -87, shift = 0x1.8p23f + 127;
  static constexpr float log2_high = 0x1.62e4p-1f, log2_low = 0x1.7f7d1cp-20f;
  static constexpr int fraction = 23, terms = 7;
};

/// values = exp(values) for a panel of numbers at most 0, within 2 units in the last place; below the exponential of
/// `lowest` it is that.
///
/// exp(x) = 2^n e^r, |r| <= log(2) / 2: the series of e^r. Added to a number whose last digits are the exponent's bias,
/// x / log 2 is rounded to n, which lies ready to be shifted to where a number has its exponent.
template <class Scalar>
void exp_not_positive(Scalar* values) {
  using Eigen::internal::pmadd;
  using Eigen::internal::pset1;
  using Vector = Packet<Scalar>;
  using Type = Exponential<Scalar>;
  constexpr double factorial[] = {1, 1, 2, 6, 24, 120, 720, 5040., 40320., 362880., 3628800., 39916800., 479001600.};
  const auto term = [&](int i) { return pset1<Vector>(static_cast<Scalar>(1 / factorial[i])); };
  alignas(64) Scalar power[panel_rows<Scalar>];
  for (Index i = 0; i < panel_rows<Scalar>; i += packet_size<Scalar>) {
    const auto x = Eigen::internal::pmax(Eigen::internal::pload<Vector>(values + i), pset1<Vector>(Type::lowest));
    const auto shifted = pmadd(x, pset1<Vector>(Scalar(1.4426950408889634)), pset1<Vector>(Type::shift));
    const auto n = Eigen::internal::psub(shifted, pset1<Vector>(Type::shift));
    const auto r = pmadd(n, pset1<Vector>(-Type::log2_low), pmadd(n, pset1<Vector>(-Type::log2_high), x));
    auto series = term(Type::terms);
    for (int t = Type::terms - 1; t >= 0; --t) series = pmadd(series, r, term(t));
    Eigen::internal::pstore(values + i, series);
    Eigen::internal::pstore(power + i, shifted);
  }
  for (Index i = 0; i < panel_rows<Scalar>; ++i) {
    typename Type::Bits bits;
    std::memcpy(&bits, power + i, sizeof bits);
    bits <<= Type::fraction;
    Scalar two_to_n;
    std::memcpy(&two_to_n, &bits, sizeof bits);
    values[i] *= two_to_n;
  }
}

}  // namespace detail

/// Turns log-densities into responsibilities, in place.
///
/// \param table     whole panels of rows x K: in the first `rows` log pi_k + log N(x_n | k), then r_nk; 0 in the others
/// \param log_norm  log p(x_n), one for each of the first rows
template <class Scalar>
void normalize(Index rows, Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>& table, Vector& log_norm) {
  constexpr Index height = panel_rows<Scalar>;
  using Rows = Eigen::Array<Scalar, height, 1>;
  for (Index first = 0; first < rows; first += height) {
    const auto column = [&](Index k) {
      return Eigen::Map<Rows, panel_alignment<Scalar>>(table.data() + k * table.rows() + first);
    };
    Rows largest = column(0), sum = Rows::Zero();
    for (Index k = 1; k < table.cols(); ++k) largest = largest.max(column(k));
    alignas(64) Rows r;
    for (Index k = 0; k < table.cols(); ++k) {
      r = column(k) - largest;
      detail::exp_not_positive(r.data());
      r = (r - negligible<Scalar>).max(Scalar(0));
      column(k) = r;
      sum += r;
    }
    const Index n = std::min(height, rows - first);
    log_norm.segment(first, n) = (largest.template cast<double>() + sum.template cast<double>().log()).head(n);
    const Rows inverse = sum.inverse();
    for (Index k = 0; k < table.cols(); ++k) column(k) *= inverse;
  }
  table.bottomRows(table.rows() - rows).setZero();
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
