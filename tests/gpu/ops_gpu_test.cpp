// Every row of the op table on the GPU: value and gradient in f64 and f32 against the CPU.
#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "autograd/ops.h"
#include "tensor/copy.h"
#include "tensor/random.h"
#include "tests/gpu/near.h"
#include "tests/tensor/operands.h"
#include "vae/fused.h"
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

  TEST_CASE("the cost of a batch is the CPU's, whether or not a block is enough for it") {
    for (int64_t points : {7, 300, 9000}) {
      const Tensor likelihood = normal({3, 2, points}, DType::f64, {.seed = 1, .stream = kTestInput});
      const Tensor kl = normal({3, points}, DType::f64, {.seed = 2, .stream = kTestInput});
      const Tensor weight = Tensor::from<double>({3}, {1, 0.5, 0});
      const auto there = [](const Tensor& x) { return x.to(Device::cuda); };
      const BatchCost a = batch_cost(there(likelihood), there(kl), there(weight));
      const BatchCost b = batch_cost(likelihood, kl, weight);
      CHECK(near(a.cost.value(), b.cost.value(), 1e-12));
      CHECK(near(a.log_likelihood, b.log_likelihood, 1e-12));
      CHECK(near(a.kl, b.kl, 1e-12));
    }
  }

  TEST_CASE("rows are added where they belong, the CPU's bits whatever is repeated") {
    for (const int64_t width : {1, 5, 300}) {
      const Tensor rows = normal({400, width}, DType::f32, {.seed = 3, .stream = kTestInput});
      const Tensor order = permutation(400, {.seed = 4, .stream = kTestInput});
      for (const int64_t targets : {1, 7, 33, 400}) {
        const Tensor indices = order.clone();
        for (int64_t& index : indices.span<int64_t>()) index %= targets;
        const Tensor here = Tensor::full({targets, width}, 0.1), there = here.to(Device::cuda);
        scatter_add_rows(here, indices, rows);
        scatter_add_rows(there, indices, rows.to(Device::cuda));
        CHECK(same_bits(there.to(Device::cpu), here));
      }
    }
  }

  TEST_CASE("a layer lets NaN through, whatever computes its bias and activation") {
    for (auto [rows, in, out] : {std::array<int64_t, 3>{8, 16, 32}, {128, 784, 512}}) {
      const Tensor x = Tensor::full({rows, in}, 1);
      x.data<float>()[3 * in + 5] = std::nanf("");
      const Tensor w = Tensor::full({out, in}, 1), b = Tensor::zeros({out});
      for (Activation activation : {Activation::none, Activation::relu, Activation::elu}) {
        const Variable y = linear(x.to(Device::cuda), w.to(Device::cuda), b.to(Device::cuda), activation);
        CHECK(y.value().at(2 * out) == static_cast<double>(in));
        CHECK(std::isnan(y.value().at(3 * out)));
      }
    }
  }
}

}  // namespace elbo
