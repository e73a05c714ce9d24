// Random numbers without state: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
// 2011), a bijection of 128-bit counters under a 64-bit key. Number i of a stream is a function of (seed, stream, i), so
// any thread can draw any part. Integers are the same everywhere; the normals differ between platforms only as far as
// their log, cos and sin do.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace gaussmix {

/// What a stream of numbers is for. A restart of a fit is part of the stream too.
enum class Purpose : std::uint32_t { seeding = 1, responsibilities = 2, labels = 3, normals = 4 };

/// The stream of random numbers of one seed, purpose and restart.
class Random {
 public:
  Random(std::uint64_t seed, Purpose purpose, std::uint32_t restart = 0)
      : key_{low(seed), high(seed)}, purpose_(static_cast<std::uint32_t>(purpose)), restart_(restart) {}

  /// The 128 bits at a place of the stream.
  std::array<std::uint32_t, 4> bits(std::uint64_t place) const {
    std::array<std::uint32_t, 4> c{low(place), high(place), purpose_, restart_};
    std::uint32_t k0 = key_[0], k1 = key_[1];
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
      const std::uint64_t a = std::uint64_t{0xD2511F53u} * c[0], b = std::uint64_t{0xCD9E8D57u} * c[2];
      c = {high(b) ^ c[1] ^ k0, low(b), high(a) ^ c[3] ^ k1, low(a)};
    }
    return c;
  }

  /// Two independent uniform numbers in the open interval (0, 1), with 52 bits.
  std::array<double, 2> uniform(std::uint64_t place) const {
    const auto b = bits(place);
    return {open_unit(b[0], b[1]), open_unit(b[2], b[3])};
  }

  /// Two independent standard normal numbers (Box and Muller, 1958). Products only: there is no sum to contract.
  std::array<double, 2> normal(std::uint64_t place) const {
    const auto u = uniform(place);
    const double radius = std::sqrt(-2 * std::log(u[0])), angle = 6.283185307179586 * u[1];
    return {radius * std::cos(angle), radius * std::sin(angle)};
  }

 private:
  static std::uint32_t low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
  static std::uint32_t high(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }
  static double open_unit(std::uint32_t a, std::uint32_t b) {
    const std::uint64_t word = (std::uint64_t{a} << 32 | b) >> 12;
    return (static_cast<double>(word) + 0.5) * 0x1p-52;
  }

  std::array<std::uint32_t, 2> key_;
  std::uint32_t purpose_, restart_;
};

}  // namespace gaussmix
