#include "vae/linear_likelihood.h"

#include <algorithm>

#include "tensor/math.h"
#include "tensor/small_layers.h"

namespace elbo {
namespace {

// Fewer samples, or a last layer that does not widen so much, leave too little to be saved.
constexpr int64_t kFewestSamples = 4, kLeastWidening = 4;

const DenseBranch& branch_of(const Vae& vae) { return vae.parts().decoder.dense().branches.front(); }

KeptVector<DenseLayer> layers_of(const Vae& vae) {
  KeptVector<DenseLayer> layers;
  for (const auto& make : branch_of(vae).layers) layers.push_back(make());
  return layers;
}

}  // namespace

bool suits_linear_likelihood(const Vae& vae, int64_t samples) {
  const DenseForm& decoder = vae.parts().decoder.dense();
  if (vae.likelihood() != Likelihood::gaussian || samples < kFewestSamples || vae.parts().mixes_points ||
      decoder.branches.size() != 1 || branch_of(vae).heads != 1 || !decoder.constant)
    return false;
  const DenseLayer last = branch_of(vae).layers.back()();
  return last.activation == Activation::none && last.weight.rank() == (vae.has_members() ? 3 : 2) &&
         vae.dimensions() > kWidestSmallLayer &&  // else small_vae.h may have the whole of it
         last.weight.size(-2) >= kLeastWidening * last.weight.size(-1) &&
         decoder.constant().value().elements() == vae.models();
}

int64_t widest_in_pass(const Vae& vae) {
  int64_t widest = 0;
  for (const DenseLayer& layer : layers_of(vae)) widest = std::max(widest, layer.weight.size(-1));
  return widest <= kWidestSmallLayer ? vae.latent() : widest;
}

LinearTarget linear_target(const Vae& vae, const Tensor& x, const Tensor& z) {
  KeptVector<DenseLayer> layers = layers_of(vae);
  const DenseLayer last = layers.back();
  layers.pop_back();
  for (DenseLayer& layer : layers) layer = {layer.weight.value(), layer.bias.value(), layer.activation};
  const Tensor near = layers.empty() ? z : dense_layers(z, layers).front().value();
  return linear_target(x, near, last.weight, last.bias);
}

LinearTarget linear_target_again(const Vae& vae, const LinearTarget& made) {
  const DenseLayer last = branch_of(vae).layers.back()();
  return linear_target_again(made, last.weight, last.bias);
}

MeanLogLikelihood mean_log_likelihood(const Vae& vae, const LinearTarget& target, const Variable& z) {
  KeptVector<DenseLayer> layers = layers_of(vae);
  layers.pop_back();
  const Variable log_variance = vae.parts().decoder.dense().constant(),
                 log_sigma2 = reshape(log_variance, vae.has_members() ? Shape{vae.models()} : Shape{});
  const Variable squared_error = linear_squared_error(z, layers, target);
  const auto dimensions = static_cast<double>(vae.dimensions());
  return {-0.5 * (squared_error * exp(-log_sigma2) + dimensions * (log_sigma2 + math::kLogTwoPi)),
          log_variance};
}

}  // namespace elbo
