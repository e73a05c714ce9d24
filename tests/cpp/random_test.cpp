// The generator: its published known answers, that streams differ, and that uniform and normal numbers are what they say.
#include "gaussmix/random.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace {

using gaussmix::Purpose;
using gaussmix::Random;
using Words = std::array<std::uint32_t, 4>;

// Random123, kat_vectors, philox4x32 10: counter words 0 and 1 are the place, 2 the purpose, 3 the restart.
TEST(Philox, known_answers) {
  EXPECT_EQ(Random(0, Purpose{0}, 0).bits(0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Random(0xffffffffffffffff, Purpose{0xffffffff}, 0xffffffff).bits(0xffffffffffffffff),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Random(0x299f31d0a4093822, Purpose{0x13198a2e}, 0x03707344).bits(0x85a308d3243f6a88),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, streams_differ_in_seed_purpose_restart_and_place) {
  const Words base = Random(1, Purpose::seeding, 0).bits(0);
  EXPECT_EQ(Random(1, Purpose::seeding, 0).bits(0), base);
  EXPECT_NE(Random(2, Purpose::seeding, 0).bits(0), base);
  EXPECT_NE(Random(1ull << 40, Purpose::seeding, 0).bits(0), Random(0, Purpose::seeding, 0).bits(0));
  EXPECT_NE(Random(1, Purpose::labels, 0).bits(0), base);
  EXPECT_NE(Random(1, Purpose::seeding, 1).bits(0), base);
  EXPECT_NE(Random(1, Purpose::seeding, 0).bits(1), base);
}

TEST(Philox, uniform_numbers) {
  const Random random(3, Purpose::responsibilities);
  constexpr int n = 100000;
  double sum = 0, squares = 0, products = 0, lowest = 1, highest = 0;
  for (int i = 0; i < n; ++i) {
    const auto u = random.uniform(static_cast<std::uint64_t>(i));
    for (const double v : u) sum += v, squares += v * v, lowest = std::min(lowest, v), highest = std::max(highest, v);
    products += u[0] * u[1];
  }
  EXPECT_GT(lowest, 0);
  EXPECT_LT(highest, 1);
  EXPECT_LT(lowest, 1e-4);
  EXPECT_GT(highest, 1 - 1e-4);
  // Five standard errors of each mean.
  EXPECT_NEAR(sum / (2 * n), 1.0 / 2, 5 * std::sqrt(1.0 / 12 / (2 * n)));
  EXPECT_NEAR(squares / (2 * n), 1.0 / 3, 5 * std::sqrt(4.0 / 45 / (2 * n)));
  EXPECT_NEAR(products / n, 1.0 / 4, 5 * std::sqrt(7.0 / 144 / n));
}

TEST(Philox, batches_are_the_numbers_of_their_places) {
  const Random random(6, Purpose::normals, 7);
  for (const std::uint64_t first : {0ull, 3ull, 64ull, 0xffffffffull, 1ull << 40}) {
    const auto u = random.uniforms(first), z = random.normals(first), later = random.normals(first + 5);
    for (int i = 0; i < Random::batch; ++i) {
      const auto expected = random.uniform(first + static_cast<std::uint64_t>(i));
      EXPECT_EQ(u[0](i), expected[0]);
      EXPECT_EQ(u[1](i), expected[1]);
      const double radius = std::sqrt(-2 * std::log(expected[0])), angle = 2 * std::acos(-1.0) * expected[1];
      EXPECT_NEAR(z[0](i), radius * std::cos(angle), 1e-14);
      EXPECT_NEAR(z[1](i), radius * std::sin(angle), 1e-14);
      if (i < 5) continue;
      EXPECT_EQ(z[0](i), later[0](i - 5)) << "a number depends on where it stands in its batch";
      EXPECT_EQ(z[1](i), later[1](i - 5));
    }
  }
}

TEST(Philox, ones_are_those_of_the_bits) {
  const Random random(8, Purpose::labels);
  for (const std::uint64_t first : {0ull, 5ull, 0xffffffffull}) {
    int expected = 0;
    for (int i = 0; i < Random::batch; ++i)
      for (const std::uint32_t word : random.bits(first + static_cast<std::uint64_t>(i)))
        for (int bit = 0; bit < 32; ++bit) expected += static_cast<int>(word >> bit & 1);
    EXPECT_EQ(random.ones(first), expected);
  }
}

TEST(Philox, normal_numbers) {
  const Random random(4, Purpose::normals);
  constexpr int n = 1600 * Random::batch;
  std::array<double, 5> moments{};
  double product = 0;
  for (int first = 0; first < n; first += Random::batch) {
    const auto z = random.normals(static_cast<std::uint64_t>(first));
    for (const auto& half : z)
      for (int p = 1; p <= 4; ++p) moments[static_cast<std::size_t>(p)] += half.pow(p).sum() / (2 * n);
    product += (z[0] * z[1]).sum() / n;
  }
  // Moments 0, 1, 0, 3; the variance of z^p is E z^2p - (E z^p)^2 = 1, 2, 15, 96.
  const auto five_errors = [](double variance) { return 5 * std::sqrt(variance / (2 * n)); };
  EXPECT_NEAR(moments[1], 0, five_errors(1));
  EXPECT_NEAR(moments[2], 1, five_errors(2));
  EXPECT_NEAR(moments[3], 0, five_errors(15));
  EXPECT_NEAR(moments[4], 3, five_errors(96));
  EXPECT_NEAR(product, 0, 5 / std::sqrt(n));
}

}  // namespace
