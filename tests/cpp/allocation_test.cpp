// Scoring a row allocates nothing. The program's malloc, through which Eigen and operator new go, counts its calls.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>

#include "gaussmix/instances.hpp"
#include "gaussmix/scorer.hpp"
#include "problems.hpp"

#ifdef __GLIBC__

namespace {
std::atomic<long> allocations{0};
}

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);

void* malloc(std::size_t size) {
  ++allocations;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  ++allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) {
  ++allocations;
  return __libc_realloc(memory, size);
}
}

namespace {

using namespace problems;

template <class Covariance>
struct Allocations : testing::Test {};
TYPED_TEST_SUITE(Allocations, AllTypes, TypeNames);

TYPED_TEST(Allocations, scoring_a_row_makes_none) {
  for (const Index d : {1, 2, 7, 64}) {
    const auto mixture = random_mixture<TypeParam>(5, d, 1);
    const Matrix x = rows_near(mixture, 20, 2);
    const Eigen::MatrixXf columns = x.transpose().cast<float>();
    gaussmix::Scorer<TypeParam> scorer(mixture);
    double sum = 0;
    const long before = allocations;
    for (Index i = 0; i < x.rows(); ++i) {
      sum += scorer.log_density(x.row(i).data());
      sum += scorer.log_density(columns.col(i).data());
      sum += scorer.responsibilities()(0) + static_cast<double>(scorer.label());
    }
    const long made = allocations - before;
    EXPECT_EQ(made, 0) << "d = " << d << ", sum " << sum;
  }
}

TEST(Counting, sees_what_eigen_and_new_allocate) {
  const long before = allocations;
  const Matrix x = Matrix::Zero(3, 3);
  const std::vector<double> values(3);
  EXPECT_EQ(x.size() + static_cast<Index>(values.size()), 12);
  EXPECT_EQ(allocations - before, 2);
}

}  // namespace

#else
TEST(Allocations, are_counted_with_the_c_library_of_gnu_only) { GTEST_SKIP() << "needs __libc_malloc"; }
#endif
