// LinearSetting: a linear VAE with random weights on random data, as the tests of its ELBO and of its metrics
// need it.
#pragma once

#include "autograd/tape.h"
#include "tests/vae/helpers.h"
#include "vae/linear_vae.h"

namespace elbo {

/// A linear VAE in f64 with weights of size `scale` on random data, whose mean it has.
struct LinearSetting {
  Tensor x, centred;
  DataMoments data;
  LinearVae vae;

  LinearSetting(int64_t n, int64_t dimensions, int64_t latent, uint64_t seed, double scale = 0.5)
      : x(correlated_data(n, dimensions, seed)),
        data(data_moments(x)),
        vae({.dimensions = dimensions, .latent = latent, .dtype = DType::f64}, seed) {
    centred = (Variable(x) - Variable(data.mean)).value();
    vae.set_mean(data.mean);
    uint64_t next = 100 * seed;
    for (const char* name : {"decoder.weight", "encoder.weight", "log_variance", "log_sigma2"})
      set(name, (draw(value(name).shape(), next++) * scale).value());
  }

  Tensor value(const std::string& name) { return vae.parameters().at(name).value; }
  Tensor gradient(const std::string& name) { return vae.parameters().at(name).gradient; }
  void set(const std::string& name, const Tensor& to) {
    value(name).copy_from(to.reshape(value(name).shape()));
  }
  double sigma2() { return std::exp(value("log_sigma2").item()); }
  LinearVaeMetrics metrics() { return evaluate_linear_vae(linear_vae_weights(vae), data); }

  /// Fills the gradients of the mean analytic ELBO, which it returns.
  double differentiate() {
    vae.parameters().consume_gradients();
    Tape tape;
    const Variable elbo = vae.analytic_elbo(centred);
    tape.backward(elbo);
    return elbo.item();
  }

  /// d* = sigma^2 / (diag(W^T W) + sigma^2).
  void set_best_log_variance() {
    const Tensor w = value("decoder.weight"), log_variance = value("log_variance");
    for (int64_t i = 0; i < w.size(1); ++i) {
      double square = 0;
      for (int64_t j = 0; j < w.size(0); ++j) square += std::pow(w.at(j * w.size(1) + i), 2);
      log_variance.data<double>()[i] = std::log(sigma2() / (square + sigma2()));
    }
  }
  /// V* = M^-1 W^T.
  void set_best_encoder() {
    set("encoder.weight", ppca_posterior({value("decoder.weight"), data.mean, sigma2()}).projection);
  }
};

}  // namespace elbo
