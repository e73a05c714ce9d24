// Each copy of the library runs its own functions. Were they merged, two copies would tell the same.
#include <cstdio>

#include "program.hpp"

int main() {
  const Told one = of_this::tell(), two = of_other::tell(), three = of_scalar::tell();
  for (const Told& told : {one, two, three})
    std::printf("version %d, panels of %ld rows: %s\n", told.version, told.panel_rows, told.message.c_str());
  const bool versions_apart = two.version == one.version + 99 && one.message.find("means must be") == 0 &&
                              two.message.find("the means of another version") == 0 && three.message == one.message;
  const bool sets_apart = one.panel_rows == two.panel_rows && three.panel_rows == 3;
  return versions_apart && sets_apart ? 0 : 1;
}
