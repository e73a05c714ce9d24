// The libFuzzer target of the reader of model files: bytes are refused, or are a mixture that is written and read again
// to the same bytes. Built with Clang by GAUSSMIX_FUZZ; without it io_test.cpp replays the corpus.
#include <cstdlib>
#include <sstream>
#include <string>

#include "gaussmix/io.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  std::istringstream in(std::string(reinterpret_cast<const char*>(data), size));
  std::ostringstream first, second;
  try {
    gaussmix::ModelInfo info;
    gaussmix::save(gaussmix::load(in, &info), first);
  } catch (const gaussmix::ModelFileError&) {
    return 0;
  }
  std::istringstream again(first.str());
  gaussmix::save(gaussmix::load(again), second);
  if (first.str() != second.str()) std::abort();
  return 0;
}
