// The whole cost of a small VAE in one op on the CPU (vae/small_vae.h), beside plain ops and differences.
#include "tests/vae/small_vae.h"

#include "autograd/tape.h"
#include "tests/thread_count.h"

namespace elbo {
namespace {

using namespace small_vae_tests;

/// The largest distance, as a share of the largest number.
double difference(const Tensor& found, const Tensor& expected) {
  REQUIRE(found.shape() == expected.shape());
  const std::vector<double> a = found.to_vector(), b = expected.to_vector();
  double largest = 0, distance = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(b[i]));
    distance = std::max(distance, std::isfinite(a[i]) ? std::abs(a[i] - b[i]) : INFINITY);
  }
  return largest > 0 ? distance / largest : distance;
}

void check_as_plain(const Model& model, const Batch& batch, int64_t members) {
  CAPTURE(model.name);
  CAPTURE(members);
  CAPTURE(batch.rows);
  CAPTURE(batch.samples);
  CAPTURE(batch.shared_x);
  const Tensor x = x_of(model, batch, members);
  const auto vae = model.make(Device::cpu, members, 2);
  const double tolerance = vae->dtype() == DType::f64 ? 1e-13 : 2e-5;
  const Found plain = differentiated(*vae, x, batch, Way::plain_ops), found = differentiated(*vae, x, batch);
  CHECK(found.in_one_op);
  CHECK(!plain.in_one_op);
  CHECK(difference(found.terms.cost, plain.terms.cost) < tolerance);
  REQUIRE(found.terms.probes.size() == plain.terms.probes.size());
  for (size_t i = 0; i < plain.terms.probes.size(); ++i) {
    CAPTURE(i);
    CHECK(difference(found.terms.probes[i], plain.terms.probes[i]) < tolerance);
  }
  for (size_t i = 0; i < plain.gradients.size(); ++i) {
    CAPTURE(vae->parameters().all()[i].name);
    REQUIRE(found.gradients[i].defined() == plain.gradients[i].defined());
    if (plain.gradients[i].defined()) CHECK(difference(found.gradients[i], plain.gradients[i]) < tolerance);
  }
}

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
    for (const DType dtype : {DType::f32, DType::f64})
      for (const Model& model : models(dtype))
        for (const int64_t members : {0, 3})
          for (const bool shared_x : {true, false})
            for (const Batch& batch :
                 {Batch{1, 1, shared_x}, Batch{50, 2, shared_x}, Batch{500, 1, shared_x}})
              if (members > 0 || shared_x) check_as_plain(model, batch, members);
  }

  TEST_CASE(
      "small VAEs in one op: samples in shares, of parts, of rows of a larger batch; parts of many rows") {
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Model own_variance = made_of("own variance", parts_models::own_variance_model, dtype),
                  in_parts = made_of("in parts", many_parts, dtype);
      check_as_plain(own_variance, {.rows = 3, .samples = 45}, 0);
      check_as_plain(own_variance, {.rows = 100, .samples = 9}, 2);
      check_as_plain(in_parts, {.rows = 10, .samples = 6}, 2);
      check_as_plain(own_variance, {.rows = 10, .samples = 3, .of = {.first = 7, .all = 40}}, 2);
      check_as_plain(own_variance, {.rows = 20001}, 0);
      check_as_plain(luecke("VAE-3", LueckeModel::vae3, dtype), {.rows = 1000, .samples = 24}, 0);
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
    const Batch batch;
    for (const Model& model :
         {made_of("learned prior", parts_models::learned_prior_model),
          made_of("a variance for all points", parts_models::global_variance_model),
          made_of("a variance for each dimension", parts_models::variance_of_dimensions_model),
          deep("wide", Likelihood::bernoulli, {129}, 5, 2),
          deep("wide data", Likelihood::bernoulli, {8}, 129, 2)}) {
      CAPTURE(model.name);
      const auto vae = model.make(Device::cpu, 0, 0);
      CHECK(!suits_small_vae_cost(*vae));
      CHECK(!differentiated(*vae, x_of(model, batch, 0), batch).in_one_op);
    }
    const Model model = models()[0];
    const auto vae = model.make(Device::cpu, 0, 0);
    CHECK(suits_small_vae_cost(*vae));
    const Tensor x = x_of(model, batch, 0);
    {
      TapeTrace trace;
      differentiate(elbo_loss(*vae, {.penalty = Objective::Penalty::free_bits}), x, {},
                    {.seed = 9, .stream = kLatentNoise});
      CHECK(!is_in(trace));
    }
    const Tensor one = Tensor::full({}, 1);
    CHECK_THROWS_WITH(
        small_vae_cost(*vae, Tensor::zeros({4, 3}), one, {}, 1, 1, {}),
        "[small_vae_cost] x must be points of 5 numbers of the model's type and device, got (4, 3)");
    CHECK_THROWS_WITH(small_vae_cost(*made_of("", parts_models::learned_prior_model).make(Device::cpu, 0, 0),
                                     Tensor::zeros({4, 3}), one, {}, 1, 1, {}),
                      "[small_vae_cost] the op does not take this model");
  }

  TEST_CASE("small VAEs in one op: a member's bits are those that it has alone, beside one that broke") {
    const Model model = models()[5];
    const Batch batch{.rows = 430, .samples = 9, .shared_x = false};
    constexpr int64_t kMembers = 3;
    const Tensor x = x_of(model, batch, kMembers);
    const auto together = model.make(Device::cpu, kMembers, 0);
    together->parameters().at("decoder.1.weight").value.slice(1).fill(NAN);
    const Found all = differentiated(*together, x, batch);
    for (const int64_t m : {0, 2}) {
      CAPTURE(m);
      const auto alone = model.make(Device::cpu, 1, m);
      const Found own = differentiated(*alone, x.slice(m, m + 1), batch);
      CHECK(own.terms.cost.at(0) == all.terms.cost.at(m));
      for (size_t i = 0; i < own.gradients.size(); ++i)
        CHECK(own.gradients[i].to_vector() == all.gradients[i].slice(m, m + 1).to_vector());
    }
    CHECK(std::isnan(all.terms.cost.at(1)));
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
    const Model model = models()[0];
    const auto vae = model.make(Device::cpu, 2, 0);
    const Tensor x = x_of(model, {}, 2), weight = Tensor::full({2}, 1);
    const RandomKey key{.seed = 9, .stream = kLatentNoise};
    const auto cost = [&] { return small_vae_cost(*vae, x, weight, key, 1, 1, {}).cost; };
    const auto backward = [&] {
      Tape tape;
      const Variable found = cost();
      backward_of_each(tape, found);
      return found.value().to_vector();
    };
    const std::vector<double> value = backward();
    const Tensor& gradient = vae->parameters().at("decoder.0.weight").gradient;
    const Tensor once = gradient.clone();
    backward();
    CHECK(difference(gradient, (Variable(once) * 2).value()) < 1e-7);
    vae->parameters().consume_gradients();
    CHECK(cost().value().to_vector() == value);
    CHECK(!vae->parameters().at("decoder.0.weight").has_gradient);
  }
}

}  // namespace elbo
