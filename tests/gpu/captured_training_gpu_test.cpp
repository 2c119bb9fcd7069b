// Training on the GPU: batches made there, captured steps, and the same numbers as the CPU's loop.
#include <doctest/doctest.h>

#include "datasets/device_batches.h"
#include "tests/gpu/near.h"
#include "vae/captured_training.h"
#include "vae/deep_vae.h"
#include "vae/elbo_loss.h"

namespace elbo {
namespace {

using Sums = CapturedTraining::Sums;

struct Setting {
  DeepVaeOptions model{.dimensions = 784, .latent = 3, .encoder_hidden = {16}, .decoder_hidden = {16}};
  Objective objective{};
  Preprocessing preprocessing{.kind = Preprocessing::Kind::logit, .alpha = 1e-6, .fresh_noise = true};
  int64_t points = 50, batch = 16, epochs = 3, samples = 1;  // the last batch of an epoch has 2 points
  double clip = 0;
  std::vector<double> rates{1e-2};
  std::vector<int64_t> broken{};  // members whose first bias is infinite
};

struct Trained {
  std::unique_ptr<DeepVae> vae;
  std::vector<Sums> epochs;
  size_t nodes = 0;

  Tensor values() const { return vae->parameters().values().to(Device::cpu); }
};

std::unique_ptr<DeepVae> model_of(const Setting& s, Device device) {
  DeepVaeOptions options = s.model;
  options.device = device;
  options.members = s.rates.size() > 1 ? static_cast<int64_t>(s.rates.size()) : 0;
  auto vae = std::make_unique<DeepVae>(options, 3);
  for (int64_t m : s.broken) vae->parameters().at("decoder.0.bias").value.slice(m).fill(INFINITY);
  return vae;
}

double rate_at(double rate, int64_t step) { return rate / (1 + 0.1 * static_cast<double>(step)); }

Dataset digits(const Setting& s) { return load_dataset("digits", {.limit = s.points}); }

Trained train_on_gpu(const Setting& s, bool capture, int64_t chunk = 3) {
  Trained result{model_of(s, Device::cuda), {}, 0};
  Adam adam(result.vae->parameters());
  DeviceBatches batches(digits(s), s.preprocessing, {.batch = s.batch, .seed = 7, .dtype = s.model.dtype});
  CapturedTraining training(
      result.vae->parameters(), adam, elbo_loss(*result.vae, s.objective, s.samples),
      {.clip = s.clip,
       .seed = 5,
       .watched = result.vae->has_scalar_sigma2() ? "log_sigma2" : "",
       .capture = capture},
      [&](int64_t rows, const Tensor& place) {
        const Tensor x = Tensor::empty({rows, s.model.dimensions}, s.model.dtype, Device::cuda);
        batches.fill(x, place);
        return x;
      });
  const int64_t per_epoch = batches.batches_per_epoch(), total = per_epoch * s.epochs;
  std::vector<CapturedTraining::Pending> pending;
  for (int64_t epoch = 0; epoch < s.epochs; ++epoch) {
    batches.begin_epoch(epoch);
    std::vector<CapturedTraining::Step> steps;
    for (int64_t batch = 0; batch < per_epoch; ++batch) {
      const int64_t step = epoch * per_epoch + batch;
      steps.push_back(
          {step, {step, per_epoch, total}, batches.rows_of(batch), batches.first_of(batch), epoch, {}});
      for (double rate : s.rates) steps.back().rates.push_back(rate_at(rate, step));
    }
    for (size_t begin = 0; begin < steps.size(); begin += static_cast<size_t>(chunk))
      training.run(
          std::span(steps).subspan(begin, std::min(static_cast<size_t>(chunk), steps.size() - begin)));
    pending.push_back(training.read());
    training.begin_sums();
    batches.prepare(epoch + 1);
  }
  for (const CapturedTraining::Pending& p : pending) result.epochs.push_back(p.wait());
  CHECK(adam.steps() == total);
  result.nodes = training.nodes();
  return result;
}

Trained train_on_cpu(const Setting& s) {
  Trained result{model_of(s, Device::cpu), {}, 0};
  DeepVae& vae = *result.vae;
  Adam adam(vae.parameters());
  const Loss loss = elbo_loss(vae, s.objective, s.samples);
  BatchLoader loader(digits(s), s.preprocessing, {.batch = s.batch, .seed = 7, .dtype = s.model.dtype});
  const int64_t per_epoch = loader.batches_per_epoch(), total = per_epoch * s.epochs;
  const auto models = static_cast<size_t>(vae.models());
  std::vector<double> rates = s.rates;
  std::vector<int64_t> stopped(models, -1);
  for (int64_t step = 0; step < total; ++step) {
    if (step % per_epoch == 0)
      result.epochs.push_back(
          {std::vector(loss.probes.size(), std::vector<double>(models)), std::vector<double>(models), {}});
    const Tensor x = loader.next().x;
    const RandomKey noise{.seed = 5, .stream = kLatentNoise, .step = static_cast<uint64_t>(step)};
    const LossTerms terms = differentiate(loss, x, {step, per_epoch, total}, noise);
    for (int64_t m : members_not_finite(terms))
      if (stopped[static_cast<size_t>(m)] < 0) stopped[static_cast<size_t>(m)] = step;
    for (size_t m = 0; m < models; ++m) {
      rates[m] = stopped[m] < 0 ? rate_at(s.rates[m], step) : 0;
      if (stopped[m] >= 0) continue;
      const auto member = static_cast<int64_t>(m);
      for (size_t i = 0; i < terms.probes.size(); ++i)
        result.epochs.back().probes[i][m] += static_cast<double>(x.size(0)) * terms.probes[i].at(member);
    }
    if (s.clip > 0) clip_gradient_norm(vae.parameters(), s.clip);
    adam.step(rates);
    for (size_t m = 0; m < models; ++m)
      result.epochs.back().watched[m] = std::log(vae.sigma2(static_cast<int64_t>(m)));
    result.epochs.back().stopped = stopped;
  }
  return result;
}

void check_near(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(tolerance));
}

void check_same(const Trained& a, const Trained& b) {
  CHECK(a.values().to_vector() == b.values().to_vector());
  for (size_t e = 0; e < a.epochs.size(); ++e) {
    CHECK(a.epochs[e].probes == b.epochs[e].probes);
    CHECK(a.epochs[e].stopped == b.epochs[e].stopped);
  }
}

TEST_SUITE("gpu") {
  TEST_CASE("batches made on the GPU are the loader's") {
    using Kind = Preprocessing::Kind;
    for (Kind kind : {Kind::none, Kind::scale, Kind::dequantize, Kind::logit})
      for (bool fresh : {true, false})
        for (DType dtype : {DType::f32, DType::f64}) {
          const Setting s{.preprocessing = {.kind = kind, .alpha = 1e-6, .fresh_noise = fresh}};
          const BatchLoader::Options options{.batch = s.batch, .seed = 7, .dtype = dtype};
          BatchLoader loader(digits(s), s.preprocessing, options);
          DeviceBatches batches(digits(s), s.preprocessing, options);
          REQUIRE(batches.batches_per_epoch() == loader.batches_per_epoch());
          for (int64_t i = 0; i < 3 * loader.batches_per_epoch(); ++i) {
            const BatchLoader::Batch batch = loader.next();
            batches.begin_epoch(batch.position.epoch);
            REQUIRE(batches.rows_of(batch.position.batch) == batch.x.size(0));
            const Tensor x = Tensor::empty(batch.x.shape(), dtype, Device::cuda);
            batches.fill(
                x, Tensor::from<int64_t>({2}, {batches.first_of(batch.position.batch), batch.position.epoch})
                       .to(Device::cuda));
            CHECK(near(x, batch.x));
          }
        }
  }

  TEST_CASE("values that are no pixels, widths that no pack fits, points in their order") {
    Dataset data{.name = "three",
                 .x = normal({11, 3}, DType::f32, {.seed = 1}),
                 .labels = {},
                 .fingerprint = {},
                 .truth = {}};
    for (bool shuffle : {true, false}) {
      const BatchLoader::Options options{.batch = 4, .seed = 7, .shuffle = shuffle};
      BatchLoader loader(data, {}, options);
      DeviceBatches batches(data, {}, options);
      for (int64_t i = 0; i < 6; ++i) {
        const BatchLoader::Batch batch = loader.next();
        batches.begin_epoch(batch.position.epoch);
        const Tensor x = Tensor::empty(batch.x.shape(), DType::f32, Device::cuda);
        batches.fill(
            x, Tensor::from<int64_t>({2}, {batches.first_of(batch.position.batch), 0}).to(Device::cuda));
        CHECK(x.to_vector() == batch.x.to_vector());
      }
    }
  }

  TEST_CASE("the GPU moves and scales dimensions as the loader does, in f64 from the stored number on") {
    const int64_t d = 8;  // a multiple of what one pack holds
    const Tensor scale = Tensor::from<double>({d}, {4, 1, 0.5, 3, 4, 1, 0.5, 3});
    const Tensor far = normal({11, d}, DType::f64, {.seed = 1});
    for (double& value : far.span<double>()) value += 1e8;
    const auto check = [&](const Tensor& x, double mean, Preprocessing::Kind kind) {
      const Dataset data{.name = "far", .x = x, .labels = {}, .fingerprint = {}, .truth = {}};
      const Preprocessing moved = followed_by({.kind = kind}, Tensor::full({d}, mean, DType::f64), scale);
      const BatchLoader::Options options{.batch = 4, .seed = 7};
      BatchLoader loader(data, moved, options);
      DeviceBatches batches(data, moved, options);
      for (int64_t i = 0; i < 3; ++i) {
        const BatchLoader::Batch batch = loader.next();
        batches.begin_epoch(0);
        const Tensor made = Tensor::empty(batch.x.shape(), DType::f32, Device::cuda);
        batches.fill(made, Tensor::from<int64_t>({2}, {batches.first_of(i), 0}).to(Device::cuda));
        CHECK(near(made, batch.x));
      }
    };
    check(far, 1e8, Preprocessing::Kind::none);
    check(far.to(DType::f32), 1e8, Preprocessing::Kind::none);
    check(uniform({11, d}, DType::f32, {.seed = 2}), 0.5, Preprocessing::Kind::none);
    Tensor pixels = Tensor::empty({11, d}, DType::u8);
    for (int64_t i = 0; i < pixels.elements(); ++i) pixels.data<uint8_t>()[i] = static_cast<uint8_t>(i * 37);
    for (auto kind : {Preprocessing::Kind::scale, Preprocessing::Kind::logit}) check(pixels, 0.5, kind);
  }

  TEST_CASE("replayed steps equal plain ones, and train as the CPU does") {
    using Penalty = Objective::Penalty;
    std::vector<Setting> settings(8);
    settings[1].rates = {1e-2, 1e-3, 3e-3};
    settings[1].model.learn_sigma2 = {true, false, true};
    settings[2].clip = 50;
    settings[2].objective.weights = {{.beta = 2, .annealing = KlWeight::Annealing::linear, .epochs = 2}};
    settings[3].model.likelihood = Likelihood::diagonal_gaussian;
    settings[3].objective = {.penalty = Penalty::capacity, .capacity = 3, .capacity_epochs = 2};
    settings[4].model.likelihood = Likelihood::bernoulli;
    settings[4].preprocessing.kind = Preprocessing::Kind::scale;
    settings[4].objective.penalty = Penalty::free_bits;
    settings[4].model.encoder_activation = Activation::tanh;
    settings[5].samples = 24;  // in parts
    settings[6].model.conv = ConvNetwork{.design = ConvDesign::higgins, .image = {28, 28, 1}, .width = 2};
    settings[6].rates = {1e-3, 3e-3};
    settings[7].model.conv = ConvNetwork{.design = ConvDesign::asperti, .image = {28, 28, 1}, .width = 4};
    settings[7].epochs = settings[6].epochs = 2;
    for (const Setting& setting : settings)
      for (DType dtype : {DType::f64, DType::f32}) {
        Setting s = setting;
        s.model.dtype = dtype;
        CAPTURE(&setting - settings.data());
        const Trained captured = train_on_gpu(s, true), plain = train_on_gpu(s, false), cpu = train_on_cpu(s);
        CHECK(captured.nodes > 20);
        CHECK(plain.nodes == 0);
        check_same(captured, plain);
        // In f32 Adam magnifies last bits where gradients are small.
        const double tolerance = dtype == DType::f64 ? 1e-8 : 2e-3;
        for (size_t e = 0; e < cpu.epochs.size(); ++e) {
          for (size_t i = 0; i < cpu.epochs[e].probes.size(); ++i)
            check_near(captured.epochs[e].probes[i], cpu.epochs[e].probes[i], tolerance);
          if (s.model.likelihood == Likelihood::gaussian)
            check_near(captured.epochs[e].watched, cpu.epochs[e].watched, tolerance);
          CHECK(captured.epochs[e].stopped == cpu.epochs[e].stopped);
        }
        if (dtype == DType::f64) check_near(captured.values().to_vector(), cpu.values().to_vector(), 1e-6);
      }
  }

  TEST_CASE("how many steps are given at once changes nothing") {
    const Setting s{.rates = {1e-2, 1e-3}};
    const Trained one_by_one = train_on_gpu(s, true, 1);
    check_same(train_on_gpu(s, true, 4), one_by_one);
    check_same(train_on_gpu(s, true, 64), one_by_one);
  }

  TEST_CASE("a member that breaks is stopped by the GPU, and the others go on as if nothing had happened") {
    Setting s{.rates = {1e-2, 1e-3, 3e-3}};
    const Trained whole = train_on_gpu(s, true);
    s.broken = {1};
    const Trained broken = train_on_gpu(s, true);
    const std::vector<int64_t> stopped{-1, 0, -1};
    for (const Sums& sums : broken.epochs) CHECK(sums.stopped == stopped);
    for (const ParameterStore::Span& span : whole.vae->parameters().spans()) {
      const auto part = [&](const Trained& t) { return t.values().slice(span.begin, span.end).to_vector(); };
      if (span.member != 1) CHECK(part(broken) == part(whole));
    }
    Setting untouched = s;
    untouched.epochs = 0;
    for (const ParameterStore::Span& span : whole.vae->parameters().spans()) {
      const auto part = [&](const Trained& t) { return t.values().slice(span.begin, span.end).to_vector(); };
      if (span.member == 1) CHECK(part(broken) == part(train_on_gpu(untouched, true)));
    }
  }
}

}  // namespace
}  // namespace elbo
