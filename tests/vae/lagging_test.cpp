// Lagging inference networks: segments, and He et al.'s loop against the same written out; members alone and
// together, and a training broken off anywhere.
#include "vae/lagging.h"

#include <doctest/doctest.h>

#include <set>

#include "tests/error_of.h"
#include "tests/temporary_directory.h"
#include "tests/vae/linear_jtex.h"
#include "vae/deep_metrics.h"
#include "vae/set_batches.h"

namespace elbo {
namespace {

constexpr int64_t kPoints = 48, kBatch = 16, kPerEpoch = kPoints / kBatch, kSteps = 6 * kPerEpoch;
constexpr uint64_t kSeed = 4;

Phase whole_of(Vae& vae, Numbers rates, double clip = 0) {
  return {.loss = elbo_loss(vae), .steps = kSteps, .rates = std::move(rates), .clip = clip};
}

Training train(Vae& vae, const Tensor& x, Numbers rates, double clip = 0) {
  const LaggingOptions options{
      .fresh = shuffled_batches(x, kBatch, 7).batch, .information_on = x, .per_epoch = kPerEpoch};
  return {vae.parameters(),
          {lagging_phase(vae, options, whole_of(vae, std::move(rates), clip))},
          shuffled_batches(x, kBatch, kSeed),
          {.seed = kSeed}};
}

/// One model's training, written out: two optimisers, and decisions as they come.
struct Trained {
  int64_t joint_from = -1, encoder_steps = 0;
  double information = 0;
};
Trained training_twin(Vae& vae, const Tensor& x, double rate) {
  const Loss loss = elbo_loss(vae);
  Adam encoder(vae.parameters(), {}, {"encoder."}), decoder(vae.parameters(), {}, {"decoder."});
  const BatchSource batches = shuffled_batches(x, kBatch, kSeed), fresh = shuffled_batches(x, kBatch, 7);
  Trained found;
  // An optimiser's step consumes all gradients, so each gets its own.
  const auto move = [&](Adam& adam, const Tensor& batch, int64_t step, const RandomKey& key) {
    const double cost = differentiate(loss, batch, {step, kPerEpoch, kSteps}, key).cost.item();
    adam.step(rate);
    return cost;
  };
  for (int64_t step = 0; step < kSteps; ++step) {
    if (step > 0 && step % kPerEpoch == 0 && found.joint_from < 0) {
      const double now = mutual_information(vae, x, kSeed)[0];
      if (!(now > found.information)) found.joint_from = step;
      found.information = now;
    }
    double before = INFINITY, sum = 0;
    for (int64_t i = 0; i < 100 && found.joint_from < 0; ++i) {
      const int64_t number = 100 * step + i;
      sum += move(encoder, fresh.batch(number), step,
                  {.seed = kSeed, .stream = 100, .step = static_cast<uint64_t>(number)});
      ++found.encoder_steps;
      if (i % 10 != 9) continue;
      if (!(sum < before)) break;
      before = sum;
      sum = 0;
    }
    const RandomKey key{.seed = kSeed, .stream = kLatentNoise, .step = static_cast<uint64_t>(step)};
    const Tensor batch = batches.batch(step);
    if (found.joint_from >= 0) {
      // Both by the gradient at the same place: the encoder's new values wait until the decoder has moved.
      const Tensor old = vae.parameters().values().clone();
      move(encoder, batch, step, key);
      ++found.encoder_steps;
      std::vector<Tensor> moved;
      for (const Parameter* parameter : vae.parameters().trained({"encoder."}))
        moved.push_back(parameter->value.clone());
      vae.parameters().values().copy_from(old);
      move(decoder, batch, step, key);
      for (size_t p = 0; p < moved.size(); ++p)
        vae.parameters().trained({"encoder."})[p]->value.copy_from(moved[p]);
    } else {
      move(decoder, batch, step, key);
    }
  }
  return found;
}

Numbers rates() { return {0.1, 0.05, 0.02, 0.01, 0.003}; }

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("lagging segments: the encoder alone, then all, in equal lengths of whole epochs") {
    auto vae = linear_jtex(0);
    const std::vector<Phase> phases =
        lagging_segments({.loss = elbo_loss(*vae), .steps = 70, .rates = {0.02}, .clip = 3}, 3, 10);
    REQUIRE(phases.size() == 6);
    int64_t steps = 0;
    for (size_t p = 0; p < 6; ++p) {
      CHECK(phases[p].moves ==
            (p % 2 == 0 ? std::vector<std::string>{"encoder."} : std::vector<std::string>{}));
      CHECK(phases[p].rates == Numbers{0.02});
      CHECK(phases[p].clip == 3);
      CHECK(phases[p].steps % 10 == 0);
      CHECK(std::abs(phases[p].steps - 70.0 / 6) < 10);
      steps += phases[p].steps;
    }
    CHECK(steps == 70);
    CHECK(phases[0].name == "encoder 1");
    CHECK(phases[5].name == "joint 3");
    Training training(vae->parameters(), phases, whole_set(jtex_data(1, 30, 21).slice(0)), {.seed = 4});
    const Numbers decoder = numbers_of(*vae, -1, "decoder");
    while (training.steps() < 10) training.step();
    CHECK(numbers_of(*vae, -1, "decoder") == decoder);
    while (training.step()) {
    }
    CHECK(numbers_of(*vae, -1, "decoder") != decoder);
  }

  TEST_CASE("lagging: He et al.'s loop is the same written out, whichever way it ends") {
    const Tensor x = jtex_data(5, kPoints, 21);
    std::set<int64_t> ends;
    for (int64_t m = 0; m < 5; ++m) {
      CAPTURE(m);
      const double rate = rates()[static_cast<size_t>(m)];
      auto ours = linear_jtex(0, m), twin = linear_jtex(0, m);
      Training training = train(*ours, x.slice(m), {rate});
      while (training.step()) {
      }
      const Trained expected = training_twin(*twin, x.slice(m), rate);
      const LaggingOutcome outcome = lagging_outcome(training);
      CHECK(outcome.joint_from == std::vector<int64_t>{expected.joint_from});
      CHECK(outcome.encoder_steps == std::vector<int64_t>{expected.encoder_steps});
      CHECK(close(outcome.information[0], expected.information, 1e-9));
      CHECK(close(numbers_of(*ours), numbers_of(*twin), 1e-9));
      ends.insert(expected.joint_from);
    }
    CHECK(ends.size() > 1);
    CHECK(*ends.rbegin() > 0);
  }

  TEST_CASE("lagging: a member decides for itself, and trains as it would alone") {
    const Tensor x = jtex_data(5, kPoints, 21);
    auto all = linear_jtex(5);
    Training together = train(*all, x, rates(), 2);
    while (together.step()) {
    }
    const LaggingOutcome outcome = lagging_outcome(together);
    for (int64_t m = 0; m < 5; ++m) {
      CAPTURE(m);
      auto alone = linear_jtex(0, m);
      Training own = train(*alone, x.slice(m), {rates()[static_cast<size_t>(m)]}, 2);
      while (own.step()) {
      }
      CHECK(close(numbers_of(*all, m), numbers_of(*alone), 1e-9));
      CHECK(outcome.joint_from[static_cast<size_t>(m)] == lagging_outcome(own).joint_from[0]);
      CHECK(outcome.encoder_steps[static_cast<size_t>(m)] == lagging_outcome(own).encoder_steps[0]);
    }
  }

  TEST_CASE("lagging: saved at any step and loaded, it goes on bit for bit") {
    const TemporaryDirectory folder;
    const std::string path = (folder.path() / "state.safetensors").string();
    const Tensor x = jtex_data(5, kPoints, 21);
    auto whole = linear_jtex(5);
    Training unbroken = train(*whole, x, rates());
    while (unbroken.step()) {
    }
    for (int64_t stop :
         {int64_t{0}, int64_t{1}, kPerEpoch, kPerEpoch + 1, 3 * kPerEpoch, kSteps - 1, kSteps}) {
      CAPTURE(stop);
      auto first = linear_jtex(5), second = linear_jtex(5, 0, 99);
      Training begun = train(*first, x, rates()), resumed = train(*second, x, rates());
      while (begun.steps() < stop) begun.step();
      begun.save(path);
      if (stop == 3 * kPerEpoch) resumed.step();  // what it did before does not matter
      resumed.load(path);
      while (resumed.step()) {
      }
      CHECK(numbers_of(*second) == numbers_of(*whole));
      CHECK(lagging_outcome(resumed).encoder_steps == lagging_outcome(unbroken).encoder_steps);
    }
  }

  TEST_CASE("lagging: a member that breaks in its encoder's own steps is stopped, and the others go on") {
    const Tensor x = jtex_data(5, kPoints, 21);
    auto sound = linear_jtex(5), ill = linear_jtex(5);
    ill->parameters().at("encoder.log_variance.bias").value.slice(3).fill(2000);
    Training one = train(*sound, x, rates()), other = train(*ill, x, rates());
    while (one.step()) {
    }
    const Numbers before = numbers_of(*ill, 3);
    while (other.step()) {
    }
    CHECK(other.stopped(3) == 0);
    CHECK(numbers_of(*ill, 3) == before);
    for (int64_t m : {0, 1, 2, 4}) CHECK(numbers_of(*ill, m) == numbers_of(*sound, m));
  }

  TEST_CASE("lagging refuses what makes no sense in one line") {
    auto vae = linear_jtex(0);
    const Tensor x = jtex_data(1, 20, 1).slice(0);
    CHECK(error_of([&] { lagging_segments(whole_of(*vae, {1e-3}), 0); }) ==
          "[lagging] there must be at least one segment, got 0");
    CHECK(error_of([&] { lagging_segments(whole_of(*vae, {1e-3}), kSteps); }) ==
          fmt::format(
              "[training] {} phases of whole epochs need at least {} steps of 1 to an epoch, and not {}",
              2 * kSteps, 2 * kSteps, kSteps));
    CHECK(error_of([&] { lagging_phase(*vae, {.information_on = x}, whole_of(*vae, {1e-3})); }) ==
          "[lagging] the encoder's own steps need batches");
    CHECK(error_of([&] {
            lagging_phase(*vae, {.fresh = whole_set(x).batch, .information_on = x, .per_epoch = 0},
                          whole_of(*vae, {1e-3}));
          }) == "[lagging] an epoch must have at least one step, got 0");
  }
}

}  // namespace elbo
