// A VAE whose ELBO prefers a wrong model, to try other methods on (Yacoby et al., Eq. 3): x|z = L z + noise,
// L L^T = A A^T + B, of which only A is learned; encoders are linear.
#pragma once

#include <memory>

#include "tests/vae/helpers.h"
#include "vae/elbo_loss.h"
#include "vae/parts.h"

namespace elbo {

/// B = .006 I, and noise of variance .01 - .006.
inline std::unique_ptr<Vae> linear_jtex(int64_t members, int64_t first_member = 0, uint64_t seed = 5,
                                        Device device = Device::cpu) {
  const auto parts = [](ParameterStore& store) {
    const Initializer drawn{Initializer::Kind::xavier_uniform};
    Network mean = network(Linear(store, "encoder.mean", 2, 2, drawn));
    Network log_variance = network(Linear(store, "encoder.log_variance", 2, 2, drawn));
    Network means = cholesky_map(store, "decoder", 2, drawn, 0.006);
    Network noise = one_number(store, "log_sigma2", std::log(0.004));
    store.hold("log_sigma2");
    return Parts{.encoder = encoder_of(std::move(mean), std::move(log_variance)),
                 .decoder = decoder_of(std::move(means), std::move(noise))};
  };
  return std::make_unique<Vae>(VaeOptions{.dimensions = 2,
                                          .latent = 2,
                                          .dtype = DType::f64,
                                          .device = device,
                                          .members = members,
                                          .first_member = first_member},
                               parts, seed);
}

/// Of the true model, A = [[.75, .25], [1.5, -1]]: (sets, n, 2).
inline Tensor jtex_data(int64_t sets, int64_t n, uint64_t seed) {
  const Tensor a = Tensor::from<double>({2, 2}, {0.75, 0.25, 1.5, -1});
  const Tensor l =
      cholesky_factor(matmul_nt(a, a) + Tensor::from<double>({2, 2}, {0.006, 0, 0, 0.006})).value();
  return (matmul_nt(draw({sets, n, 2}, seed), l) + std::sqrt(0.004) * Variable(draw({sets, n, 2}, seed + 1)))
      .value();
}

using Numbers = std::vector<double>;

/// All parameters of a model, or of a member of it.
inline Numbers numbers_of(const Vae& vae, int64_t member = -1, const std::string& beginning = "") {
  Numbers all;
  for (const Parameter& parameter : vae.parameters().all())
    if (parameter.name.starts_with(beginning))
      for (double value : (member < 0 ? parameter.value : parameter.value.slice(member)).to_vector())
        all.push_back(value);
  return all;
}

inline bool close(const Numbers& a, const Numbers& b, double tolerance) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!close(a[i], b[i], tolerance)) return false;
  return true;
}

}  // namespace elbo
