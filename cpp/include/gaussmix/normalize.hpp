// From weighted log-densities of a block of rows to responsibilities, and log p(x_n), their log-sum-exp:
//
//   e_nk = exp(l_nk - m_n),   log p(x_n) = m_n + log sum_k e_nk,   r_nk = e_nk / sum_k e_nk,   m_n = max_k l_nk
//
// A panel of rows at a time, in registers. The exponential is of numbers that are not positive and whose results near the
// smallest number are dropped, so that a polynomial and a shift of the exponent do, without a division. All e_nk are kept
// times one power of two, such that those to be dropped are the ones whose shifted exponent is that of 0.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "gaussmix/panels.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Responsibilities below this become 0, in products of floats those below 1e-30: numbers near the smallest one slow
/// products down and count for nothing.
inline constexpr double negligible = 1e-300;

namespace detail {

/// What the exponential of a type needs to know of it. Results come times `unit`, so that 2^dropped, about what is
/// negligible, has the exponent of 0. log 2 comes in two parts: the first has so few digits that n times it is exact.
template <class Scalar>
struct Exponential;
template <>
struct Exponential<double> {
  using Bits = std::uint64_t;
  static constexpr int dropped = -997;
  static constexpr double unit = 0x1p-26, digits = 0x1.8p52;
  static constexpr double log2_high = 0x1.62e42feep-1, log2_low = 0x1.a39ef35793c76p-33;
  static constexpr int fraction = 52, terms = 12;
};
template <>
struct Exponential<float> {
  using Bits = std::uint32_t;
  static constexpr int dropped = -100;
  static constexpr float unit = 0x1p-27f, digits = 0x1.8p23f;
  static constexpr float log2_high = 0x1.62e4p-1f, log2_low = 0x1.7f7d1cp-20f;
  static constexpr int fraction = 23, terms = 7;
};

/// unit * exp(x) for numbers at most 0, within 2 units in the last place; 0 where exp(x) is negligible. For a few packets at
/// once: the chains of multiply-adds of one fill the waits of the others.
///
/// exp(x) = 2^n e^r, |r| <= log(2) / 2: the series of e^r. Added to a number whose last digits are those of -`dropped`,
/// x / log 2 is rounded to n - dropped, which lies ready to be shifted to where a number has its exponent.
template <class Scalar, int N>
EIGEN_ALWAYS_INLINE void exp_not_positive(Packet<Scalar> (&x)[N]) {
  using Eigen::internal::pmadd;
  using Eigen::internal::pset1;
  using Vector = Packet<Scalar>;
  using Type = Exponential<Scalar>;
  constexpr double factorial[] = {1, 1, 2, 6, 24, 120, 720, 5040., 40320., 362880., 3628800., 39916800., 479001600.};
  const auto term = [&](int i) { return pset1<Vector>(static_cast<Scalar>(1 / factorial[i])); };
  constexpr Scalar shift = Type::digits - Type::dropped, lowest = Type::dropped * Type::log2_high;
  Vector shifted[N], r[N], series[N];
  for (int i = 0; i < N; ++i) {
    x[i] = Eigen::internal::pmax(x[i], pset1<Vector>(lowest));
    shifted[i] = pmadd(x[i], pset1<Vector>(Scalar(1.4426950408889634)), pset1<Vector>(shift));
    const auto n = Eigen::internal::psub(shifted[i], pset1<Vector>(shift));
    r[i] = pmadd(n, pset1<Vector>(-Type::log2_low), pmadd(n, pset1<Vector>(-Type::log2_high), x[i]));
    series[i] = term(Type::terms);
  }
  for (int t = Type::terms - 1; t >= 0; --t)
    for (int i = 0; i < N; ++i) series[i] = pmadd(series[i], r[i], term(t));
  for (int i = 0; i < N; ++i) {
    // Eigen has no shift of a packet's bits; compilers see one here.
    typename Type::Bits bits[packet_size<Scalar>];
    std::memcpy(bits, &shifted[i], sizeof bits);
    for (auto& word : bits) word <<= Type::fraction;
    Vector two_to_n;
    std::memcpy(&two_to_n, bits, sizeof bits);
    x[i] = Eigen::internal::pmul(series[i], two_to_n);
  }
}

}  // namespace detail

/// Turns log-densities into responsibilities, but for a number of each row, in place.
///
/// \param table     whole panels of rows x K: in the first `rows` log pi_k + log N(x_n | k), then e_nk times a power of two;
///                  0 in the others
/// \param log_norm  log p(x_n), one for each of the first rows
/// \param inverse_sum  one over the sum of the table's row, for each of them: its product with the row is r_nk. Sums over
///                  rows have weights anyway
template <class Scalar>
void normalize(Index rows, Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>& table, Vector& log_norm,
               Vector& inverse_sum) {
  using Packet = detail::Packet<Scalar>;
  constexpr Index height = panel_rows<Scalar>, size = detail::packet_size<Scalar>;
  constexpr int packets = static_cast<int>(height / size);
  for (Index first = 0; first < rows; first += height) {
    const auto column = [&](Index k) { return table.data() + k * table.rows() + first; };
    Packet largest[packets], sum[packets];
    for (int i = 0; i < packets; ++i) {
      largest[i] = Eigen::internal::pload<Packet>(column(0) + i * size);
      sum[i] = Eigen::internal::pset1<Packet>(Scalar{0});
    }
    for (Index k = 1; k < table.cols(); ++k)
      for (int i = 0; i < packets; ++i)
        largest[i] = Eigen::internal::pmax(largest[i], Eigen::internal::pload<Packet>(column(k) + i * size));
    for (Index k = 0; k < table.cols(); ++k) {
      Packet e[packets];
      for (int i = 0; i < packets; ++i)
        e[i] = Eigen::internal::psub(Eigen::internal::pload<Packet>(column(k) + i * size), largest[i]);
      detail::exp_not_positive<Scalar>(e);
      for (int i = 0; i < packets; ++i) {
        Eigen::internal::pstore(column(k) + i * size, e[i]);
        sum[i] = Eigen::internal::padd(sum[i], e[i]);
      }
    }
    alignas(64) Eigen::Array<Scalar, height, 1> best, total;
    for (int i = 0; i < packets; ++i) {
      Eigen::internal::pstore(best.data() + i * size, largest[i]);
      Eigen::internal::pstore(total.data() + i * size, sum[i]);
    }
    const Index n = std::min(height, rows - first);
    log_norm.segment(first, n) = best.template cast<double>().head(n);
    inverse_sum.segment(first, n) = total.template cast<double>().head(n);
  }
  // Of all rows at once: each takes long to end, but many may run side by side.
  log_norm.array() += (inverse_sum.array() / double{detail::Exponential<Scalar>::unit}).log();
  inverse_sum = inverse_sum.cwiseInverse();
  table.bottomRows(table.rows() - rows).setZero();
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
