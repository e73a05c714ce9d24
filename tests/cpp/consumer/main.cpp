// Fits two clusters, and asks the other translation unit, which includes the same headers, for a label.
#include <cstdio>
#include <gaussmix/gaussmix.hpp>

std::int64_t label(const gaussmix::Mixture<gaussmix::Diagonal>& mixture, double x, double y);

int main() {
  gaussmix::Mixture<gaussmix::Diagonal> truth = gaussmix::from_covariances<gaussmix::Diagonal>(
      gaussmix::Vector::Ones(2), (gaussmix::Matrix(2, 2) << 0, 0, 8, 8).finished(), gaussmix::Matrix::Ones(2, 2));
  const auto drawn = gaussmix::sample(truth, 500, 0);

  gaussmix::FitOptions options;
  options.n_threads = gaussmix::default_threads();
  const auto result = gaussmix::fit<gaussmix::Diagonal>(gaussmix::Data(drawn.x), 2, options);
  const auto low = label(result.mixture, 0, 0), high = label(result.mixture, 8, 8);
  std::printf("converged %d, labels %d and %d\n", result.converged, static_cast<int>(low), static_cast<int>(high));
  const double off = (result.mixture.means.row(low) - truth.means.row(0)).norm();
  return result.converged && low != high && off < 0.5 ? 0 : 1;
}
