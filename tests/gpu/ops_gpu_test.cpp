// Every row of the op table on the GPU: value and gradient in f64 and f32 against the CPU.
#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "autograd/ops.h"
#include "tensor/copy.h"
#include "tensor/gemm.h"
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

  TEST_CASE("samples of points with several axes of their own stand where the CPU has them") {
    const Tensor mean = normal({2, 4, 3}, DType::f32, {.seed = 5, .stream = kTestInput}),
                 log_variance = normal({2, 4, 3}, DType::f32, {.seed = 6, .stream = kTestInput});
    const RandomKey key{.seed = 7, .stream = kLatentNoise};
    for (const int64_t samples : {1, 5}) {
      const PosteriorTerms here = reparameterize_kl(mean, log_variance, key, 1, samples);
      const PosteriorTerms there =
          reparameterize_kl(mean.to(Device::cuda), log_variance.to(Device::cuda), key, 1, samples);
      CHECK(near(there.z.value(), here.z.value(), 1e-5));
      CHECK(near(there.kl.value(), here.kl.value(), 1e-5));
    }
    const Tensor rows = mean.slice(0).to(Device::cuda);
    CHECK_THROWS_AS(reparameterize_kl(rows, rows, key, 2), Error);
  }

  TEST_CASE("operands in two places, or of two types, are refused before a kernel reads them") {
    const auto there = [](const Tensor& x) { return x.to(Device::cuda); };
    const Tensor x = Tensor::zeros({4, 3}), w = Tensor::zeros({2, 3}), b = Tensor::zeros({2});
    for (const Activation activation : {Activation::none, Activation::relu, Activation::tanh}) {
      CHECK_THROWS_AS(linear(there(x), w, b, activation), Error);
      CHECK_THROWS_AS(linear(x, there(w), there(b), activation), Error);
      CHECK_THROWS_AS(linear(there(x), there(w), b, activation), Error);
      CHECK_THROWS_AS(linear(there(x), there(w.to(DType::f64)), there(b.to(DType::f64)), activation), Error);
    }
    CHECK_THROWS_AS(reparameterize_kl(there(x), x, {.stream = kLatentNoise}), Error);
    CHECK_THROWS_AS(batch_cost(Tensor::zeros({4}), there(Tensor::zeros({4})), there(Tensor::zeros({}))),
                    Error);
    CHECK_THROWS_AS(batch_cost(there(Tensor::zeros({4})), Tensor::zeros({4}), there(Tensor::zeros({}))),
                    Error);
  }

  TEST_CASE("a step number that would repeat the noise of another is refused") {
    const Tensor x = Tensor::zeros({4, 3}).to(Device::cuda);
    CHECK_THROWS_AS(reparameterize_kl(x, x, {.stream = kLatentNoise, .step = uint64_t{1} << 32}), Error);
    CHECK_THROWS_AS(
        reparameterize_kl(x, x, {.stream = kLatentNoise, .step = (uint64_t{1} << 32) - 1}, 1, 2, 2), Error);
  }

  TEST_CASE("a layer lets NaN through, whatever computes its bias and activation") {
    const MatmulPrecision usual = matmul_precision();
    for (const MatmulPrecision precision :
         {MatmulPrecision::f32, MatmulPrecision::tf32, MatmulPrecision::bf16})
      for (auto [rows, in, out] : {std::array<int64_t, 3>{8, 16, 32}, {128, 784, 512}}) {
        CAPTURE(name(precision));
        set_matmul_precision(precision);
        const Tensor x = Tensor::full({rows, in}, 1);
        x.data<float>()[3 * in + 5] = std::nanf("");
        const Tensor w = Tensor::full({out, in}, 1), b = Tensor::zeros({out});
        for (Activation activation : {Activation::none, Activation::relu, Activation::elu}) {
          const Variable y = linear(x.to(Device::cuda), w.to(Device::cuda), b.to(Device::cuda), activation);
          CHECK(y.value().at(2 * out) == static_cast<double>(in));
          CHECK(std::isnan(y.value().at(3 * out)));
        }
      }
    set_matmul_precision(usual);
  }
}

}  // namespace elbo
