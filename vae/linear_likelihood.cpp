#include "vae/linear_likelihood.h"

#include <algorithm>

#include "tensor/math.h"
#include "tensor/small_layers.h"
#include "vae/mean_quadratic.h"

namespace elbo {
namespace {

// Fewer samples, or a last layer that does not widen so much, leave too little to be saved.
constexpr int64_t kFewestSamples = 4, kLeastWidening = 4;

KeptVector<DenseLayer> layers_of(const Vae& vae) {
  KeptVector<DenseLayer> layers;
  for (const auto& make : vae.parts().decoder.dense().branches.front().layers) layers.push_back(make());
  return layers;
}

/// () or (M), as the numbers of members are.
Variable per_member(const Vae& vae, const Variable& numbers) {
  return reshape(numbers, vae.has_members() ? Shape{vae.models()} : Shape{});
}

}  // namespace

bool suits_linear_likelihood(const Vae& vae, int64_t samples) {
  const DenseForm& decoder = vae.parts().decoder.dense();
  if (vae.likelihood() != Likelihood::gaussian || samples < kFewestSamples || vae.parts().mixes_points ||
      decoder.branches.size() != 1 || decoder.branches.front().heads != 1 || !decoder.constant)
    return false;
  const DenseLayer last = decoder.branches.front().layers.back()();
  return last.activation == Activation::none && last.weight.rank() == (vae.has_members() ? 3 : 2) &&
         vae.dimensions() > kWidestSmallLayer &&  // else small_vae.h may have the whole of it
         last.weight.size(-2) >= kLeastWidening * last.weight.size(-1) &&
         decoder.constant().value().elements() == vae.models();
}

int64_t widest_hidden(const Vae& vae) {
  int64_t widest = 0;
  for (const DenseLayer& layer : layers_of(vae)) widest = std::max(widest, layer.weight.size(-1));
  return widest;
}

int64_t widest_in_pass(const Vae& vae) {
  const int64_t widest = widest_hidden(vae);
  return widest <= kWidestSmallLayer ? vae.latent() : widest;
}

LinearLikelihood linear_likelihood(const Vae& vae, const Tensor& x) {
  const DenseLayer last = vae.parts().decoder.dense().branches.front().layers.back()();
  // Around the batch's mean: |x - b|^2 is that of the mean, and the spread about it.
  const Variable mean_x = mean(Variable(x), {-2}, true), centred = x - mean_x;
  const Variable spread = mean(sum(square(centred), {-1}), {-1});
  const Variable bias = vae.has_members() ? reshape(last.bias, {vae.models(), 1, vae.dimensions()})
                                          : reshape(last.bias, {1, vae.dimensions()});
  const Variable off = mean_x - bias;  // (M?, 1, D)
  return {matmul_tn(last.weight, last.weight), matmul_tt(last.weight, centred) + matmul_tt(last.weight, off),
          per_member(vae, sum(square(off), {-1})) + spread};
}

MeanLogLikelihood mean_log_likelihood(const Vae& vae, const LinearLikelihood& likelihood, const Variable& z) {
  KeptVector<DenseLayer> layers = layers_of(vae);
  layers.pop_back();
  const Variable log_variance = vae.parts().decoder.dense().constant(),
                 log_sigma2 = per_member(vae, log_variance);
  const Variable squared_error =
      likelihood.square + mean_quadratic(z, layers, likelihood.gram, likelihood.target);
  const auto dimensions = static_cast<double>(vae.dimensions());
  return {-0.5 * (squared_error * exp(-log_sigma2) + dimensions * (log_sigma2 + math::kLogTwoPi)),
          log_variance};
}

}  // namespace elbo
