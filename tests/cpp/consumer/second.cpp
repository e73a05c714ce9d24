#include <gaussmix/predict.hpp>

std::int64_t label(const gaussmix::Mixture<gaussmix::Diagonal>& mixture, double x, double y);

std::int64_t label(const gaussmix::Mixture<gaussmix::Diagonal>& mixture, double x, double y) {
  const double row[] = {x, y};
  std::int64_t result = -1;
  gaussmix::labels<double>(gaussmix::LogProb<gaussmix::Diagonal>(mixture), gaussmix::Data(row, 1, 2, 2), &result);
  return result;
}
