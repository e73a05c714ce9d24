// The switch by name finds every type, and no other.
#include "gaussmix/any_mixture.hpp"

#include "problems.hpp"

namespace {

using namespace problems;

TEST(WithCovariance, finds_each_type_by_its_name) {
  for (const std::string name : {"full", "tied", "diag", "spherical"})
    EXPECT_EQ(gaussmix::with_covariance(name, [](auto c) { return std::string(decltype(c)::name); }), name);
}

TEST(WithCovariance, unknown_names_are_refused) {
  for (const std::string name : {"", "Full", "diagonal", "full ", "ful"}) {
    bool called = false;
    EXPECT_THROW(gaussmix::with_covariance(name, [&](auto) { called = true; }), std::invalid_argument) << name;
    EXPECT_FALSE(called);
  }
}

TEST(WithCovariance, a_mixture_of_a_type_known_at_run_time) {
  for (const std::string name : {"full", "tied", "diag", "spherical"}) {
    const gaussmix::AnyMixture any = gaussmix::with_covariance(
        name, [](auto c) -> gaussmix::AnyMixture { return random_mixture<decltype(c)>(2, 3, 1); });
    const Index free = std::visit([](const auto& mixture) { return mixture.n_parameters(); }, any);
    EXPECT_EQ(free, 1 + 6 + (name == "full" ? 12 : name == "tied" ? 6 : name == "diag" ? 6 : 2));
  }
}

}  // namespace
