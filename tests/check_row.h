// check_row: one row of an op table holds all it promises. Fails the test case with the row's name and
// shapes.
#pragma once

#include <doctest/doctest.h>

#include "autograd/gradcheck.h"

namespace elbo {

inline OpCheck check_row(const OpRow& row) {
  const OpCheck check = check_op(row);
  CAPTURE(check.name);
  CAPTURE(check.shapes);
  for (const Comparison& comparison : comparisons(check)) {
    CAPTURE(comparison.str());
    CHECK(comparison.passes());
  }
  CHECK(passes(check));
  return check;
}

}  // namespace elbo
