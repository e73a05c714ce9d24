// Model files: round trips to the bit for every type, files of old releases, and hostile files.
#include "gaussmix/io.hpp"

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iterator>
#include <limits>

#include "gaussmix/instances.hpp"
#include "gaussmix/predict.hpp"
#include "problems.hpp"

#ifdef __unix__
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#endif

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size);

namespace {

using namespace problems;
using gaussmix::ModelFileError;
namespace fs = std::filesystem;

/// A folder of its own for each test, removed at the end.
struct Folder {
  fs::path path = fs::temp_directory_path() / ("gaussmix-io-" + std::to_string(std::random_device{}()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
};

std::string contents(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <class Mixture>
std::string saved(const Mixture& mixture, const gaussmix::ModelInfo& info = {}) {
  std::ostringstream out;
  gaussmix::save(mixture, out, info);
  return out.str();
}

const gaussmix::ModelInfo floats{true, {}};

gaussmix::AnyMixture loaded(const std::string& bytes) {
  std::istringstream in(bytes);
  return gaussmix::load(in);
}

/// A file of this header, with that many zero bytes after it.
std::string file(const std::string& header, std::size_t data = 0) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(static_cast<unsigned char>(header.size() >> 8 * i));
  return bytes + header + std::string(data, '\0');
}

/// The bytes with the first `from` in them replaced, and the length of the header corrected.
std::string replaced(const std::string& bytes, const std::string& from, const std::string& to) {
  const std::size_t length = static_cast<unsigned char>(bytes[0]) + 256u * static_cast<unsigned char>(bytes[1]);
  std::string header = bytes.substr(8, length);
  const auto at = header.find(from);
  if (at == std::string::npos) throw std::logic_error("nothing to replace: " + from);
  header.replace(at, from.size(), to);
  return file(header) + bytes.substr(8 + length);
}

template <class Covariance>
struct ModelFile : testing::Test {};
TYPED_TEST_SUITE(ModelFile, AllTypes, TypeNames);

TYPED_TEST(ModelFile, comes_back_to_the_bit) {
  const auto mixture = random_mixture<TypeParam>(3, 4, 1, 3, 1e9);
  const std::string bytes = saved(mixture);
  const auto again = loaded(bytes);
  EXPECT_TRUE(same_bits(std::get<gaussmix::Mixture<TypeParam>>(again), mixture));
  EXPECT_EQ(saved(again), bytes);
  EXPECT_EQ((8 + static_cast<unsigned char>(bytes[0])) % 8, 0) << "data must be aligned";
}

TYPED_TEST(ModelFile, floats_come_back_to_the_bit) {
  auto mixture = random_mixture<TypeParam>(3, 4, 2, 3, 1e5);
  EXPECT_THROW(saved(mixture, floats), std::invalid_argument);
  for (Matrix* m : {&mixture.means, &mixture.covariances, &mixture.precisions_cholesky})
    *m = m->template cast<float>().template cast<double>().eval();
  mixture.weights = mixture.weights.template cast<float>().template cast<double>().eval();
  const std::string bytes = saved(mixture, floats);
  EXPECT_TRUE(same_bits(std::get<gaussmix::Mixture<TypeParam>>(loaded(bytes)), mixture));
  // The factors are rounded to floats, which is no mistake in a file of doubles either.
  EXPECT_TRUE(same_bits(std::get<gaussmix::Mixture<TypeParam>>(loaded(saved(mixture))), mixture));
}

TYPED_TEST(ModelFile, ill_conditioned_and_badly_scaled_models_are_accepted) {
  for (const double condition : {1e6, 1e12}) {
    for (unsigned seed = 0; seed < 20; ++seed) {
      auto mixture = random_mixture<TypeParam>(2, 6, seed, 3, condition);
      if (std::string(TypeParam::name) != "spherical") {
        const RowVector scale = (RowVector(6) << 1e-100, 1e-3, 1, 1e5, 1e60, 1e140).finished();
        for (Index m = 0; m < mixture.covariances.rows(); ++m) {
          TypeParam::rescale(mixture.covariances.row(m).data(), scale);
          TypeParam::rescale_factor(mixture.precisions_cholesky.row(m).data(), scale);
        }
      }
      EXPECT_NO_THROW(gaussmix::check_parameters(mixture)) << condition << ' ' << seed;
      for (Matrix* m : {&mixture.covariances, &mixture.precisions_cholesky})
        if (m->cwiseAbs().maxCoeff() < 1e30) *m = m->template cast<float>().template cast<double>().eval();
      EXPECT_NO_THROW(gaussmix::check_parameters(mixture)) << condition << ' ' << seed;
    }
  }
}

TYPED_TEST(ModelFile, a_wrong_factor_is_refused) {
  const auto good = random_mixture<TypeParam>(2, 4, 3, 3, 1e6);
  for (const double factor : {0.999999, 1.000001, -1.0, 1e6, 1e-6}) {
    auto bad = good;
    bad.precisions_cholesky.row(0) *= factor;
    EXPECT_THROW(gaussmix::check_parameters(bad), std::invalid_argument) << factor;
  }
  if (TypeParam::entries(4) != 16) return;
  auto bad = good;
  bad.precisions_cholesky(0, 3) *= -1;
  EXPECT_THROW(gaussmix::check_parameters(bad), std::invalid_argument) << "an entry above the diagonal";
  bad = good;
  bad.precisions_cholesky(0, 4) = 1e-3;
  EXPECT_THROW(gaussmix::check_parameters(bad), std::invalid_argument) << "an entry below the diagonal";
  bad = good;
  bad.covariances(0, 1) *= 1.01;
  EXPECT_THROW(gaussmix::check_parameters(bad), std::invalid_argument) << "not symmetric";
}

TYPED_TEST(ModelFile, parameters_that_are_none_are_neither_written_nor_read) {
  const auto good = random_mixture<TypeParam>(2, 2, 4);
  const std::string bytes = saved(good);
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  // The data begin with the covariances and end with the weights.
  const std::size_t data = bytes.size() - 8 * static_cast<std::size_t>(2 + 4 + 2 * good.covariances.size());
  for (const double value : {nan, infinity, -1.0, 0.0, 1e300}) {
    for (const std::size_t at : {data, bytes.size() - 8}) {
      std::string bad = bytes;
      std::memcpy(&bad[at], &value, 8);
      EXPECT_THROW(loaded(bad), ModelFileError) << value << " at " << at;
    }
    auto bad = good;
    bad.covariances(0, 0) = value;
    EXPECT_THROW(saved(bad), std::invalid_argument) << value;
  }
}

TYPED_TEST(ModelFile, a_file_cut_anywhere_or_longer_is_refused) {
  const std::string bytes = saved(random_mixture<TypeParam>(2, 3, 5));
  for (std::size_t n = 0; n < bytes.size(); ++n) ASSERT_THROW(loaded(bytes.substr(0, n)), ModelFileError) << n;
  EXPECT_THROW(loaded(bytes + '\0'), ModelFileError);
}

TYPED_TEST(ModelFile, any_byte_may_be_wrong) {
  const auto mixture = random_mixture<TypeParam>(2, 2, 6);
  const std::string bytes = saved(mixture);
  for (std::size_t at = 0; at < bytes.size(); ++at)
    for (const unsigned flip : {1u, 0x20u, 0x80u, 0xffu}) {
      std::string bad = bytes;
      bad[at] = static_cast<char>(static_cast<unsigned char>(bad[at]) ^ flip);
      try {  // a low bit of a number may be anything; what is read must still be a mixture
        std::visit([](const auto& m) { gaussmix::check_parameters(m); }, loaded(bad));
      } catch (const ModelFileError&) {
      }
    }
}

std::vector<double> doubles(const fs::path& path) {
  const std::string bytes = contents(path);
  std::vector<double> values(bytes.size() / 8);
  std::memcpy(values.data(), bytes.data(), 8 * values.size());
  return values;
}

/// How far the responsibilities of rows are from those that Python had.
template <class Covariance>
double off(const gaussmix::Mixture<Covariance>& mixture, const std::vector<double>& rows,
           const std::vector<double>& expected) {
  const Index d = mixture.n_features(), n = static_cast<Index>(rows.size()) / d;
  Matrix r(n, mixture.n_components());
  if (expected.size() != static_cast<std::size_t>(r.size())) return HUGE_VAL;
  gaussmix::responsibilities(gaussmix::LogProb<Covariance>(mixture), gaussmix::Data(rows.data(), n, d, d), r.data(), 1);
  return (r - Eigen::Map<const Matrix>(expected.data(), n, r.cols())).cwiseAbs().maxCoeff();
}

TYPED_TEST(ModelFile, files_of_old_releases_are_read) {
  std::size_t folders = 0;
  for (const auto& folder : fs::directory_iterator(fs::path(GAUSSMIX_TEST_DATA) / "data")) {
    if (!folder.is_directory()) continue;
    ++folders;
    for (const std::string dtype : {"float64", "float32"})
      for (const std::string writer : {"python", "cpp"}) {
        const std::string name = std::string(TypeParam::name) + "_" + dtype;
        const fs::path path = folder.path() / (writer + "_" + name + ".safetensors");
        const auto mixture = std::get<gaussmix::Mixture<TypeParam>>(gaussmix::load(path));
        const auto expected = doubles(folder.path() / (name + ".f64"));
        auto at = expected.begin();
        const auto same = [&](const auto& numbers) {
          const bool equal = std::equal(numbers.data(), numbers.data() + numbers.size(), at);
          at += numbers.size();
          return equal;
        };
        EXPECT_TRUE(same(mixture.weights) && same(mixture.means) && same(mixture.covariances) &&
                    same(mixture.precisions_cholesky))
            << path;
        const auto rows = doubles(folder.path() / "rows.f64");
        EXPECT_LE(off(mixture, rows, {at, expected.end()}), 1e-12) << path;
      }
  }
  EXPECT_GE(folders, 1u);
}

TYPED_TEST(ModelFile, responsibilities_of_old_releases_at_other_sizes) {
  std::size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(GAUSSMIX_TEST_DATA) / "data")) {
    fs::path path = entry.path();
    if (path.filename().string().rfind("shape_" + std::string(TypeParam::name) + "_", 0) != 0) continue;
    if (path.extension() != ".safetensors") continue;
    ++files;
    const auto mixture = std::get<gaussmix::Mixture<TypeParam>>(gaussmix::load(path));
    // The rows, then their responsibilities.
    const auto numbers = doubles(path.replace_extension(".f64"));
    const auto k = static_cast<std::size_t>(mixture.n_components()), d = static_cast<std::size_t>(mixture.n_features());
    const auto middle = numbers.begin() + static_cast<std::ptrdiff_t>(numbers.size() / (d + k) * d);
    EXPECT_LE(off(mixture, {numbers.begin(), middle}, {middle, numbers.end()}), 1e-12) << path;
  }
  EXPECT_GE(files, 4u);
}

TEST(ModelFile, files_of_old_releases_are_read_whatever_else_they_hold) {
  for (const auto& folder : fs::directory_iterator(fs::path(GAUSSMIX_TEST_DATA) / "data")) {
    if (!folder.is_directory()) continue;
    gaussmix::ModelInfo info;
    const auto mixture = std::get<gaussmix::Mixture<gaussmix::Diagonal>>(
        gaussmix::load(folder.path() / "python_everything.safetensors", &info));
    EXPECT_FALSE(info.single);
    EXPECT_EQ(info.feature_names, (std::vector<std::string>{"a", "Länge", "x \"y\""}));
    EXPECT_EQ(mixture.means.rows(), 3);
    // 40 of the 340 rows were at (50, 50, 50).
    Index nearest = 0;
    (mixture.means.array() - 50).matrix().rowwise().norm().minCoeff(&nearest);
    EXPECT_NEAR(mixture.weights(nearest), 40.0 / 340, 1e-9);
  }
}

TEST(ModelFile, the_corpus_of_the_fuzzer_is_read_or_refused) {
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(GAUSSMIX_TEST_DATA) / "cpp" / "fuzz" / "corpus")) {
    const std::string bytes = contents(entry.path());
    EXPECT_EQ(LLVMFuzzerTestOneInput(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()), 0);
    ++files;
  }
  EXPECT_GE(files, 10u);
}

TEST(ModelFile, damaged_files_of_which_python_says_the_same) {
  const fs::path data = fs::path(GAUSSMIX_TEST_DATA) / "data";  // mutations.py there tells what is in it
  std::ifstream list(data / "mutations.txt");
  std::size_t lines = 0;
  for (std::string line; std::getline(list, line); ++lines) {
    std::istringstream words(line);
    std::string base, verdict, step;
    words >> base >> verdict;
    std::string bytes = contents(data / base);
    while (words >> step) {
      std::size_t offset = 0, removed = 0;
      char colon = 0;
      std::string hex, put;
      std::istringstream(step) >> offset >> colon >> removed >> colon >> hex;
      for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        put += static_cast<char>(static_cast<unsigned char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
      bytes.replace(offset, removed, put);
    }
    std::string found = "loaded", why;
    try {
      loaded(bytes);
    } catch (const ModelFileError& error) {
      found = "refused";
      why = error.what();
    }
    EXPECT_EQ(found, verdict) << line << "\n" << why;
  }
  EXPECT_GT(lines, 500u);
}

TEST(ModelFile, as_many_entries_as_may_be) {
  const auto header = [](int strings, int tensors) {
    std::string text = "{\"__metadata__\":{\"0\":\"\"";
    for (int i = 1; i < strings; ++i) text += ",\"" + std::to_string(i) + "\":\"\"";
    text += '}';
    for (int i = 0; i < tensors; ++i)
      text += ",\"" + std::to_string(i) + R"(":{"dtype":"F64","shape":[0],"data_offsets":[0,0]})";
    return text + '}';
  };
  EXPECT_NO_THROW(gaussmix::safetensors::parse_header(header(1024, 1024), 0));
  EXPECT_THROW(gaussmix::safetensors::parse_header(header(1025, 1024), 0), ModelFileError);
  EXPECT_THROW(gaussmix::safetensors::parse_header(header(1024, 1025), 0), ModelFileError);
}

const std::string metadata =
    R"("__metadata__":{"format":"gaussmix","version":"1","covariance_type":"spherical","dtype":"float64"})";
const std::string tensors = R"("means":{"dtype":"F64","shape":[1,1],"data_offsets":[0,8]},)"
                            R"("weights":{"dtype":"F64","shape":[1],"data_offsets":[8,16]},)"
                            R"("covariances":{"dtype":"F64","shape":[1],"data_offsets":[16,24]},)"
                            R"("precisions_cholesky":{"dtype":"F64","shape":[1],"data_offsets":[24,32]})";

/// A standard normal distribution under that header.
std::string standard_normal(const std::string& header) {
  std::string bytes = file(header, 32);
  const double one = 1;
  for (std::size_t from_end : {24u, 16u, 8u}) std::memcpy(&bytes[bytes.size() - from_end], &one, 8);
  return bytes;
}

TEST(ModelFile, any_form_of_the_header_is_read) {
  const std::string spaced = "\n {\t" + metadata + " ,\r\n" + tensors + " } \n";
  const std::string last = "{" + tensors + "," + metadata + "}";
  std::string escaped = "{" + metadata + "," + tensors + "}";
  escaped.replace(escaped.find("gaussmix"), 8, R"(\u0067auss\u006Dix)");
  escaped.replace(escaped.find("\"format"), 1, R"("x\"\\\/\b\f\n\r\t\ud83d\ude00é":"€😀","","format)");
  escaped.replace(escaped.find("\"\",\"format"), 3, "");
  const std::string more =
      "{" + metadata + "," + tensors + R"(,"more":{"shape":[0,7],"data_offsets":[32,32],"dtype":"I64"}})";
  for (const std::string& header : {spaced, last, more, "{" + metadata + "," + tensors + "}"})
    EXPECT_EQ(std::visit([](const auto& m) { return m.n_features(); }, loaded(standard_normal(header))), 1) << header;
}

TEST(ModelFile, strings_with_escapes_are_read_and_written) {
  const auto header = gaussmix::safetensors::parse_header(
      R"({"__metadata__":{"a":"\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC\ud83d\ude00","é€😀":""}})", 0);
  EXPECT_EQ(header.metadata.at("a"), "\"\\/\b\f\n\r\tAé€😀");
  EXPECT_EQ(header.metadata.count("é€😀"), 1u);
  std::ostringstream out;
  gaussmix::safetensors::write_header(out, header);
  std::istringstream in(out.str());
  EXPECT_EQ(gaussmix::safetensors::read_header(in, out.str().size()).metadata, header.metadata);
}

TEST(ModelFile, headers_that_are_none_are_refused) {
  for (const std::string text : {"",
                                 "{",
                                 "[]",
                                 "{}x",
                                 "null",
                                 "{\"a\":1}",
                                 "{\"a\":{}}",
                                 "{,}",
                                 "{\"a\" {}}",
                                 "{\"__metadata__\":{\"a\":1}}",
                                 "{\"__metadata__\":{\"a\":\"b\",}}",
                                 "{\"__metadata__\":{\"a\":\"\n\"}}",
                                 "{\"__metadata__\":{\"a\":\"\\x\"}}",
                                 "{\"__metadata__\":{\"a\":\"\\ud800\"}}",
                                 "{\"__metadata__\":{\"a\":\"\\udc00\"}}",
                                 "{\"__metadata__\":{\"a\":\"\\ud800\\u0041\"}}",
                                 "{\"__metadata__\":{\"a\":\"\\u12g4\"}}",
                                 "{\"__metadata__\":{\"a\":\"\x80\"}}",
                                 "{\"__metadata__\":{\"a\":\"\xc0\xaf\"}}",
                                 "{\"__metadata__\":{\"a\":\"\xed\xa0\x80\"}}",
                                 "{\"__metadata__\":{\"a\":\"\xf4\x90\x80\x80\"}}",
                                 "{\"__metadata__\":{\"a\":\"\xe2\x82\"}}",
                                 "{\"__metadata__\":{\"a\":\"b\",\"a\":\"b\"}}",
                                 "{\"__metadata__\":{},\"__metadata__\":{}}"})
    EXPECT_THROW(gaussmix::safetensors::parse_header(text, 0), ModelFileError) << text;
  const std::string deep(100000, '[');
  EXPECT_THROW(gaussmix::safetensors::parse_header(deep, 0), ModelFileError);
  EXPECT_THROW(gaussmix::safetensors::parse_header("{\"a\":{\"shape\":" + deep, 0), ModelFileError);
}

TEST(ModelFile, tensors_that_do_not_fit_are_refused) {
  const auto with = [](const std::string& tensor) {
    return gaussmix::safetensors::parse_header("{" + tensor + "}", 16);
  };
  const std::string good = R"("a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]})";
  EXPECT_EQ(with(good).tensors.at("a").end, 16u);
  for (
      const std::string& bad : std::vector<std::string>{
          good + "," + good, R"("a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]})",
          R"("a":{"dtype":"F64","shape":[2],"data_offsets":[8,24]})",
          R"("a":{"dtype":"F64","shape":[2],"data_offsets":[16,0]})",
          R"("a":{"dtype":"F64","shape":[2],"data_offsets":[0,16,16]})",
          R"("a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]},"b":{"dtype":"F64","shape":[1],"data_offsets":[8,16]})",
          R"("a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]})",
          R"("a":{"dtype":"F64","shape":[4294967296,4294967297],"data_offsets":[0,16]})",
          R"("a":{"dtype":"F64","shape":[2305843009213693954],"data_offsets":[0,16]})",
          R"("a":{"dtype":"F64","shape":[18446744073709551618],"data_offsets":[0,16]})",
          R"("a":{"dtype":"F64","shape":[-2],"data_offsets":[0,16]})",
          R"("a":{"dtype":"F64","shape":[2.0],"data_offsets":[0,16]})",
          R"("a":{"dtype":"F64","shape":[02],"data_offsets":[0,16]})",
          R"("a":{"dtype":"F64","shape":[2,1,1,1,1,1,1,1,1],"data_offsets":[0,16]})",
          R"("a":{"dtype":"F64","shape":[[2]],"data_offsets":[0,16]})",
          R"("a":{"dtype":"BF16","shape":[8],"data_offsets":[0,16]})", R"("a":{"dtype":"F64","shape":[2]})",
          R"("a":{"dtype":"F64","shape":[2],"shape":[2],"data_offsets":[0,16]})",
          R"("a":{"dtype":"F64","shape":[2],"data_offsets":[0,16],"more":[0]})"})
    EXPECT_THROW(with(bad), ModelFileError) << bad;
}

TEST(ModelFile, models_that_are_not_understood_are_refused) {
  const std::string good = standard_normal("{" + metadata + "," + tensors + "}");
  ASSERT_NO_THROW(loaded(good));
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"gaussmix", "pt"},
                                                        {"\"1\"", "\"2\""},
                                                        {"spherical", "cubical"},
                                                        {"float64", "float16"},
                                                        {"float64", "float32"},
                                                        {"\"format\"", "\"form\""},
                                                        {"\"version\"", "\"v\""},
                                                        {"\"dtype\":\"float64\"", "\"x\":\"\""},
                                                        {"means", "mean"},
                                                        {"weights", "weight"},
                                                        {"[1,1]", "[1]"},
                                                        {"[1,1]", "[1,1,1]"},
                                                        {"spherical", "diag"}})
    EXPECT_THROW(loaded(replaced(good, from, to)), ModelFileError) << from << " -> " << to;
  try {
    loaded(replaced(good, "\"1\"", "\"2\""));
  } catch (const ModelFileError& error) {
    EXPECT_NE(std::string(error.what()).find("reads version 1"), std::string::npos) << error.what();
  }
}

TEST(ModelFile, names_and_dtype_are_told) {
  const std::string good = standard_normal("{" + metadata + "," + tensors + "}");
  const auto info_of = [](const std::string& bytes) {
    std::istringstream in(bytes);
    gaussmix::ModelInfo info;
    info.feature_names = {"left", "over"};
    gaussmix::load(in, &info);
    return info;
  };
  const auto named = [&](const std::string& names) {
    return info_of(replaced(good, "\"dtype\":\"float64\"", "\"dtype\":\"float64\",\"feature_names\":\"" + names + '"'));
  };
  EXPECT_TRUE(info_of(good).feature_names.empty());
  EXPECT_FALSE(info_of(good).single);
  EXPECT_EQ(named(R"( [ \"a \\\"b\\\"\" ] )").feature_names, std::vector<std::string>{"a \"b\""});
  for (const char* bad : {"", "[]", "[1]", R"([\"a\",\"b\"])", R"([\"a\")", R"([\"a\"]x)", R"({\"a\":\"b\"})"})
    EXPECT_THROW(named(bad), ModelFileError) << bad;
  // Whether it is asked for or not.
  EXPECT_THROW(loaded(replaced(good, "\"dtype\":\"float64\"", "\"dtype\":\"float64\",\"feature_names\":\"[]\"")),
               ModelFileError);
  auto rounded = random_mixture<gaussmix::Full>(1, 2, 3);
  for (Matrix* m : {&rounded.means, &rounded.covariances, &rounded.precisions_cholesky})
    *m = m->cast<float>().cast<double>().eval();
  EXPECT_TRUE(info_of(saved(rounded, floats)).single);
}

TEST(ModelFile, names_are_written) {
  const auto mixture = random_mixture<gaussmix::Tied>(2, 3, 10);
  const gaussmix::ModelInfo info{false, {"", "é€😀", "a \"b\\\n"}};
  const std::string bytes = saved(mixture, info);
  std::istringstream in(bytes);
  gaussmix::ModelInfo again;
  EXPECT_TRUE(same_bits(std::get<gaussmix::Mixture<gaussmix::Tied>>(gaussmix::load(in, &again)), mixture));
  EXPECT_EQ(again.feature_names, info.feature_names);
  EXPECT_EQ(saved(mixture, again), bytes);
  for (const std::string& bad : {std::string("\x80"), std::string("\xed\xa0\x80"), std::string(1 << 24, 'a')})
    EXPECT_THROW(saved(mixture, {false, {"", "", bad}}), std::invalid_argument) << bad.substr(0, 3);
  EXPECT_THROW(saved(mixture, {false, {"a", "b"}}), std::invalid_argument);
}

TEST(ModelFile, the_format_of_a_stream_does_not_matter) {
  const auto mixture = random_mixture<gaussmix::Full>(2, 3, 10);
  std::ostringstream out;
  out << std::hex << std::showbase << std::setfill('*') << std::setw(5000);
  gaussmix::save(mixture, out);
  EXPECT_EQ(out.str(), saved(mixture));
}

TEST(ModelFile, a_huge_header_is_not_allocated) {
  for (const int top : {0x01, 0x7f, 0xff}) {
    std::string bytes(16, '\0');
    bytes[7] = static_cast<char>(top);
    EXPECT_THROW(loaded(bytes), ModelFileError);
  }
}

TEST(ModelFile, files_are_replaced_whole) {
  const Folder folder;
  const fs::path path = folder.path / "model.safetensors";
  const auto first = random_mixture<gaussmix::Full>(2, 3, 7), second = random_mixture<gaussmix::Full>(4, 2, 8);
  gaussmix::save(first, path);
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("model.safetensors", folder.path / "link");
  gaussmix::save(gaussmix::AnyMixture(second), folder.path / "link");
  EXPECT_TRUE(fs::is_symlink(folder.path / "link"));
  EXPECT_TRUE(same_bits(std::get<gaussmix::Mixture<gaussmix::Full>>(gaussmix::load(path)), second));
  EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_read | fs::perms::owner_write);

  auto bad = second;
  bad.weights(0) = 5;
  EXPECT_THROW(gaussmix::save(bad, path), std::invalid_argument);
  EXPECT_EQ(contents(path), saved(second));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()), 2) << "a file was left";
}

#ifdef __unix__
TEST(ModelFile, the_group_of_a_file_is_kept) {
  const Folder folder;
  const fs::path path = folder.path / "model.safetensors";
  const auto mixture = random_mixture<gaussmix::Diagonal>(2, 3, 7);
  gaussmix::save(mixture, path);
  const gid_t group = geteuid() == 0 ? 12345 : getegid();
  ASSERT_EQ(chown(path.c_str(), static_cast<uid_t>(-1), group), 0);
  ASSERT_EQ(chmod(path.c_str(), 0440), 0);
  struct stat before{}, after{};
  ASSERT_EQ(stat(path.c_str(), &before), 0);
  gaussmix::save(mixture, path);
  ASSERT_EQ(stat(path.c_str(), &after), 0);
  EXPECT_NE(after.st_ino, before.st_ino);
  EXPECT_EQ(after.st_gid, group);
  EXPECT_EQ(after.st_mode, before.st_mode);
}

/// Files may have no more bytes than that while it lives: a disk that is full.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST(ModelFile, a_full_disk_keeps_the_old_file) {
  const Folder folder;
  const fs::path path = folder.path / "model.safetensors";
  const auto old = random_mixture<gaussmix::Diagonal>(2, 3, 7);
  gaussmix::save(old, path);
  // What is buffered fails at the end, what is more at once.
  for (const Index k : {3, 3000}) {
    const auto mixture = random_mixture<gaussmix::Diagonal>(k, 3, 8);
    std::error_code code;
    {
      const FileSizeLimit limit(100);
      try {
        gaussmix::save(mixture, path);
      } catch (const std::system_error& error) {
        code = error.code();
      }
    }
    EXPECT_EQ(code, std::errc::file_too_large) << k;
    EXPECT_EQ(contents(path), saved(old));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()), 1) << "a file was left";
  }
}
#endif

#ifdef __unix__
TEST(ModelFile, a_process_that_is_killed_leaves_a_whole_file) {
  const Folder folder;
  const fs::path path = folder.path / "model.safetensors";
  const auto small = random_mixture<gaussmix::Diagonal>(2, 3, 7),
             large = random_mixture<gaussmix::Diagonal>(20000, 3, 8);
  const std::string files[] = {saved(small), saved(large)};
  gaussmix::replace_file(path, files[0]);
  int unfinished = 0;
  for (useconds_t round = 0; round < 40; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0)
      for (int i = 1;; ++i) gaussmix::replace_file(path, files[i % 2]);
    usleep(1000 + 500 * round);
    kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    const std::string left = contents(path);
    ASSERT_TRUE(left == files[0] || left == files[1]) << round;
    for (const auto& entry : fs::directory_iterator(folder.path))
      if (entry.path() != path) unfinished += fs::remove(entry.path());
  }
  EXPECT_GT(unfinished, 0) << "no write was interrupted";
}
#endif

TEST(ModelFile, a_stream_that_fails_is_an_error) {
  std::ostringstream out;
  out.setstate(std::ios::badbit);
  EXPECT_THROW(gaussmix::save(random_mixture<gaussmix::Full>(2, 3, 7), out), std::system_error);
}

/// A stream that fails, as a disk does, after so many bytes.
class Failing : public std::stringbuf {
 public:
  Failing(const std::string& bytes, std::streamsize good) : std::stringbuf(bytes), left_(good) {}

 protected:
  std::streamsize xsgetn(char* to, std::streamsize n) override {
    left_ -= n;
    if (left_ >= 0) return std::stringbuf::xsgetn(to, n);
    errno = ETIMEDOUT;
    throw std::runtime_error("no more");
  }

 private:
  std::streamsize left_;
};

TEST(ModelFile, a_stream_that_cannot_be_read_on_is_an_error_of_the_system) {
  const std::string bytes = saved(random_mixture<gaussmix::Full>(2, 3, 7));
  for (const std::streamsize good : {0, 8, static_cast<int>(bytes.size()) - 100, static_cast<int>(bytes.size()) - 1}) {
    Failing buffer(bytes, good);
    std::istream in(&buffer);
    std::error_code code;
    try {
      gaussmix::load(in);
    } catch (const std::system_error& error) {
      code = error.code();
    }
    EXPECT_EQ(code, std::errc::timed_out) << good;
  }
}

#ifdef __unix__
TEST(ModelFile, why_a_file_cannot_be_opened_is_told) {
  const Folder folder;
  gaussmix::save(random_mixture<gaussmix::Full>(2, 3, 7), folder.path / "model");
  const auto why = [](const fs::path& path) {
    try {
      gaussmix::load(path);
    } catch (const std::system_error& error) {
      return error.code();
    }
    return std::error_code();
  };
  EXPECT_EQ(why(folder.path / "none"), std::errc::no_such_file_or_directory);
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{0, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  const std::error_code code = why(folder.path / "model");
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(code, std::errc::too_many_files_open);
}
#endif

TEST(ModelFile, its_error_is_one_of_data_like_the_others) {
  EXPECT_THROW(gaussmix::load(fs::temp_directory_path()), std::invalid_argument);
}

TEST(ModelFile, what_is_no_file_is_an_error) {
  const Folder folder;
  EXPECT_THROW(gaussmix::load(folder.path / "none"), std::system_error);
  EXPECT_THROW(gaussmix::load(folder.path), ModelFileError);
  const auto mixture = random_mixture<gaussmix::Tied>(2, 3, 9);
  EXPECT_THROW(gaussmix::save(mixture, folder.path), std::system_error);
  EXPECT_THROW(gaussmix::save(mixture, folder.path / "none" / "model"), std::system_error);
  EXPECT_TRUE(fs::is_empty(folder.path));
}

}  // namespace
