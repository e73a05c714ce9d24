// The libFuzzer target of the reader of model files: bytes are refused, or are a mixture that is written and read again
// to the same bytes. Built with Clang by GAUSSMIX_FUZZ; without it io_test.cpp replays the corpus.
#include <cstdlib>
#include <optional>
#include <sstream>
#include <string>

#include "gaussmix/io.hpp"

namespace {

std::optional<gaussmix::AnyMixture> loaded(const std::string& bytes, gaussmix::ModelInfo* info) {
  std::istringstream in(bytes);
  try {
    return gaussmix::load(in, info);
  } catch (const gaussmix::ModelFileError&) {
    return {};
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  gaussmix::ModelInfo info, again;
  const auto mixture = loaded(bytes, &info);
  if (loaded(bytes, nullptr).has_value() != mixture.has_value()) std::abort();
  if (!mixture) return 0;
  std::ostringstream first, second;
  gaussmix::save(*mixture, first, info);
  gaussmix::save(loaded(first.str(), &again).value(), second, again);
  if (first.str() != second.str()) std::abort();
  return 0;
}
