// rewrite FROM TO: reads a model file and writes it again, so that there are files of the C++ writer too.
#include <cstdio>
#include <exception>

#include "gaussmix/io.hpp"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    gaussmix::ModelInfo info;
    const gaussmix::AnyMixture mixture = gaussmix::load(argv[1], &info);
    gaussmix::save(mixture, argv[2], info);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
