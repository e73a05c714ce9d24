// Fits a mixture to the rows of a CSV file and tells, of each row, the component that it belongs to.
//
//   classify_csv FILE COMPONENTS      for instance: classify_csv clusters.csv 3
//
// Prints row, component and probability as CSV, and what was found on the error stream.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <gaussmix/gaussmix.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

using gaussmix::Full;
using gaussmix::Index;

namespace {

double to_number(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  while (*end == ' ' || *end == '\r') ++end;  // a file of Windows has the latter before each line end
  if (end == text.c_str() || *end != '\0') throw std::runtime_error("this is not a number: " + text);
  return number;
}

/// Reads the numbers of a file, one row a line, after a line of names. All rows must have as many numbers as there are
/// names; empty lines are passed over.
gaussmix::Matrix read_csv(const char* path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) throw std::runtime_error(std::string("cannot read ") + path);
  const auto columns = 1 + std::count(line.begin(), line.end(), ',');
  std::vector<double> values;
  Index rows = 0;
  while (std::getline(file, line)) {
    if (line.empty() || line == "\r") continue;
    if (1 + std::count(line.begin(), line.end(), ',') != columns)
      throw std::runtime_error("a row has not as many numbers as there are names: " + line);
    std::istringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) values.push_back(to_number(cell));
    ++rows;
  }
  if (static_cast<Index>(values.size()) != rows * columns) throw std::runtime_error("a row ends with a comma");
  return Eigen::Map<gaussmix::Matrix>(values.data(), rows, columns);
}

Index to_count(const char* text) {
  char* end = nullptr;
  const long count = std::strtol(text, &end, 10);
  if (end == text || *end != '\0' || count < 1) throw std::runtime_error(std::string("this is not a count: ") + text);
  return count;
}

void classify(const char* path, Index n_components) {
  const gaussmix::Matrix x = read_csv(path);

  // A view: x must outlive it. Any layout will do, and floats as well.
  const gaussmix::Data data(x);

  gaussmix::FitOptions options;
  options.n_init = 5;  // the best of five starts
  options.n_threads = gaussmix::default_threads();
  const auto result = gaussmix::fit<Full>(data, n_components, options);

  // LogProb is the mixture made ready for many rows; it is made once, and many threads may use it.
  const gaussmix::LogProb<Full> log_prob(result.mixture);
  gaussmix::Matrix probabilities(x.rows(), n_components);
  gaussmix::responsibilities(log_prob, data, probabilities.data(), options.n_threads);

  std::printf("row,component,probability\n");
  for (Index i = 0; i < x.rows(); ++i) {
    Index component = 0;
    const double probability = probabilities.row(i).maxCoeff(&component);
    std::printf("%lld,%lld,%.4f\n", static_cast<long long>(i + 1), static_cast<long long>(component), probability);
  }

  const double bic = gaussmix::bic(result.lower_bound, result.mixture.n_parameters(), static_cast<double>(x.rows()));
  std::fprintf(stderr, "%lld rows, %lld components, %d iterations (%s), BIC %.1f\n", static_cast<long long>(x.rows()),
               static_cast<long long>(n_components), result.n_iter(), result.converged ? "converged" : "not converged",
               bic);
  for (Index k = 0; k < n_components; ++k) {
    std::fprintf(stderr, "component %lld: weight %.3f, mean", static_cast<long long>(k), result.mixture.weights(k));
    for (Index j = 0; j < x.cols(); ++j) std::fprintf(stderr, " %.3f", result.mixture.means(k, j));
    std::fprintf(stderr, "\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: classify_csv FILE COMPONENTS\n");
    return 2;
  }
  try {
    classify(argv[1], to_count(argv[2]));
  } catch (const std::exception& error) {
    // What the data or the arguments do not allow, gaussmix says with an exception; it prints nothing itself.
    std::fprintf(stderr, "classify_csv: %s\n", error.what());
    return 1;
  }
}
