// Draws rows of two clusters, which the other translation unit, that includes the same headers, tells apart.
#include <cstdio>
#include <gaussmix/gaussmix.hpp>

std::int64_t label(const gaussmix::Mixture<gaussmix::Diagonal>& mixture, double x, double y);

int main() {
  const auto mixture = gaussmix::from_covariances<gaussmix::Diagonal>(
      gaussmix::Vector::Ones(2), (gaussmix::Matrix(2, 2) << 0, 0, 20, 20).finished(), gaussmix::Matrix::Ones(2, 2));
  const auto drawn = gaussmix::sample(mixture, 500, 0);
  int wrong = 0;
  for (gaussmix::Index i = 0; i < drawn.x.rows(); ++i)
    wrong += label(mixture, drawn.x(i, 0), drawn.x(i, 1)) != drawn.labels[static_cast<std::size_t>(i)];
  std::printf("%d of %d labels are not those of the draw\n", wrong, static_cast<int>(drawn.x.rows()));
  return wrong == 0 && drawn.x.rows() == 500 ? 0 : 1;
}
