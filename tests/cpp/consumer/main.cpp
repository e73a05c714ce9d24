// An iteration of EM over two clusters, and the other translation unit, which includes the same headers, tells a label.
#include <cstdio>
#include <gaussmix/gaussmix.hpp>

std::int64_t label(const gaussmix::Mixture<gaussmix::Diagonal>& mixture, double x, double y);

int main() {
  gaussmix::Mixture<gaussmix::Diagonal> truth = gaussmix::from_covariances<gaussmix::Diagonal>(
      gaussmix::Vector::Ones(2), (gaussmix::Matrix(2, 2) << 0, 0, 8, 8).finished(), gaussmix::Matrix::Ones(2, 2));
  const auto drawn = gaussmix::sample(truth, 500, 0);

  const auto statistics = gaussmix::accumulate(truth, gaussmix::Data(drawn.x), gaussmix::default_threads());
  const auto mixture = gaussmix::maximize(statistics, 1e-6);
  const auto low = label(mixture, 0, 0), high = label(mixture, 8, 8);
  std::printf("log-likelihood %g, labels %d and %d\n", statistics.mean_log_likelihood(), static_cast<int>(low),
              static_cast<int>(high));
  return low == 0 && high == 1 && (mixture.means - truth.means).norm() < 0.5 ? 0 : 1;
}
