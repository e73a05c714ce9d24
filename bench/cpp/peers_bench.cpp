// Ten iterations of EM by other libraries and by gaussmix: the same rows, the same start. `log_likelihood` is the mean one
// of what each ends with, in nats, computed here from its parameters; where it is that of gaussmix the work was the same.
// (VLFeat ends as soon as the likelihood changes by less than 1e-5 of it: bench/README.md.)
#include "problem.hpp"

#ifdef GAUSSMIX_BENCH_ARMADILLO
#include <armadillo>
#endif
#ifdef GAUSSMIX_BENCH_OPENCV
#include <opencv2/ml.hpp>
#endif
#ifdef GAUSSMIX_BENCH_VLFEAT
extern "C" {
#include <vl/gmm.h>
}
#endif

namespace {

using bench::PeakMemory;
using gaussmix::Diagonal;
using gaussmix::Full;
using gaussmix::Index;
using gaussmix::Matrix;
using gaussmix::Vector;

constexpr int iterations = 10;

/// Times learn(), and reports the likelihood of the mixture that end() gives.
template <class Covariance, class Learn, class End>
void run(benchmark::State& state, const bench::Problem<Covariance>& p, const Learn& learn, const End& end) {
  const PeakMemory peak;
  for (auto _ : state) learn();
  bench::report(state, p.n * iterations, p.dense_flops() * iterations, peak.bytes());
  try {
    state.counters["log_likelihood"] =
        gaussmix::score(gaussmix::LogProb<Covariance>(end(), p.n_threads), p.data, p.n_threads);
  } catch (const gaussmix::NotPositiveDefinite&) {
    state.SkipWithError("it ended with a covariance that is singular");
  }
}

template <class Covariance>
void gaussmix_fit(benchmark::State& state) {
  const bench::Problem<Covariance> p(state);
  gaussmix::FitOptions options;
  options.tol = 0;
  options.reg_covar = 0;
  options.max_iter = iterations;
  options.n_threads = p.n_threads;
  gaussmix::Mixture<Covariance> found;
  run(
      state, p, [&] { found = gaussmix::fit<Covariance>(p.data, p.k, options, &p.mixture).mixture; },
      [&] { return found; });
}

#ifdef GAUSSMIX_BENCH_ARMADILLO
template <class Covariance>
void armadillo(benchmark::State& state) {
  constexpr bool full = std::is_same_v<Covariance, Full>;
  const bench::Problem<Covariance> p(state);
  const auto d = static_cast<arma::uword>(p.d), k = static_cast<arma::uword>(p.k);
  // Its columns are our rows.
  const arma::mat x(p.rows.data(), d, static_cast<arma::uword>(p.n));
  const arma::mat means(p.mixture.means.data(), d, k);
  const arma::rowvec weights(p.mixture.weights.data(), k);
  std::conditional_t<full, arma::gmm_full, arma::gmm_diag> model;
  run(
      state, p,
      [&] {
        if constexpr (full)
          model.set_params(means, arma::cube(p.mixture.covariances.data(), d, d, k), weights);
        else
          model.set_params(means, arma::mat(p.mixture.covariances.data(), d, k), weights);
        if (!model.learn(x, k, arma::maha_dist, arma::keep_existing, 0, iterations, 1e-12, false))
          state.SkipWithError("Armadillo could not learn the model");
      },
      [&] {
        const double* covariances = [&] {
          if constexpr (full)
            return model.fcovs.memptr();
          else
            return model.dcovs.memptr();
        }();
        return gaussmix::from_covariances<Covariance>(
            Eigen::Map<const Vector>(model.hefts.memptr(), p.k),
            Eigen::Map<const Matrix>(model.means.memptr(), p.k, p.d),
            Eigen::Map<const Matrix>(covariances, p.k, Covariance::entries(p.d)));
      });
}
#endif

#ifdef GAUSSMIX_BENCH_OPENCV
template <class Covariance>
void opencv(benchmark::State& state) {
  constexpr bool full = std::is_same_v<Covariance, Full>;
  const bench::Problem<Covariance> p(state);
  const int n = static_cast<int>(p.n), d = static_cast<int>(p.d), k = static_cast<int>(p.k);
  // It takes no const memory; it does not write to what it is given either.
  const cv::Mat x(n, d, CV_64F, const_cast<double*>(p.rows.data()));
  const cv::Mat means(k, d, CV_64F, const_cast<double*>(p.mixture.means.data()));
  const cv::Mat weights(1, k, CV_64F, const_cast<double*>(p.mixture.weights.data()));
  std::vector<cv::Mat> covariances;
  for (int c = 0; c < k; ++c) {
    const Matrix dense = Covariance::dense(p.mixture.covariances.row(c).data(), p.d);
    covariances.push_back(cv::Mat(d, d, CV_64F, const_cast<double*>(dense.data())).clone());
  }
  const auto model = cv::ml::EM::create();
  model->setClustersNumber(k);
  model->setCovarianceMatrixType(full ? cv::ml::EM::COV_MAT_GENERIC : cv::ml::EM::COV_MAT_DIAGONAL);
  // It counts E-steps, and ends after the last one.
  model->setTermCriteria(cv::TermCriteria(cv::TermCriteria::COUNT, iterations + 1, 0));
  run(
      state, p, [&] { model->trainE(x, means, covariances, weights); },
      [&] {
        std::vector<cv::Mat> found;
        model->getCovs(found);
        Matrix stored(p.k, Covariance::entries(p.d));
        for (int c = 0; c < k; ++c)
          for (Index e = 0; e < stored.cols(); ++e) {
            const auto i = static_cast<int>(full ? e / p.d : e), j = static_cast<int>(full ? e % p.d : e);
            stored(c, e) = found[static_cast<std::size_t>(c)].at<double>(i, j);
          }
        return gaussmix::from_covariances<Covariance>(
            Eigen::Map<const Vector>(model->getWeights().ptr<double>(), p.k),
            Eigen::Map<const Matrix>(model->getMeans().ptr<double>(), p.k, p.d), stored);
      });
}
#endif

#ifdef GAUSSMIX_BENCH_VLFEAT
void vlfeat(benchmark::State& state) {
  const bench::Problem<Diagonal> p(state);
  VlGMM* model = vl_gmm_new(VL_TYPE_DOUBLE, static_cast<vl_size>(p.d), static_cast<vl_size>(p.k));
  vl_set_num_threads(static_cast<vl_size>(p.n_threads));
  vl_gmm_set_max_num_iterations(model, iterations);  // it may stop earlier, which cannot be turned off
  run(
      state, p,
      [&] {
        vl_gmm_set_means(model, p.mixture.means.data());
        vl_gmm_set_covariances(model, p.mixture.covariances.data());
        vl_gmm_set_priors(model, p.mixture.weights.data());
        vl_gmm_em(model, p.rows.data(), static_cast<vl_size>(p.n));
      },
      [&] {
        const auto numbers = [](const void* values) { return static_cast<const double*>(values); };
        return gaussmix::from_covariances<Diagonal>(
            Eigen::Map<const Vector>(numbers(vl_gmm_get_priors(model)), p.k),
            Eigen::Map<const Matrix>(numbers(vl_gmm_get_means(model)), p.k, p.d),
            Eigen::Map<const Matrix>(numbers(vl_gmm_get_covariances(model)), p.k, p.d));
      });
  vl_gmm_delete(model);
}
#endif

BENCHMARK_TEMPLATE(gaussmix_fit, Full)->Apply(bench::call_sizes);
BENCHMARK_TEMPLATE(gaussmix_fit, Diagonal)->Apply(bench::call_sizes);
#ifdef GAUSSMIX_BENCH_ARMADILLO
BENCHMARK_TEMPLATE(armadillo, Full)->Apply(bench::call_sizes);
BENCHMARK_TEMPLATE(armadillo, Diagonal)->Apply(bench::call_sizes);
#endif
#ifdef GAUSSMIX_BENCH_OPENCV
BENCHMARK_TEMPLATE(opencv, Full)->Apply(bench::call_sizes);
BENCHMARK_TEMPLATE(opencv, Diagonal)->Apply(bench::call_sizes);
#endif
#ifdef GAUSSMIX_BENCH_VLFEAT
BENCHMARK(vlfeat)->Apply(bench::call_sizes);
#endif

}  // namespace

std::string bench::peer_versions() {
  std::string versions = "Eigen " + std::to_string(EIGEN_WORLD_VERSION) + '.' + std::to_string(EIGEN_MAJOR_VERSION) +
                         '.' + std::to_string(EIGEN_MINOR_VERSION);
#ifdef GAUSSMIX_BENCH_ARMADILLO
  versions += ", Armadillo " + std::to_string(arma::arma_version::major) + '.' +
              std::to_string(arma::arma_version::minor) + '.' + std::to_string(arma::arma_version::patch);
#endif
#ifdef GAUSSMIX_BENCH_OPENCV
  versions += ", OpenCV " CV_VERSION;
#endif
#ifdef GAUSSMIX_BENCH_VLFEAT
  versions += ", VLFeat " VL_VERSION_STRING;
#endif
  return versions;
}
