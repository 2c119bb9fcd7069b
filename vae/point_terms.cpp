#include "vae/point_terms.h"

#include <cmath>

#include "autograd/ops.h"

namespace elbo {
namespace {

Tensor in_double(const Tensor& x) { return x.to(DType::f64).to(Device::cpu); }

/// Draws of z beyond the first have streams of their own, above those that have names.
constexpr uint32_t kNamedStreams = 256;

}  // namespace

Tensor point_kl(const Vae& vae, const Posterior& q) {
  const Posterior of_prior = vae.in_prior_units(q);
  return sum(in_double(gaussian_kl(of_prior.mean, of_prior.log_variance).value()), {-1}).value();
}

Tensor point_log_likelihood(const Vae& vae, const Tensor& x, const Posterior& q, RandomKey key,
                            int64_t draw) {
  if (draw < 0 || draw >= kMostDraws) fail("[point terms] there is no draw {}", draw);
  key.stream += static_cast<uint32_t>(draw) * kNamedStreams;
  const Variable z = vae.draw(q, key).z;
  return in_double(vae.log_likelihood(x, vae.decode(z)).value()).reshape({x.size(0)});
}

Tensor linear_point_log_likelihood(const Vae& vae, const Tensor& weights, const Tensor& x,
                                   const Posterior& q) {
  const Variable columns = sum(square(in_double(weights)), {0});  // (k)
  const Variable spread = sum(exp(in_double(q.log_variance.value())) * columns, {-1});
  const Observation p = vae.decode(q.mean);
  const Variable at_mean = in_double(vae.log_likelihood(x, p).value());
  return (at_mean - spread / (2 * std::exp(p.log_variance.item()))).value();
}

}  // namespace elbo
