// The cases of `elbo bench` on a GPU that are whole training steps, on digits that stay there as bytes:
// gather and logit, forward, backward, Adam. Counted is a step of an epoch's, with whatever the host does
// beside it.
#include <numeric>
#include <optional>

#include "apps/bench/gpu.h"
#include "autograd/ops.h"
#include "autograd/tape.h"
#include "datasets/device_batches.h"
#include "tensor/gemm.h"
#include "tensor/map.h"
#include "vae/captured_training.h"
#include "vae/captured_training_kernels.h"
#include "vae/elbo_loss.h"
#include "vae/linear_vae.h"

namespace elbo {
namespace {

constexpr double kRate = 1e-4;
constexpr int64_t kDimensions = 784;
const Preprocessing kLogit{.kind = Preprocessing::Kind::logit};

/// Sizes as in the case's name, but where the GPU is emulated.
int64_t scaled(int64_t size) { return gpu_is_emulated() ? std::max<int64_t>(size / 64, 2) : size; }

struct Digits {
  Dataset data = load_dataset("digits", {.limit = gpu_is_emulated() ? 16 : 10000});
  Tensor mean = elbo::mean(preprocess_all(data, kLogit, 0, 0), {0}).value();
};
const Digits& digits() {
  static const Digits all;
  return all;
}
/// So many that the last batch of an epoch is as large as the others.
Dataset digits_for(int64_t batch) {
  Dataset data = digits().data;
  data.x = data.x.slice(0, data.points() / batch * batch);
  data.labels = {};
  return data;
}

struct Deep {
  std::vector<int64_t> widths{kDimensions, 1024, 512, 200};  // x, hidden layers, z
  int64_t batch = 128, samples = 1, members = 0;
  bool capture = true, has_digits = true;
  bool is_convolutional = false;  // then `widths` says nothing
};

DeepVaeOptions network_of(const Deep& d) {
  std::vector<int64_t> widths = d.widths;
  for (size_t i = 1; i + 1 < widths.size(); ++i) widths[i] = scaled(widths[i]);
  DeepVaeOptions network =
      d.is_convolutional ? higgins_network(scaled(32)) : dense_network(widths, d.members);
  network.device = Device::cuda;
  return network;
}

GpuFigures deep_step(const Deep& d, double seconds) {
  DeepVae vae(network_of(d), 1);
  Adam adam(vae.parameters());
  const int64_t batch = scaled(d.batch);
  const Tensor fixed = uniform({batch, vae.options().dimensions}, DType::f32,
                               {.seed = 2, .stream = kTestInput}, 1, Device::cuda);
  std::optional<DeviceBatches> batches;
  if (d.has_digits) {
    batches.emplace(digits_for(batch), kLogit, BatchLoader::Options{.batch = batch});
    vae.centre_encoder(digits().mean);
  }
  CapturedTraining training(vae.parameters(), adam, elbo_loss(vae, {}, d.samples),
                            {.seed = 3, .capture = d.capture}, [&](int64_t, const Tensor& place) {
                              const Tensor x = Tensor::empty(fixed.shape(), DType::f32, Device::cuda);
                              if (batches)
                                batches->fill(x, place);
                              else
                                x.copy_from(fixed);
                              return x;
                            });
  const int64_t per_epoch = batches ? batches->batches_per_epoch() : 4;
  const std::vector<double> rates(static_cast<size_t>(vae.models()), kRate);
  int64_t epoch = 0;
  const auto run_epoch = [&] {
    if (batches) batches->begin_epoch(epoch);
    for (int64_t first = 0; first < per_epoch; first += CapturedTraining::kMostSteps) {
      std::vector<CapturedTraining::Step> steps;
      for (int64_t i = first; i < std::min(per_epoch, first + CapturedTraining::kMostSteps); ++i) {
        const TrainingTime time{epoch * per_epoch + i, per_epoch, int64_t{1} << 40};
        steps.push_back({time.step, time, batch, i * batch, epoch, rates});
      }
      training.run(steps);
    }
    ++epoch;
    if (batches) batches->prepare(epoch);
  };
  GpuFigures figures{.timing = time_on_gpu(seconds, per_epoch, run_epoch)};
  training.begin_sums();
  run_epoch();
  const CapturedTraining::Sums sums = training.read().wait();
  const auto total = [](const std::vector<double>& of) { return std::accumulate(of.begin(), of.end(), 0.0); };
  const auto points = static_cast<double>(per_epoch * batch * vae.models());
  figures.flops = training_flops(vae.options(), d.samples) * static_cast<double>(batch * vae.models());
  figures.nodes = training.nodes();
  figures.members = d.members;
  figures.is_step = true;
  figures.elbo = (total(sums.probes[0]) - total(sums.probes[1])) / points;
  return figures;
}

/// The linear VAE 784-200 has no training loop that captures its steps: here is one, in the manner of
/// CapturedTraining.
GpuFigures linear_step(int64_t named_batch, bool analytic, double seconds) {
  const int64_t latent = gpu_is_emulated() ? 20 : 200, batch = scaled(named_batch);
  LinearVae vae({.dimensions = kDimensions, .latent = latent, .device = Device::cuda}, 1);
  Adam adam(vae.parameters());
  DeviceBatches batches(digits_for(batch), kLogit, {.batch = batch});
  const int64_t per_epoch = std::min(batches.batches_per_epoch(), CapturedTraining::kMostSteps);
  const auto on_gpu = [](const Shape& shape, DType dtype) {
    return Tensor::zeros(shape, dtype, Device::cuda);
  };
  const Tensor mean = digits().mean.to(Device::cuda), next = on_gpu({1}, DType::i64),
               place = on_gpu({2}, DType::i64), counter = on_gpu({1}, DType::i64),
               points = on_gpu({1}, DType::f64), penalty = on_gpu({2}, DType::f32),
               rates = on_gpu({2}, DType::f64), elbo = on_gpu({}, DType::f32);
  const auto step = [&](const Tensor& table) {
    if constexpr (kHasGpuCode) cuda::advance(table, next, place, counter, points, penalty, rates);
    const Tensor x = Tensor::empty({batch, kDimensions}, DType::f32, Device::cuda);
    batches.fill(x, place);
    map_into(x, Difference{}, x, mean);
    const RandomKey noise{.seed = 3, .stream = kLatentNoise, .counter = counter.data<int64_t>()};
    Tape tape;
    const Variable value = analytic ? vae.analytic_elbo(x) : vae.stochastic_elbo(x, noise);
    elbo.copy_from(value.value());
    tape.backward(-value);
    adam.apply(rates);
  };
  // {first, epoch, step, points, penalty, rates} of every step of an epoch.
  const int64_t length = cuda::kFixedNumbers + penalty.elements() + rates.elements();
  const auto table_of = [&](int64_t epoch) {
    std::vector<double> rows(static_cast<size_t>(CapturedTraining::kMostSteps * length));
    for (int64_t i = 0; i < per_epoch; ++i) {
      const std::span row(rows.data() + i * length, static_cast<size_t>(length));
      const int64_t now = epoch * per_epoch + i;
      row[0] = static_cast<double>(i * batch);
      row[1] = static_cast<double>(epoch);
      row[2] = static_cast<double>(now);
      row[3] = static_cast<double>(batch);
      adam.step_numbers(now + 1, std::span(&kRate, 1), row.last(2));
    }
    return Tensor::from<double>({CapturedTraining::kMostSteps, length}, rows);
  };
  const Tensor table = table_of(0).to(Device::cuda);
  batches.begin_epoch(0);
  step(table);
  next.fill(0);
  const cuda::Graph graph = cuda::Graph::capture([&] { step(table); });
  int64_t epoch = 0;
  GpuFigures figures{.timing = time_on_gpu(seconds, per_epoch, [&] {
                       batches.begin_epoch(epoch);
                       table.copy_from(table_of(epoch).to(Device::cuda));
                       next.fill(0);
                       for (int64_t i = 0; i < per_epoch; ++i) graph.replay();
                       batches.prepare(++epoch);
                     })};
  figures.flops = 10.0 * static_cast<double>(batch * kDimensions * latent);
  figures.nodes = graph.nodes();
  figures.is_step = true;
  figures.elbo = elbo.item();
  return figures;
}

}  // namespace

std::vector<GpuCase> gpu_step_cases() {
  std::vector<GpuCase> cases;
  const auto add = [&](const std::string& name, MatmulPrecision precision, const auto& run) {
    cases.push_back({name, [=](double seconds) {
                       const WithPrecision set(precision);
                       return run(seconds);
                     }});
  };
  const auto add_deep = [&](const std::string& name, MatmulPrecision precision, const Deep& deep) {
    add(name, precision, [=](double seconds) { return deep_step(deep, seconds); });
  };
  for (MatmulPrecision precision : {MatmulPrecision::f32, MatmulPrecision::tf32}) {
    const std::string ending = fmt::format("-{}", name(precision));
    for (int64_t batch : {128, 1000})
      add_deep(fmt::format("mlp-vae-{}{}", batch, ending), precision, {.batch = batch});
    add_deep("mlp-vae-128-uncaptured" + ending, precision, {.capture = false});
    for (int64_t members : {20, 100})
      add_deep(fmt::format("ensemble-{}{}", members, ending), precision,
               {.members = gpu_is_emulated() ? members / 10 : members});
    add_deep("small-vae-100-samples" + ending, precision,
             {.widths = {10, 50, 50, 2}, .batch = 2000, .samples = 100, .has_digits = false});
    add_deep("conv-vae-64" + ending, precision, {.batch = 64, .has_digits = false, .is_convolutional = true});
    for (bool analytic : {false, true})
      for (int64_t batch : {128, 1000})
        add(fmt::format("linear-vae{}-{}{}", analytic ? "-analytic" : "", batch, ending), precision,
            [=](double seconds) { return linear_step(batch, analytic, seconds); });
  }
  return cases;
}

}  // namespace elbo
