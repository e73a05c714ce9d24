// Random numbers without state: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
// 2011), a bijection of 128-bit counters under a 64-bit key. Number i of a stream is a function of (seed, stream, i), so
// any thread can draw any part. Integers are the same everywhere; the normals differ between platforms in their last
// digits, where multiply-adds are rounded once or twice.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <cstring>

#include "gaussmix/types.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// What a stream of numbers is for. A restart of a fit is part of the stream too.
enum class Purpose : std::uint32_t { seeding = 1, responsibilities = 2, labels = 3, normals = 4, coreset = 5 };

/// The stream of random numbers of one seed, purpose and restart.
class Random {
 public:
  /// Places that are drawn at once, so that the loops over them vectorise: always as many, so that the bits of a number
  /// do not depend on where it stands among them.
  static constexpr int batch = 64;
  using Batch = Eigen::Array<double, batch, 1>;
  using Pair = std::array<Batch, 2>;

  Random(std::uint64_t seed, Purpose purpose, std::uint32_t restart = 0)
      : key_{low(seed), high(seed)}, purpose_(static_cast<std::uint32_t>(purpose)), restart_(restart) {}

  /// The 128 bits at a place of the stream.
  std::array<std::uint32_t, 4> bits(std::uint64_t place) const {
    const auto c = words(place);
    return {low(c[0]), low(c[1]), low(c[2]), low(c[3])};
  }

  /// The number of ones among the bits at the places first, first + 1, ..., first + batch - 1.
  int ones(std::uint64_t first) const {
    std::array<std::uint64_t, batch> even, odd;
    for (std::size_t i = 0; i < even.size(); ++i) {
      const auto b = words(first + i);
      even[i] = b[0] << 32 | b[1];
      odd[i] = b[2] << 32 | b[3];
    }
    int count = 0;
    for (std::size_t i = 0; i < even.size(); ++i) count += ones_of(even[i]) + ones_of(odd[i]);
    return count;
  }

  /// The number of ones among the bits of a number.
  static int ones_of(std::uint64_t bits) { return static_cast<int>(std::bitset<64>(bits).count()); }

  /// Two independent uniform numbers in the open interval (0, 1), with 52 bits.
  std::array<double, 2> uniform(std::uint64_t place) const {
    const auto b = words(place);
    return {open_unit(b[0], b[1]), open_unit(b[2], b[3])};
  }

  /// `uniform` at the places first, first + 1, ..., first + batch - 1.
  Pair uniforms(std::uint64_t first) const {
    Pair u;
    double *u0 = u[0].data(), *u1 = u[1].data();
    for (int i = 0; i < batch; ++i) {
      const auto b = words(first + static_cast<std::uint64_t>(i));
      u0[i] = open_unit(b[0], b[1]);
      u1[i] = open_unit(b[2], b[3]);
    }
    return u;
  }

  /// Two independent standard normal numbers a place: sqrt(-2 log u) (cos, sin)(2 pi v) (Box and Muller, 1958), at the
  /// places first, first + 1, ..., first + batch - 1.
  Pair normals(std::uint64_t first) const {
    Pair z = uniforms(first);
    Batch radius;
    for (int i = 0; i < batch; ++i) radius(i) = -2 * log_unit(z[0](i));
    radius = radius.sqrt();
    for (int i = 0; i < batch; ++i) turn(radius(i), z[1](i), z[0](i), z[1](i));
    return z;
  }

 private:
  static std::uint32_t low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
  static std::uint32_t high(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }

  /// `bits`, each in 64: the products of two of them fit, and vectorise.
  std::array<std::uint64_t, 4> words(std::uint64_t place) const {
    std::uint64_t c0 = low(place), c1 = high(place), c2 = purpose_, c3 = restart_;
    std::uint32_t k0 = key_[0], k1 = key_[1];
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
      const std::uint64_t a = std::uint64_t{0xD2511F53u} * low(c0), b = std::uint64_t{0xCD9E8D57u} * low(c2);
      c0 = high(b) ^ c1 ^ k0;
      c1 = low(b);
      c2 = high(a) ^ c3 ^ k1;
      c3 = low(a);
    }
    return {c0, c1, c2, c3};
  }

  /// 52 bits, and a last one for the middle of the interval that they stand for: 1.bits - 1 is exact.
  static double open_unit(std::uint64_t a, std::uint64_t b) {
    const std::uint64_t word = (a << 32 | b) >> 12 | 0x3FF0000000000000u;
    double one_and;
    std::memcpy(&one_and, &word, sizeof word);
    return one_and - (1 - 0x1p-53);
  }

  /// log u, 0 < u < 1, within 2 units in the last place: u = 2^n m, 1 <= 2 m^2 < 4, and log m is the series of
  /// 2 artanh s, s = (m - 1) / (m + 1).
  static double log_unit(double u) {
    constexpr double log2_high = 0x1.62e42fefa3800p-1, log2_low = 0x1.ef35793c76730p-45,
                     root_half = 0.70710678118654752;
    constexpr std::uint64_t one = 0x3FF0000000000000u, fraction = 0x000FFFFFFFFFFFFFu;
    std::uint64_t bits;
    std::memcpy(&bits, &root_half, sizeof bits);
    const std::uint64_t from_root = one - bits;
    std::memcpy(&bits, &u, sizeof bits);
    // Counted from the root, whole powers of 2 are n; as the last digits of a large number they become a double.
    const std::uint64_t shifted = bits + from_root, power = (shifted >> 52) | 0x4330000000000000u;
    double n, m;
    std::memcpy(&n, &power, sizeof n);
    n -= 0x1p52 + 1023;
    const std::uint64_t mantissa = (shifted & fraction) + (one - from_root);
    std::memcpy(&m, &mantissa, sizeof m);
    const double s = (m - 1) / (m + 1), square = s * s;
    double series = 2.0 / 21;
    for (const double c : {2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13, 2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3})
      series = series * square + c;
    return n * log2_high + (2 * s + (s * square * series + n * log2_low));
  }

  /// x = r cos(2 pi v), y = r sin(2 pi v), 0 < v < 1: quarter turns come off without rounding, and what remains, at most
  /// pi / 4, goes into the Taylor series.
  static void turn(double r, double v, double& x, double& y) {
    constexpr double shift = 0x1.8p52;  // added, it leaves the nearest integer in the last bits
    const double quarters = 4 * v, shifted = quarters + shift;
    const double angle = (quarters - (shifted - shift)) * 1.5707963267948966, square = angle * angle;
    double sine = -1.0 / 1307674368000, cosine = 1.0 / 20922789888000;
    for (const double c : {1.0 / 6227020800, -1.0 / 39916800, 1.0 / 362880, -1.0 / 5040, 1.0 / 120, -1.0 / 6, 1.0})
      sine = sine * square + c;
    for (const double c :
         {-1.0 / 87178291200, 1.0 / 479001600, -1.0 / 3628800, 1.0 / 40320, -1.0 / 720, 1.0 / 24, -1.0 / 2, 1.0})
      cosine = cosine * square + c;
    sine *= angle;
    std::uint64_t n;
    std::memcpy(&n, &shifted, sizeof n);
    const bool across = n & 1;
    const double along = across ? sine : cosine, up = across ? cosine : sine;
    x = r * ((n + 1) & 2 ? -along : along);
    y = r * (n & 2 ? -up : up);
  }

  std::array<std::uint32_t, 2> key_;
  std::uint32_t purpose_, restart_;
};

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
