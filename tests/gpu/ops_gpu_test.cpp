// Every row of the op table on the GPU: value and gradient in f64 and f32 against the CPU.
#include <doctest/doctest.h>

#include "vae/op_table.h"

namespace elbo {

TEST_SUITE("gpu") {
  TEST_CASE("every op gives the CPU's value and gradient") {
    for (const OpRow& row : op_table()) {
      const GpuCheck check = check_op_on_gpu(row);
      CAPTURE(row.name);
      for (const Shape& shape : row.shapes) INFO(shape.str());
      CHECK(check.error <= kGpuTolerance);
      CHECK(check.float_error <= kGpuFloatTolerance);
    }
  }
}

}  // namespace elbo
