// Every row of the op table on the GPU: value and gradient in f64 and f32 against the CPU.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops.h"
#include "vae/op_table.h"

namespace elbo {

TEST_SUITE("gpu") {
  TEST_CASE("every op gives the CPU's value and gradient") {
    for (const OpRow& row : op_table()) {
      const GpuCheck check = check_op_on_gpu(row);
      CAPTURE(row.name);
      std::string shapes;
      for (const Shape& shape : row.shapes) shapes += shape.str();
      CAPTURE(shapes);
      CHECK(check.error <= kGpuTolerance);
      CHECK(check.float_error <= kGpuFloatTolerance);
    }
  }

  TEST_CASE("a layer lets NaN through, whatever computes its bias and activation") {
    const Tensor x = Tensor::full({8, 16}, 1);
    x.data<float>()[3 * 16 + 5] = std::nanf("");
    const Tensor w = Tensor::full({32, 16}, 1), b = Tensor::zeros({32});
    for (Activation activation : {Activation::none, Activation::relu, Activation::elu}) {
      const Variable y = linear(x.to(Device::cuda), w.to(Device::cuda), b.to(Device::cuda), activation);
      CHECK(y.value().at(2 * 32) == 16);
      CHECK(std::isnan(y.value().at(3 * 32)));
    }
  }
}

}  // namespace elbo
