// The one file that is compiled with the checkout's path, so that a compiler's cache serves all checkouts.
#include "tests/source_file.h"

namespace elbo {

std::string source_file(const std::string& name) { return ELBO_SOURCE_DIR "/" + name; }

}  // namespace elbo
