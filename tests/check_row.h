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
  CHECK(check.gradient_error <= kGradientTolerance);
  CHECK(check.addition_error <= kAdditionTolerance);
  CHECK(check.float_error <= kFloatTolerance);
  CHECK(check.twin_error <= kTwinTolerance);
  CHECK(passes(check));
  return check;
}

}  // namespace elbo
