// From weighted log-densities of a block of rows to responsibilities, and log p(x_n), their log-sum-exp:
//
//   e_nk = exp(l_nk - m_n),   log p(x_n) = m_n + log sum_k e_nk,   r_nk = e_nk / sum_k e_nk,   m_n = max_k l_nk
//
// A panel of rows at a time, in registers. The exponential is of numbers that are not positive and whose results near the
// smallest number are dropped, so that a polynomial and a shift of the exponent do, without a division. All e_nk are kept
// times one power of two, such that those to be dropped are the ones whose shifted exponent is that of 0. The logarithm is of
// a sum of which one term is 1.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "gaussmix/panels.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// Responsibilities below this become 0, in products of floats those below 1e-30: numbers near the smallest one slow
/// products down and count for nothing.
inline constexpr double negligible = 1e-300;

namespace detail {

/// What the exponential of a type needs to know of it. Results come times `unit`, so that 2^dropped, about what is
/// negligible, has the exponent of 0. `series` are the coefficients of the polynomial that is nearest to e^r where
/// |r| <= log(2) / 2, of all of its degree that begin with 1 + r: its largest relative error is 4e-18 before its
/// coefficients are rounded, of floats 1.1e-7 (Remez).
template <class Scalar>
struct Exponential;
template <>
struct Exponential<double> {
  using Bits = std::uint64_t;
  static constexpr int dropped = -997, fraction = 52;
  static constexpr double unit = 0x1p-26, digits = 0x1.8p52;
  static constexpr double series[] = {1,
                                      1,
                                      0.50000000000000106168,
                                      0.16666666666666412776,
                                      0.0416666666665302659,
                                      0.0083333333334943329902,
                                      0.0013888888943597711497,
                                      0.00019841269506779700391,
                                      2.4801493136177504654e-5,
                                      2.7557586266351829103e-6,
                                      2.7630233921259473198e-7,
                                      2.5000072315545364488e-8};
};
template <>
struct Exponential<float> {
  using Bits = std::uint32_t;
  static constexpr int dropped = -100, fraction = 23;
  static constexpr float unit = 0x1p-27f, digits = 0x1.8p23f;
  static constexpr float series[] = {
      1, 1, 0.49999231792890063f, 0.16667114471223361f, 0.041890113056424941f, 0.0083125243908908181f};
};

/// unit * exp(x) for numbers at most 0; 0 where exp(x) is negligible. For a few packets at once: the chains of multiply-adds
/// of one fill the waits of the others. The relative error is at most eps (2 + 0.2 |x|), without fused multiply-adds
/// eps (2 + 0.7 |x|): n log 2 is then rounded too.
///
/// exp(x) = 2^n e^r, |r| <= log(2) / 2. Added to a number whose last digits are those of -`dropped`, x / log 2 is rounded to
/// n - dropped, which lies ready to be shifted to where a number has its exponent. x is itself the rounded difference of two
/// numbers: digits of log 2 beyond those that a number has would not make exp(x) better known.
template <class Scalar, int N>
EIGEN_ALWAYS_INLINE void exp_not_positive(Packet<Scalar> (&x)[N]) {
  using Eigen::internal::pmadd;
  using Eigen::internal::pset1;
  using Vector = Packet<Scalar>;
  using Type = Exponential<Scalar>;
  constexpr Scalar log2 = Scalar(0.69314718055994531), shift = Type::digits - Type::dropped;
  constexpr int degree = static_cast<int>(std::size(Type::series)) - 1;
  Vector shifted[N], r[N], sum[N];
  unroll<N>([&](int i) {
    x[i] = Eigen::internal::pmax(x[i], pset1<Vector>(Type::dropped * log2));
    shifted[i] = pmadd(x[i], pset1<Vector>(1 / log2), pset1<Vector>(shift));
    r[i] = pmadd(Eigen::internal::psub(shifted[i], pset1<Vector>(shift)), pset1<Vector>(-log2), x[i]);
    sum[i] = pset1<Vector>(Type::series[degree]);
  });
  unroll<degree>([&](int t) {
    unroll<N>([&](int i) { sum[i] = pmadd(sum[i], r[i], pset1<Vector>(Type::series[degree - 1 - t])); });
  });
  unroll<N>([&](int i) {
    // Eigen has no shift of a packet's bits; compilers see one here.
    typename Type::Bits bits[packet_size<Scalar>];
    std::memcpy(bits, &shifted[i], sizeof bits);
    for (auto& word : bits) word <<= Type::fraction;
    Vector two_to_n;
    std::memcpy(&two_to_n, bits, sizeof bits);
    x[i] = Eigen::internal::pmul(sum[i], two_to_n);
  });
}

/// What the logarithm of a type needs to know of it. `root_half` are the bits of the root of 1/2, `whole` those of the number
/// from which on all are whole. `series` are the coefficients of the polynomial P that is nearest to
/// (log((1 + s) / (1 - s)) - 2 s) / s^3 in s^2 where (1 + s) / (1 - s) lies between the roots of 1/2 and 2: the logarithm is right
/// to 2e-18 before they are rounded, of floats to 1e-9 (Remez).
template <class Scalar>
struct Logarithm;
template <>
struct Logarithm<double> {
  using Bits = std::uint64_t;
  static constexpr Bits root_half = 0x3fe6a09e667f3bcd, whole = 0x4330000000000000;
  static constexpr int fraction = 52;
  static constexpr double series[] = {0.66666666666666697291, 0.39999999999898444811, 0.28571428626399253427,
                                      0.22222211072836892658, 0.18182893219063329341, 0.15331596948779520249,
                                      0.14617872817926538341};
};
template <>
struct Logarithm<float> {
  using Bits = std::uint32_t;
  static constexpr Bits root_half = 0x3f3504f3, whole = 0x4b000000;
  static constexpr int fraction = 23;
  static constexpr float series[] = {0.666666852717f, 0.399887165739f, 0.295821508399f};
};

/// log(x) for finite numbers from 1 on, in place, to eps (1 + log(x)); of others it is some number.
///
/// x = 2^n m with m between the roots of 1/2 and 2, f = m - 1, s = f / (2 + f): log m = 2 s + s^3 P(s^2) = f - s (f - s^2 P).
template <class Scalar, int N>
EIGEN_ALWAYS_INLINE void log_from_one(Packet<Scalar> (&x)[N]) {
  using Eigen::internal::pmadd;
  using Eigen::internal::pmul;
  using Eigen::internal::pset1;
  using Eigen::internal::psub;
  using Vector = Packet<Scalar>;
  using Type = Logarithm<Scalar>;
  constexpr int degree = static_cast<int>(std::size(Type::series)) - 1;
  Vector n[N], f[N], s[N], square[N], sum[N];
  unroll<N>([&](int i) {
    // Eigen has no arithmetic of a packet's bits; compilers see some here.
    typename Type::Bits bits[packet_size<Scalar>], exponents[packet_size<Scalar>];
    std::memcpy(bits, &x[i], sizeof bits);
    for (Index q = 0; q < packet_size<Scalar>; ++q) {
      const auto exponent = (bits[q] - Type::root_half) >> Type::fraction;
      bits[q] -= exponent << Type::fraction;
      exponents[q] = exponent | Type::whole;
    }
    std::memcpy(&x[i], bits, sizeof bits);
    std::memcpy(&n[i], exponents, sizeof exponents);
    constexpr auto whole = static_cast<Scalar>(typename Type::Bits{1} << Type::fraction);
    n[i] = psub(n[i], pset1<Vector>(whole));
    f[i] = psub(x[i], pset1<Vector>(1));
    s[i] = Eigen::internal::pdiv(f[i], Eigen::internal::padd(x[i], pset1<Vector>(1)));
    square[i] = pmul(s[i], s[i]);
    sum[i] = pset1<Vector>(Type::series[degree]);
  });
  unroll<degree>([&](int t) {
    unroll<N>([&](int i) { sum[i] = pmadd(sum[i], square[i], pset1<Vector>(Type::series[degree - 1 - t])); });
  });
  unroll<N>([&](int i) {
    const Vector log_m = psub(f[i], pmul(s[i], psub(f[i], pmul(square[i], sum[i]))));
    x[i] = pmadd(n[i], pset1<Vector>(Scalar(0.69314718055994531)), log_m);
  });
}

}  // namespace detail

/// Turns log-densities into responsibilities, but for a number of each row, in place.
///
/// \param table     whole panels of rows x K: in the first `rows` log pi_k + log N(x_n | k), then e_nk times a power of two;
///                  0 in the others
/// \param log_norm  log p(x_n), as many as these rows
/// \param inverse_sum  one over the sum of the table's row, for each of them: its product with the row is r_nk. Sums over
///                  rows have weights anyway
template <class Scalar>
void normalize(Index rows, Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>& table, Vector& log_norm,
               Vector& inverse_sum) {
  using Packet = detail::Packet<Scalar>;
  constexpr Index height = panel_rows<Scalar>, size = detail::packet_size<Scalar>;
  eigen_assert(log_norm.size() == rows && inverse_sum.size() == rows);
  constexpr int packets = static_cast<int>(height / size);
  for (Index first = 0; first < rows; first += height) {
    const auto column = [&](Index k) { return table.data() + k * table.rows() + first; };
    Packet largest[packets], sum[packets];
    detail::unroll<packets>([&](int i) {
      largest[i] = Eigen::internal::pload<Packet>(column(0) + i * size);
      sum[i] = Eigen::internal::pset1<Packet>(Scalar{0});
    });
    for (Index k = 1; k < table.cols(); ++k)
      detail::unroll<packets>([&](int i) {
        largest[i] = Eigen::internal::pmax(largest[i], Eigen::internal::pload<Packet>(column(k) + i * size));
      });
    for (Index k = 0; k < table.cols(); ++k) {
      Packet e[packets];
      detail::unroll<packets>([&](int i) {
        e[i] = Eigen::internal::psub(Eigen::internal::pload<Packet>(column(k) + i * size), largest[i]);
      });
      detail::exp_not_positive<Scalar>(e);
      detail::unroll<packets>([&](int i) {
        Eigen::internal::pstore(column(k) + i * size, e[i]);
        sum[i] = Eigen::internal::padd(sum[i], e[i]);
      });
    }
    alignas(64) Eigen::Array<Scalar, height, 1> best, total, log_total;
    detail::unroll<packets>([&](int i) {
      Eigen::internal::pstore(best.data() + i * size, largest[i]);
      Eigen::internal::pstore(total.data() + i * size, sum[i]);
      sum[i] = Eigen::internal::pmul(sum[i], Eigen::internal::pset1<Packet>(1 / detail::Exponential<Scalar>::unit));
    });
    detail::log_from_one<Scalar>(sum);
    detail::unroll<packets>([&](int i) { Eigen::internal::pstore(log_total.data() + i * size, sum[i]); });
    const Eigen::Array<double, height, 1> inverse = total.inverse().template cast<double>();
    const Eigen::Array<double, height, 1> log_sum = best.template cast<double>() + log_total.template cast<double>();
    if (first + height <= rows) {
      inverse_sum.segment<height>(first) = inverse;
      log_norm.segment<height>(first) = log_sum;
    } else {
      inverse_sum.tail(rows - first) = inverse.head(rows - first);
      log_norm.tail(rows - first) = log_sum.head(rows - first);
    }
  }
  table.bottomRows(table.rows() - rows).setZero();
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
