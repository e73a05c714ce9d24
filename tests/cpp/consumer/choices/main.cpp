// Whether it was compiled with OpenMP, by the namespace that all of the library is in.
#include <cstdio>
#include <gaussmix/version.hpp>
#include <string>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

int main() {
  const std::string abi = TEXT(GAUSSMIX_ABI);
  std::printf("%s, Eigen %d.%d\n", abi.c_str(), EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION);
  const bool openmp = abi.find("openmp") != std::string::npos;
  return openmp == static_cast<bool>(EXPECT_OPENMP) ? 0 : 1;
}
