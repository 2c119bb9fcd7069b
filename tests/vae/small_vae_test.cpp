// The whole cost of a small VAE in one op on the CPU (vae/small_vae.h), beside plain ops and differences.
#include "tests/vae/small_vae.h"

#include "tests/thread_count.h"

namespace elbo {
namespace {

using namespace small_vae_tests;

std::vector<std::vector<double>> numbers_of(const Found& found) {
  std::vector<std::vector<double>> numbers{found.terms.cost.to_vector()};
  for (const Tensor& probe : found.terms.probes) numbers.push_back(probe.to_vector());
  for (const Tensor& gradient : found.gradients)
    if (gradient.defined()) numbers.push_back(gradient.to_vector());
  return numbers;
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("small VAEs in one op: cost, probes and gradients of every model, as plain ops have them") {
    for (const DType dtype : {DType::f32, DType::f64}) check_every_model(dtype, Device::cpu, 500);
  }

  TEST_CASE(
      "small VAEs in one op: samples in shares, of parts, of rows of a larger batch; parts of many rows") {
    for (const DType dtype : {DType::f32, DType::f64}) {
      check_shares(dtype, Device::cpu);
      check_as_plain(made_of("own variance", parts_models::own_variance_model, dtype), {.rows = 20001}, 0,
                     Device::cpu);
      check_as_plain(luecke("VAE-3", LueckeModel::vae3, dtype), {.rows = 1000, .samples = 24}, 0,
                     Device::cpu);
    }
  }

  TEST_CASE("small VAEs in one op: the gradients are what differences of the cost are") {
    for (const Model& model : models(DType::f64)) {
      CAPTURE(model.name);
      const auto vae = model.make(Device::cpu, 0, 0);
      const Batch batch{.rows = 30, .samples = 2};
      const Tensor x = x_of(model, batch, 0);
      const Found found = differentiated(*vae, x, batch);
      auto&& parameters = vae->parameters().all();
      for (size_t i = 0; i < parameters.size(); ++i) {
        if (!parameters[i].trained) continue;
        CAPTURE(parameters[i].name);
        double& number = parameters[i].value.span<double>()[0];
        const double before = number, step = 1e-6;
        const auto cost_at = [&](double value) {
          number = value;
          return differentiated(*vae, x, batch).terms.cost.item();
        };
        const double difference = (cost_at(before + step) - cost_at(before - step)) / (2 * step);
        number = before;
        CHECK(found.gradients[i].to_vector()[0] == doctest::Approx(difference).epsilon(1e-6));
      }
    }
  }

  TEST_CASE("small VAEs in one op: what the op does not take is left to plain ops") {
    check_left_to_plain_ops(Device::cpu, {deep("wide", Likelihood::bernoulli, {129}, 5, 2),
                                          deep("wide data", Likelihood::bernoulli, {8}, 129, 2)});
    const auto vae = models()[0].make(Device::cpu, 0, 0);
    const Tensor one = Tensor::full({}, 1);
    CHECK_THROWS_WITH(
        small_vae_cost(*vae, Tensor::zeros({4, 3}), one, {}, 1, 1, {}),
        "[small_vae_cost] x must be points of 5 numbers of the model's type and device, got (4, 3)");
    CHECK_THROWS_WITH(small_vae_cost(*made_of("", parts_models::learned_prior_model).make(Device::cpu, 0, 0),
                                     Tensor::zeros({4, 3}), one, {}, 1, 1, {}),
                      "[small_vae_cost] the op does not take this model");
  }

  TEST_CASE("small VAEs in one op: a member's bits are those that it has alone, beside one that broke") {
    check_members_apart(Device::cpu, 430);
  }

  TEST_CASE("small VAEs in one op: rows that are not there are of no account") {
    // Where x is 0, as in the rows that fill a group up, sigma is infinite.
    const Model model = deep("linear", Likelihood::gaussian, {}, 2, 2);
    const auto vae = model.make(Device::cpu, 0, 0);
    vae->parameters().at("encoder.log_variance.weight").value.fill(-100);
    vae->parameters().at("encoder.log_variance.bias").value.fill(200);
    const Tensor x = Tensor::full({3, 2}, 1);
    const Found found = differentiated(*vae, x, {}), plain = differentiated(*vae, x, {}, Way::plain_ops);
    CHECK(found.in_one_op);
    CHECK(std::isfinite(found.terms.cost.item()));
    for (size_t i = 0; i < plain.gradients.size(); ++i)
      CHECK(difference(found.gradients[i], plain.gradients[i]) < 1e-5);
  }

  TEST_CASE("small VAEs in one op: the same bits with any number of threads") {
    for (const Batch& batch : {Batch{700, 1, false}, Batch{70, 30, false}}) {
      const Model model = models()[5];
      const auto vae = model.make(Device::cpu, 3, 0);
      const Tensor x = x_of(model, batch, 3);
      std::vector<std::vector<double>> expected;
      for (const int count : {1, 2, 3, 4, 5}) {
        const ThreadCount use(count);
        const auto found = numbers_of(differentiated(*vae, x, batch));
        if (count == 1) expected = found;
        CAPTURE(count);
        CHECK(found == expected);
      }
    }
  }

  TEST_CASE("small VAEs in one op: gradients add up, and without a tape there are none") {
    check_gradients_add_up(Device::cpu);
  }
}

}  // namespace elbo
