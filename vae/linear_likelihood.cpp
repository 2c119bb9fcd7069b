#include "vae/linear_likelihood.h"

#include <algorithm>

#include "tensor/math.h"
#include "tensor/small_layers.h"

namespace elbo {
namespace {

// Fewer samples, or a last layer that does not widen so much, leave too little to be saved.
constexpr int64_t kFewestSamples = 4, kLeastWidening = 4;

const DenseBranch& branch_of(const Vae& vae) { return vae.parts().decoder.dense().branches.front(); }

/// () or (M), as the numbers of members are.
Variable per_member(const Vae& vae, const Variable& numbers) {
  return reshape(numbers, vae.has_members() ? Shape{vae.models()} : Shape{});
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
  for (const auto& make : branch_of(vae).layers) widest = std::max(widest, make().weight.size(-1));
  return widest <= kWidestSmallLayer ? vae.latent() : widest;
}

LinearTarget linear_target(const Vae& vae, const Tensor& x) {
  const DenseLayer last = branch_of(vae).layers.back()();
  // Around the batch's mean: x - b would be as large as x for each member, even where they share x.
  const Variable mean_x = mean(Variable(x), {-2}, true), centred = x - mean_x;
  const Variable bias = vae.has_members() ? reshape(last.bias, {vae.models(), 1, vae.dimensions()})
                                          : reshape(last.bias, {1, vae.dimensions()});
  const Variable off = mean_x - bias;  // (M?, 1, D)
  return {.gram = matmul_tn(last.weight, last.weight),
          .target = matmul(centred, last.weight) + matmul(off, last.weight),
          .square = per_member(vae, sum(square(off), {-1})) + mean(sum(square(centred), {-1}), {-1})};
}

MeanLogLikelihood mean_log_likelihood(const Vae& vae, const LinearTarget& target, const Variable& z) {
  KeptVector<DenseLayer> layers;
  for (size_t l = 0; l + 1 < branch_of(vae).layers.size(); ++l) layers.push_back(branch_of(vae).layers[l]());
  const Variable log_variance = vae.parts().decoder.dense().constant(),
                 log_sigma2 = per_member(vae, log_variance);
  const Variable squared_error = linear_squared_error(z, layers, target);
  const auto dimensions = static_cast<double>(vae.dimensions());
  return {-0.5 * (squared_error * exp(-log_sigma2) + dimensions * (log_sigma2 + math::kLogTwoPi)),
          log_variance};
}

}  // namespace elbo
