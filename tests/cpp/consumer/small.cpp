// Asks a mixture written down by hand for two log-densities, on two threads: a program that is quick to compile.
#include <cmath>
#include <cstdio>
#include <gaussmix/parallel.hpp>
#include <gaussmix/scorer.hpp>

int main() {
  const auto mixture = gaussmix::from_covariances<gaussmix::Diagonal>(
      gaussmix::Vector::Ones(1), gaussmix::Matrix::Zero(1, 2), gaussmix::Matrix::Ones(1, 2));
  const double rows[] = {0, 0, 3, 4};
  double log_p[2];
  gaussmix::parallel_for(2, 2, [&](gaussmix::Index i) {
    log_p[i] = gaussmix::Scorer<gaussmix::Diagonal>(mixture).log_density(rows + 2 * i);
  });
  std::printf("version %d, log-densities %g and %g\n", gaussmix::version, log_p[0], log_p[1]);
  // -log 2 pi, and 5^2 / 2 less.
  const double expected = -std::log(2 * std::acos(-1.0));
  return std::abs(log_p[0] - expected) < 1e-12 && std::abs(log_p[1] - expected + 12.5) < 1e-12 ? 0 : 1;
}
