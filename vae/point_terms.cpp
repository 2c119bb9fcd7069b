#include "vae/point_terms.h"

#include "autograd/ops.h"
#include "tensor/map.h"

namespace elbo {
namespace {

Tensor in_double(const Tensor& x) { return x.to(DType::f64).to(Device::cpu); }

/// Draws of z beyond the first take the key's step from so far up that no part of the data has it.
constexpr int kDrawBits = 40;

}  // namespace

Tensor point_kl(const Posterior& q) {
  return sum(in_double(gaussian_kl(q.mean, q.log_variance).value()), {-1}).value();
}

Tensor point_log_likelihood(const DeepVae& vae, const Tensor& x, const Posterior& q, const RandomKey& key,
                            int64_t samples) {
  Tensor total = Tensor::zeros({x.size(0)}, DType::f64);
  for (int64_t sample = 0; sample < samples; ++sample) {
    RandomKey own = key;
    own.step += static_cast<uint64_t>(sample) << kDrawBits;
    const Variable z = reparameterize_kl(q.mean, q.log_variance, own).z;
    add_into(total, in_double(vae.log_likelihood(x, vae.decode(z)).value()).reshape({x.size(0)}));
  }
  return (Variable(total) / static_cast<double>(samples)).value();
}

Tensor linear_point_log_likelihood(const DeepVae& vae, const Tensor& weights, const Tensor& x,
                                   const Posterior& q) {
  const Variable columns = sum(square(in_double(weights)), {0});  // (k)
  const Variable spread = sum(exp(in_double(q.log_variance.value())) * columns, {-1});
  const Variable at_mean = in_double(vae.log_likelihood(x, vae.decode(q.mean)).value());
  return (at_mean - spread / (2 * vae.sigma2())).value();
}

}  // namespace elbo
