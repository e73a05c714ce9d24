// Model files: a mixture in the layout of safetensors, which gaussmix.load and GaussianMixture.save share. Strings say
// what it is (format, version, covariance_type, dtype); the tensors are weights (K), means (K x d), covariances and
// precisions_cholesky in the shape of their type. docs/guide/files.md describes them.
//
// Files are hostile: every length is checked before it is used, and the numbers must be those of a mixture. The factors
// are stored, so that densities have the same bits after reading, and are checked against the covariances.
#pragma once

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <istream>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "gaussmix/any_mixture.hpp"
#include "gaussmix/replace_file.hpp"
#include "gaussmix/safetensors.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

/// The version of the format that is written, and the newest that is read.
inline constexpr int file_version = 1;

/// What a file tells beside its mixture: `load` tells it, and `save` writes it.
struct ModelInfo {
  bool single = false;  ///< its numbers are floats, as `FitOptions::single` makes them; Python's attributes are float32
  std::vector<std::string> feature_names = {};  ///< of the d columns in their order, UTF-8; none, if they have no names
};

namespace detail {

inline constexpr Index batch = 8192;  // numbers that pass through a buffer at once

/// The shape of the covariances in a file: entries(d) is d to a power, which is the number of their dimensions.
template <class Covariance>
std::vector<std::uint64_t> covariance_shape(Index k, Index d) {
  std::vector<std::uint64_t> shape;
  if (!Covariance::shared) shape.push_back(static_cast<std::uint64_t>(k));
  for (Index n = Covariance::entries(2); n > 1; n /= 2) shape.push_back(static_cast<std::uint64_t>(d));
  return shape;
}

template <class Number, class Bits>
void write_numbers(std::ostream& out, const double* values, Index n) {
  std::vector<char> bytes;
  for (Index first = 0; first < n; first += batch) {
    bytes.clear();
    for (Index i = first, end = std::min(first + batch, n); i < end; ++i) {
      const Number value = static_cast<Number>(values[i]);
      Bits bits;
      std::memcpy(&bits, &value, sizeof bits);
      for (std::size_t b = 0; b < sizeof bits; ++b)
        bytes.push_back(static_cast<char>(static_cast<unsigned char>(bits >> 8 * b)));
    }
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
}

template <class Number, class Bits>
void read_numbers(std::istream& in, double* values, Index n) {
  std::vector<unsigned char> bytes;
  for (Index first = 0; first < n; first += batch) {
    const Index count = std::min(batch, n - first);
    bytes.resize(static_cast<std::size_t>(count) * sizeof(Bits));
    safetensors::detail::read_bytes(in, bytes.data(), bytes.size());
    for (Index i = 0; i < count; ++i) {
      Bits bits = 0;
      for (std::size_t b = 0; b < sizeof bits; ++b)
        bits |= static_cast<Bits>(bytes[static_cast<std::size_t>(i) * sizeof bits + b]) << 8 * b;
      Number value;
      std::memcpy(&value, &bits, sizeof bits);
      values[first + i] = static_cast<double>(value);
    }
  }
}

/// The tensors of a file: its header, and the stream at its data.
struct ModelFile {
  std::istream& in;
  safetensors::Header header;
  std::streamoff data;

  const std::string& text(const char* key) const {
    const auto found = header.metadata.find(key);
    if (found == header.metadata.end()) throw ModelFileError(std::string("the file does not say its ") + key);
    return found->second;
  }

  const safetensors::Tensor& tensor(const char* name) const {
    const auto found = header.tensors.find(name);
    if (found == header.tensors.end()) throw ModelFileError(std::string("the file has no tensor ") + name);
    if (found->second.dtype != (text("dtype") == "float32" ? "F32" : "F64"))
      throw ModelFileError(std::string("the dtype of the file is not that of its tensor ") + name);
    return found->second;
  }

  /// Reads a tensor of that shape into a vector or matrix of that size.
  template <class Numbers>
  void read(const char* name, const std::vector<std::uint64_t>& shape, Numbers& numbers) {
    const safetensors::Tensor& place = tensor(name);
    if (place.shape != shape) throw ModelFileError(std::string("the file has a wrong shape of its tensor ") + name);
    in.clear();
    in.seekg(data + static_cast<std::streamoff>(place.begin));
    place.dtype == "F32" ? read_numbers<float, std::uint32_t>(in, numbers.data(), numbers.size())
                         : read_numbers<double, std::uint64_t>(in, numbers.data(), numbers.size());
  }
};

template <class Covariance>
Mixture<Covariance> read_mixture(ModelFile& file) {
  const std::vector<std::uint64_t> means = file.tensor("means").shape;
  if (means.size() != 2 || means[0] == 0 || means[1] == 0)
    throw ModelFileError("the means of the file must have a row for each component and a column for each feature");
  const auto k = static_cast<Index>(means[0]), d = static_cast<Index>(means[1]);
  const auto matrices = covariance_shape<Covariance>(k, d);
  // The sizes are known to be those of the file before anything is allocated.
  for (const char* name : {"covariances", "precisions_cholesky"})
    if (file.tensor(name).shape != matrices)
      throw ModelFileError(std::string("the file has a wrong shape of its tensor ") + name);
  Mixture<Covariance> mixture(k, d);
  file.read("weights", {means[0]}, mixture.weights);
  file.read("means", means, mixture.means);
  file.read("covariances", matrices, mixture.covariances);
  file.read("precisions_cholesky", matrices, mixture.precisions_cholesky);
  try {
    check_parameters(mixture);
  } catch (const std::invalid_argument& error) {
    throw ModelFileError(std::string("the parameters in the file do not fit together: ") + error.what());
  }
  return mixture;
}

/// Names as a list in JSON.
inline std::string names_to_text(const std::vector<std::string>& names) {
  std::ostringstream text;
  const char* before = "[";
  for (const std::string& name : names) {
    text << before;
    safetensors::detail::write_string(text, name);
    before = ",";
  }
  text << ']';
  return text.str();
}

inline std::vector<std::string> names_from_text(std::string_view text, Index n_features) {
  safetensors::detail::Scanner scanner(text);
  auto names = scanner.strings(static_cast<std::size_t>(n_features));
  scanner.end();
  if (static_cast<Index>(names.size()) != n_features) throw ModelFileError("there are not as many names as features");
  return names;
}

/// What the strings of a file tell of it.
inline ModelInfo read_info(const ModelFile& file, Index n_features) {
  ModelInfo info;
  info.single = file.text("dtype") == "float32";
  if (file.header.metadata.count("feature_names") > 0)
    info.feature_names = names_from_text(file.text("feature_names"), n_features);
  return info;
}

}  // namespace detail

/// Writes a mixture to a stream.
///
/// \param info  whether it stores floats, and names of the features
/// \throws std::invalid_argument if the parameters do not fit together, are to be floats and are not, or if there are
///     names, and not d of them in UTF-8, or of more than 16 MiB
/// \throws std::system_error if the stream fails, then or before
template <class Covariance>
void save(const Mixture<Covariance>& mixture, std::ostream& out, const ModelInfo& info = {}) {
  check_parameters(mixture);
  const Index k = mixture.n_components(), d = mixture.n_features();
  const auto n = [](Index i) { return static_cast<std::uint64_t>(i); };
  struct Part {
    const char* name;
    std::vector<std::uint64_t> shape;
    const double* values;
    Index size;
  };
  const auto matrices = detail::covariance_shape<Covariance>(k, d);
  const Part parts[] = {
      {"covariances", matrices, mixture.covariances.data(), mixture.covariances.size()},
      {"means", {n(k), n(d)}, mixture.means.data(), mixture.means.size()},
      {"precisions_cholesky", matrices, mixture.precisions_cholesky.data(), mixture.precisions_cholesky.size()},
      {"weights", {n(k)}, mixture.weights.data(), k}};
  safetensors::Header header;
  header.metadata = {{"format", "gaussmix"},
                     {"version", std::to_string(file_version)},
                     {"covariance_type", Covariance::name},
                     {"dtype", info.single ? "float32" : "float64"}};
  if (!info.feature_names.empty()) {
    require(static_cast<Index>(info.feature_names.size()) == d, "there must be as many names as features");
    const std::string names = detail::names_to_text(info.feature_names);
    detail::names_from_text(names, d);  // what could not be read again is not written
    header.metadata["feature_names"] = names;
  }
  std::uint64_t at = 0;
  for (const Part& part : parts) {
    require(!info.single || detail::single_precision(Eigen::Map<const Matrix>(part.values, 1, part.size)),
            "only parameters that are floats can be saved in single precision");
    const std::uint64_t end = at + n(part.size) * (info.single ? 4 : 8);
    header.tensors[part.name] = {info.single ? "F32" : "F64", part.shape, at, end};
    at = end;
  }
  safetensors::write_header(out, header);
  for (const Part& part : parts)
    info.single ? detail::write_numbers<float, std::uint32_t>(out, part.values, part.size)
                : detail::write_numbers<double, std::uint64_t>(out, part.values, part.size);
  if (!out.flush()) throw std::system_error(EIO, std::generic_category(), "cannot write to the stream");
}

/// Writes a mixture to a file, whole or not at all (see `replace_file`). Errors as above, and std::system_error.
template <class Covariance>
void save(const Mixture<Covariance>& mixture, const std::filesystem::path& path, const ModelInfo& info = {}) {
  std::ostringstream bytes;
  save(mixture, bytes, info);
  replace_file(path, bytes.str());
}

/// Writes a mixture whose type is known at run time: the same, with the same errors.
template <class = void>
void save(const AnyMixture& mixture, std::ostream& out, const ModelInfo& info = {}) {
  std::visit([&](const auto& m) { save(m, out, info); }, mixture);
}

/// Writes a mixture whose type is known at run time to a file: the same, with the same errors.
template <class = void>
void save(const AnyMixture& mixture, const std::filesystem::path& path, const ModelInfo& info = {}) {
  std::visit([&](const auto& m) { save(m, path, info); }, mixture);
}

/// Reads a mixture from a stream that can seek, of which it is the rest. Tensors that it does not know it passes over.
///
/// \param info  where to tell what else the stream says, if not null
/// \throws ModelFileError unless it holds a model that this version understands, whatever else it holds
/// \throws std::system_error if the stream fails
template <class = void>
AnyMixture load(std::istream& in, ModelInfo* info = nullptr) {
  const std::streamoff begin = in.tellg();
  in.seekg(0, std::ios::end);
  const std::streamoff end = in.tellg();
  in.seekg(begin);
  if (!in || begin < 0 || end < begin) throw ModelFileError("the stream cannot be read");
  safetensors::Header header = safetensors::read_header(in, static_cast<std::uint64_t>(end - begin));
  detail::ModelFile file{in, std::move(header), in.tellg()};
  if (file.header.metadata.count("format") == 0 || file.text("format") != "gaussmix")
    throw ModelFileError("the file is not a model of gaussmix");
  if (file.text("version") != std::to_string(file_version))
    throw ModelFileError("the file has a version of the format that is not understood; this gaussmix reads version " +
                         std::to_string(file_version));
  if (file.text("dtype") != "float64" && file.text("dtype") != "float32")
    throw ModelFileError("the dtype of the file is neither float64 nor float32");
  const std::string& name = file.text("covariance_type");
  try {
    with_covariance(name, [](auto) {});
  } catch (const std::invalid_argument& error) {
    throw ModelFileError(error.what());
  }
  return with_covariance(name, [&](auto c) -> AnyMixture {
    auto mixture = detail::read_mixture<decltype(c)>(file);
    auto told = detail::read_info(file, mixture.n_features());  // which must be right whether asked for or not
    if (info) *info = std::move(told);
    return mixture;
  });
}

/// Reads a mixture from a file. \throws ModelFileError as above; std::system_error if there is none, or it cannot be read
template <class = void>
AnyMixture load(const std::filesystem::path& path, ModelInfo* info = nullptr) {
  const auto status = std::filesystem::status(path);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
    throw ModelFileError("cannot load " + path.string() + ": not a file");
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::filesystem::filesystem_error("cannot load", path, detail::last_error());
  try {
    return load(in, info);
  } catch (const ModelFileError& error) {
    throw ModelFileError("cannot load " + path.string() + ": " + error.what());
  } catch (const std::system_error& error) {
    throw std::filesystem::filesystem_error("cannot load", path, error.code());
  }
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
