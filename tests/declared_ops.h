// declared_ops: the ops that a header declares, read from its text, so that a test notices an op without a
// row.
#pragma once

#include <doctest/doctest.h>

#include <fstream>
#include <regex>
#include <set>
#include <string>

#include "tests/source_file.h"

namespace elbo {

/// Names of the functions that a header, named from the repository's root, declares as returning Variables:
/// Variable, a vector of them, PosteriorTerms, BatchCost, BatchNormalized or LinearTarget. Twins (`*_twin`)
/// are definitions to compare with, not ops.
inline std::set<std::string> declared_ops(const std::string& header) {
  std::ifstream file(source_file(header));
  REQUIRE(file.good());
  const std::regex declaration(
      R"(^(?:Variable|(?:std::v|KeptV)ector<Variable>|PosteriorTerms|BatchCost|BatchNormalized|LinearTarget) (\w+)\()");
  std::set<std::string> names;
  for (std::string line; std::getline(file, line);)
    if (std::smatch match; std::regex_search(line, match, declaration))
      if (const std::string name = match[1]; !name.ends_with("_twin")) names.insert(name);
  return names;
}

}  // namespace elbo
