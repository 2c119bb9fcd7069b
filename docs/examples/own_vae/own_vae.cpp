// own_vae: a VAE with a likelihood that elbo does not have, and an op of its own for it.
//
//   own_vae points.npy FOLDER      trains on points (N, D); writes model.safetensors and means.npy into the
//   folder
//
// Noise with heavy tails is a logistic distribution: p(x|z) has the density e^-t / (s (1 + e^-t)^2) in each
// dimension, t = (x - mean(z)) / s, with one learned scale s.
#include <elbo/autograd/contribute.h>
#include <elbo/autograd/gradcheck.h>
#include <elbo/autograd/ops.h>
#include <elbo/datasets/batch_loader.h>
#include <elbo/datasets/dataset.h>
#include <elbo/datasets/npy.h>
#include <elbo/nn/parameter_file.h>
#include <elbo/vae/loss.h>
#include <elbo/vae/parts.h>
#include <elbo/vae/training.h>
#include <elbo/vae/vae.h>

#include <cstdio>

using namespace elbo;

// The op: its formula, and the formulas of its gradients. All are of one dimension; w is ln s.
struct LogDensity {
  template <class T>
  ELBO_HD T operator()(T x, T mean, T w) const {
    const T t = (x - mean) * math::exp(-w);
    return -t - T(2) * math::softplus(-t) - w;
  }
};
struct ToX {  // d/dx = -tanh(t / 2) / s; with respect to the mean it is the same with the other sign
  double sign;
  template <class T>
  ELBO_HD T operator()(T x, T mean, T w, T dy) const {
    const T one_over_s = math::exp(-w), t = (x - mean) * one_over_s;
    return T(-sign) * math::tanh(T(0.5) * t) * one_over_s * dy;
  }
};
struct ToLogScale {  // d/dw = t tanh(t / 2) - 1
  template <class T>
  ELBO_HD T operator()(T x, T mean, T w, T dy) const {
    const T t = (x - mean) * math::exp(-w);
    return (t * math::tanh(T(0.5) * t) - T(1)) * dy;
  }
};

/// ln p(x|z) of each point, nats: x (N, D), mean (N, D), log_scale (1) -> (N).
Variable logistic_log_likelihood(const Variable& x, const Variable& mean, const Variable& log_scale) {
  const Shape points = mean.shape().drop_back(1), column = points.concatenated({1});
  const Tensor y = map_reduce<Sum>(column, LogDensity{}, x.value(), mean.value(), log_scale.value());
  return Tape::record("logistic_log_likelihood", {&x, &mean, &log_scale}, y.reshape(points),
                      [x = x.value(), m = mean.value(), w = log_scale.value(), column](Backward& pass) {
                        const Tensor dy = pass.dy().reshape(column);
                        pass.contribute(0, ToX{1}, x, m, w, dy);
                        pass.contribute(1, ToX{-1}, x, m, w, dy);
                        pass.contribute(2, ToLogScale{}, x, m, w, dy);
                      });
}
/// The same in elbo's ops: what it means, and what it is checked against.
Variable logistic_log_likelihood_twin(const Variable& x, const Variable& mean, const Variable& log_scale) {
  const Variable t = (x - mean) * exp(-log_scale);
  return sum(-t - 2 * softplus(-t) - log_scale, {-1});
}

int main(int count, char** arguments) try {
  if (count != 3) fail("usage: own_vae points.npy FOLDER");
  const OpFunction op = op_function(logistic_log_likelihood),
                   twin = op_function(logistic_log_likelihood_twin);
  const OpCheck checked =
      check_op({"logistic_log_likelihood", op, {{4, 3}, {4, 3}, {1}}, Domain::real, twin});
  std::printf("gradient check %s: off by %.0e of central differences, %.0e of the twin\n",
              passes(checked) ? "passed" : "FAILED", checked.gradient_error, checked.twin_error);
  if (!passes(checked)) return 1;
  const Dataset data = load_dataset("npy:" + std::string(arguments[1]));
  const std::string folder = std::string(arguments[2]) + "/";
  const Tensor all = preprocess_all(data, {}, 0, 0);  // (N, D), as they are
  const int64_t d = data.dimensions();

  // q(z|x) has two heads on one hidden layer; the decoder's log_variance is this likelihood's ln s.
  const auto parts = [d](ParameterStore& store) {
    const Initializer drawn{Initializer::Kind::xavier_uniform};
    Network body = network(Sequential(store, "encoder.body", {d, 32}, Activation::tanh, drawn, true));
    Network mean = network(Linear(store, "encoder.mean", 32, 1, drawn));
    Network log_variance = network(Linear(store, "encoder.log_variance", 32, 1, drawn));
    Network decoder = network(Sequential(store, "decoder", {1, 32, d}, Activation::tanh, drawn));
    return Parts{.encoder = encoder_of(std::move(body), std::move(mean), std::move(log_variance)),
                 .decoder = decoder_of(std::move(decoder), one_number(store, "log_scale", -1))};
  };
  Vae vae({.dimensions = d, .latent = 1}, parts, /*seed=*/1);

  const Loss loss{.probes = {"elbo"}, .value = [&vae](const LossInput& in) {
                    const PosteriorTerms drawn = vae.draw(vae.encode(in.x), in.key);
                    const Observation seen = vae.decode(drawn.z);
                    const Variable elbo =
                        mean(logistic_log_likelihood(in.x, seen.mean, seen.log_variance) - drawn.kl);
                    return LossValue{-elbo, {elbo}};
                  }};
  BatchLoader loader(data, {}, {.batch = 100, .seed = 2});
  Training training(
      vae.parameters(), {{.loss = loss, .steps = 3000, .rates = {3e-3}}},
      {.per_epoch = loader.batches_per_epoch(), .batch = [&](int64_t) { return loader.next().x; }},
      {.seed = 3});
  while (training.step())
    if (training.steps() % 500 == 0)
      std::printf("step %4lld  ELBO of the batch %7.3f\n", static_cast<long long>(training.steps()),
                  training.terms().probes[0].item());

  double elbo = 0;  // over fresh z, nats per data point; without a tape, ops only evaluate
  for (uint64_t i = 0; i < 200; ++i)
    elbo += loss.value({all, {}, {.seed = 4, .stream = kEvaluation, .step = i}}).probes[0].item() / 200;
  std::printf("ELBO %.4f nats per data point\n", elbo);

  save_parameters(folder + "model.safetensors", vae.parameters(), 0, {{"elbo", std::to_string(elbo)}});
  write_npy(folder + "means.npy", vae.decode(vae.encode(all).mean).mean.value());  // reconstructions (N, D)
} catch (const Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 2;
}
