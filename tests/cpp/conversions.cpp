// What instances.cpp does not instantiate, to be compiled with all warnings of the compilers: a warning in a template is seen
// only where somebody instantiates it, and whoever installs the headers has them as a system's.
#include "gaussmix/gaussmix.hpp"
#include "gaussmix/passes.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

template <class Covariance>
FitResult<Covariance> fit_with_defaults(const Passes<Covariance>& passes, const Mixture<Covariance>& start) {
  return fit_passes(passes, start, FitOptions());
}

#define CONVERSIONS_OF(C)                                                                      \
  template class Scorer<C>;                                                                    \
  template double Scorer<C>::log_density<float>(const float*);                                 \
  template double Scorer<C>::log_density<double>(const double*);                               \
  template class PassesOverData<C>;                                                            \
  template FitResult<C> fit_with_defaults<C>(const Passes<C>&, const Mixture<C>&);             \
  template void log_densities<C, float>(const LogProb<C>&, const Data&, float*, int);          \
  template void responsibilities<C, float>(const LogProb<C>&, const Data&, float*, int);       \
  template void labels<float, C>(const LogProb<C>&, const Data&, std::int64_t*, int);          \
  template double classification_log_likelihood<C>(const LogProb<C>&, const Data&, int);       \
  template std::vector<Index> worst_rows<C>(const LogProb<C>&, const Data&, std::size_t, int); \
  template void save<C>(const Mixture<C>&, const std::filesystem::path&, const ModelInfo&);

// One type of those with matrices and one of those with vectors: what is another type's own, instances.cpp instantiates.
CONVERSIONS_OF(Tied)
CONVERSIONS_OF(Diagonal)

AnyMixture load_from(const std::filesystem::path& path, ModelInfo* info);
AnyMixture load_from(const std::filesystem::path& path, ModelInfo* info) { return load(path, info); }

// Data of all that lies in memory.
Index rows(const Eigen::MatrixXf& x, const Eigen::Ref<const Matrix>& y);
Index rows(const Eigen::MatrixXf& x, const Eigen::Ref<const Matrix>& y) {
  return Data(x).rows() + Data(x.topRows(1)).rows() + Data(x.transpose()).rows() + Data(y).rows();
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
