// One iteration of expectation maximisation over rows that lie in several places.
//
// A pass over rows leaves nothing but Statistics: counts, means and scatter, a few kilobytes however many rows there were.
// They add up, so that each thread, process or machine makes its own pass, and only statistics travel. Here the rows are
// cut into four parts, for four threads and then for four processes; both give what one pass over all rows gives, up to
// rounding.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <gaussmix/accumulate.hpp>
#include <gaussmix/maximize.hpp>
#include <gaussmix/sample.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#ifdef __unix__
#include <sys/wait.h>
#include <unistd.h>
#endif

using gaussmix::Full;
using gaussmix::Index;
using Mixture = gaussmix::Mixture<Full>;
using Statistics = gaussmix::Statistics<Full>;

namespace {

constexpr Index parts = 4;

/// The pass over one part of the rows: any mixture that all parts agree on will do.
Statistics pass(const Mixture& mixture, const gaussmix::Matrix& x, Index part) {
  const Index first = x.rows() * part / parts, rows = x.rows() * (part + 1) / parts - first;
  return gaussmix::accumulate(mixture, x.middleRows(first, rows));
}

Statistics merged(const std::vector<Statistics>& all) {
  Statistics sum = all.front();
  for (std::size_t i = 1; i < all.size(); ++i) sum.merge(all[i]);
  return sum;
}

Statistics by_threads(const Mixture& mixture, const gaussmix::Matrix& x) {
  std::vector<Statistics> all(parts);
  std::vector<std::thread> threads;
  for (Index part = 0; part < parts; ++part)
    threads.emplace_back([&, part] { all[static_cast<std::size_t>(part)] = pass(mixture, x, part); });
  for (auto& thread : threads) thread.join();
  return merged(all);
}

#ifdef __unix__
/// Calls body(numbers, count) for all that statistics hold; they are plain data.
template <class AnyStatistics, class Body>
void for_numbers(AnyStatistics& s, const Body& body) {
  body(s.counts.data(), s.counts.size());
  body(s.means.data(), s.means.size());
  body(s.covariances.data(), s.covariances.size());
  body(&s.log_likelihood, Index{1});
  body(&s.total_weight, Index{1});
}

void write(const Statistics& statistics, const std::string& path) {
  std::ofstream file(path, std::ios::binary);
  for_numbers(statistics, [&](const double* numbers, Index count) {
    file.write(reinterpret_cast<const char*>(numbers), static_cast<std::streamsize>(sizeof(double)) * count);
  });
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

Statistics read(const Mixture& mixture, const std::string& path) {
  Statistics statistics(mixture.n_components(), mixture.n_features());
  std::ifstream file(path, std::ios::binary);
  for_numbers(statistics, [&](double* numbers, Index count) {
    file.read(reinterpret_cast<char*>(numbers), static_cast<std::streamsize>(sizeof(double)) * count);
  });
  if (!file) throw std::runtime_error("cannot read " + path);
  return statistics;
}

/// A process for each part, which leaves its statistics in a file. On a cluster the files are on a shared disk.
Statistics by_processes(const Mixture& mixture, const gaussmix::Matrix& x) {
  std::vector<pid_t> processes;
  std::vector<std::string> paths;
  for (Index part = 0; part < parts; ++part) {
    paths.push_back("part-" + std::to_string(getpid()) + "-" + std::to_string(part) + ".statistics");
    const pid_t process = fork();
    if (process < 0) throw std::runtime_error("cannot start a process");
    if (process == 0) {
      int code = 0;
      try {
        write(pass(mixture, x, part), paths.back());
      } catch (const std::exception&) {
        code = 1;
      }
      _exit(code);
    }
    processes.push_back(process);
  }
  std::vector<Statistics> all;
  for (std::size_t part = 0; part < processes.size(); ++part) {
    int status = 0;
    if (waitpid(processes[part], &status, 0) < 0 || status != 0) throw std::runtime_error("a process failed");
    all.push_back(read(mixture, paths[part]));
    std::remove(paths[part].c_str());
  }
  return merged(all);
}
#endif

/// The largest difference of the mixtures that two statistics lead to, in parameters of about 1 to 10.
double difference(const Statistics& a, const Statistics& b) {
  const Mixture one = gaussmix::maximize(a, 1e-6), other = gaussmix::maximize(b, 1e-6);
  return std::max({(one.weights - other.weights).cwiseAbs().maxCoeff(), (one.means - other.means).cwiseAbs().maxCoeff(),
                   (one.covariances - other.covariances).cwiseAbs().maxCoeff()});
}

}  // namespace

int main() {
  // Rows that two clusters generate, and a mixture that is not quite theirs.
  gaussmix::Matrix means(2, 2), covariances(2, 4);
  means << 0, 0, 6, 2;
  covariances << 1, 0.5, 0.5, 2, 3, -1, -1, 1;
  const Mixture truth = gaussmix::from_covariances<Full>(gaussmix::Vector::Ones(2), means, covariances);
  const gaussmix::Matrix x = gaussmix::sample(truth, 20'000, /*seed=*/0).x;
  const Mixture start = gaussmix::from_covariances<Full>(gaussmix::Vector::Ones(2), means.array() + 1, covariances);

  try {
    const Statistics one_pass = gaussmix::accumulate(start, gaussmix::Data(x));
    const double threads = difference(one_pass, by_threads(start, x));
    std::printf("mean log-likelihood before the iteration: %.6f\n", one_pass.mean_log_likelihood());
    std::printf("%d threads differ from one pass by   %.1e\n", static_cast<int>(parts), threads);
    double processes = 0;
#ifdef __unix__
    processes = difference(one_pass, by_processes(start, x));
    std::printf("%d processes differ from one pass by %.1e\n", static_cast<int>(parts), processes);
#endif
    return threads < 1e-12 && processes < 1e-12 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "merge_statistics: %s\n", error.what());
    return 1;
  }
}
