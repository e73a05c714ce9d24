// What each copy of the library in the program tells of itself.
#pragma once

#include <string>

struct Told {
  int version;
  std::string message;  ///< of the exception that means without rows make
  long panel_rows;      ///< rows of a panel, which depend on the instruction set
};

namespace of_this {
Told tell();
}
namespace of_other {
Told tell();
}
namespace of_scalar {
Told tell();
}
