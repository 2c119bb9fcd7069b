#include "vae/small_vae.h"

#include "autograd/tape.h"
#include "vae/small_vae_kernel.h"

namespace elbo {
namespace {

/// A part's layers, and the inputs of the op that they are.
struct MadePart {
  cuda::SmallPart small;
  KeptVector<DenseLayer> layers;
};

std::optional<MadePart> part_of(const DenseForm& form, int64_t models) {
  MadePart part;
  for (const DenseBranch& branch : form.branches) {
    cuda::SmallPart::Branch small{.heads = branch.heads};
    for (const auto& make : branch.layers) {
      const DenseLayer layer = make();
      const int64_t out = layer.weight.size(-2), in = layer.weight.size(-1);
      const bool is_head = small.layers.size() + static_cast<size_t>(branch.heads) >= branch.layers.size();
      if (is_head && layer.activation != Activation::none) return std::nullopt;
      if (layer.weight.value().elements() != models * out * in ||
          layer.bias.value().elements() != models * out)
        return std::nullopt;
      small.layers.push_back({.in = in,
                              .out = out,
                              .weight = layer.weight.value().data<float>(),
                              .bias = layer.bias.value().data<float>()});
      small.activations.push_back(layer.activation);
      part.layers.push_back(layer);
    }
    part.small.branches.push_back(std::move(small));
  }
  return part;
}

/// Whether a part goes from so many numbers to `heads` times so many, through layers that fit each other.
bool goes_from_to(const cuda::SmallPart& part, int64_t from, int64_t to, size_t heads) {
  size_t found = 0;
  for (const cuda::SmallPart::Branch& branch : part.branches) {
    const size_t hidden = branch.layers.size() - static_cast<size_t>(branch.heads);
    int64_t in = from;
    for (size_t l = 0; l < branch.layers.size(); ++l) {
      if (branch.layers[l].in != in || (l >= hidden && branch.layers[l].out != to)) return false;
      if (l < hidden) in = branch.layers[l].out;
    }
    found += static_cast<size_t>(branch.heads);
  }
  return found == heads;
}

/// What the op is made of, once it has been found to suit; of x and what belongs to a step nothing is in it.
struct Model {
  cuda::SmallVae small;
  KeptVector<DenseLayer> layers;  // the encoder's, then the decoder's
  Variable log_sigma2{};
};

std::optional<Model> model_of(const Vae& vae) {
  if (!kHasGpuCode || vae.device() != Device::cuda || vae.dtype() != DType::f32) return std::nullopt;
  const DenseForm &encoder = vae.parts().encoder.dense(), &decoder = vae.parts().decoder.dense();
  const bool is_gaussian = vae.likelihood() == Likelihood::gaussian;
  if (vae.parts().prior.log_variance || encoder.branches.empty() || decoder.branches.empty() ||
      is_gaussian != static_cast<bool>(decoder.constant) || encoder.constant)
    return std::nullopt;
  const std::optional<MadePart> q = part_of(encoder, vae.models()), p = part_of(decoder, vae.models());
  if (!q || !p) return std::nullopt;
  Model model{{.encoder = q->small,
               .decoder = p->small,
               .likelihood = vae.likelihood(),
               .members = vae.models(),
               .dimensions = vae.dimensions(),
               .latent = vae.latent()},
              q->layers};
  model.layers.insert(model.layers.end(), p->layers.begin(), p->layers.end());
  if (is_gaussian) {
    model.log_sigma2 = decoder.constant();
    if (model.log_sigma2.value().elements() != vae.models()) return std::nullopt;
    model.small.log_sigma2 = model.log_sigma2.value().data<float>();
  }
  const size_t outputs = vae.likelihood() == Likelihood::diagonal_gaussian ? 2 : 1;
  if (!goes_from_to(q->small, vae.dimensions(), vae.latent(), 2) ||
      !goes_from_to(p->small, vae.latent(), vae.dimensions(), outputs))
    return std::nullopt;
  if constexpr (kHasGpuCode)
    if (!cuda::suits_small_vae(model.small)) return std::nullopt;
  return model;
}

/// Where the rule puts the gradients of an input: of a layer's weight or bias, or of ln sigma^2 as the bias
/// of a last layer.
void set_target(Backward& pass, int input, float*& to, bool& add) {
  if (!pass.wants(input)) return;
  const Backward::Target target = pass.target(input);
  to = target.tensor.data<float>();
  add = target.accumulate;
}

}  // namespace

bool suits_small_vae_cost(const Vae& vae) { return model_of(vae).has_value(); }

LossValue small_vae_cost(const Vae& vae, const Tensor& x, const Tensor& kl_weight, const RandomKey& key,
                         int64_t samples, int64_t parts, const BatchRows& rows) {
  std::optional<Model> model = model_of(vae);
  if (!model) fail("[small_vae_cost] the op does not take this model");
  cuda::SmallVae& small = model->small;
  const bool apart = x.rank() == 3;
  if (!(x.rank() == 2 || (apart && vae.has_members() && x.size(0) == vae.models())) ||
      x.size(-1) != vae.dimensions() || x.elements() == 0 || x.dtype() != DType::f32 ||
      x.device() != Device::cuda)
    fail("[small_vae_cost] x must be points of {} numbers in f32 on the GPU, got {}", vae.dimensions(),
         x.shape().str());
  small.rows = x.size(-2);
  small.x = x.data<float>();
  small.shared_x = !apart;
  small.kl_weight = kl_weight.data<float>();
  small.key = key;
  small.samples = samples;
  small.samples_of_part = samples / parts;
  small.batch_rows = rows;
  const RandomKey last{key.seed, key.member + static_cast<uint32_t>(vae.models() - 1), key.stream,
                       key.step + static_cast<uint64_t>(parts - 1)};
  check_draw(last, samples / parts * rows.all_of(small.rows) * vae.latent(), "small_vae_cost");

  KeptVector<Variable> inputs;
  for (const DenseLayer& layer : model->layers) {
    inputs.push_back(layer.weight);
    inputs.push_back(layer.bias);
  }
  if (small.log_sigma2) inputs.push_back(model->log_sigma2);
  KeptVector<const Variable*> pointers;
  bool differentiates = false;
  for (const Variable& input : inputs) {
    pointers.push_back(&input);
    differentiates = differentiates || input.needs_gradient();
  }

  const Shape members = vae.has_members() ? Shape{vae.models()} : Shape{};
  const auto number = [&] { return Tensor::empty(members, DType::f32, Device::cuda); };
  Variable cost = number();
  LossValue value{{}, {number(), number()}};
  const bool has_entropies = vae.likelihood() != Likelihood::bernoulli;
  if (has_entropies) value.probes.insert(value.probes.end(), {number(), number(), number()});
  const auto pointer = [&](size_t probe) {
    return probe < value.probes.size() ? value.probes[probe].value().data<float>() : nullptr;
  };
  Tensor sums;
  if constexpr (kHasGpuCode) {
    if (Tape::live() && differentiates)
      sums = Tensor::empty({cuda::small_vae_sums(small)}, DType::f32, Device::cuda);
    cuda::small_vae_cost(
        small, {cost.value().data<float>(), pointer(0), pointer(1), pointer(2), pointer(3), pointer(4)},
        sums.defined() ? sums.data<float>() : nullptr);
  }
  Tape::record_outputs(
      "small_vae_cost", pointers, {&cost}, [small, sums, layers = model->layers.size()](Backward& pass) {
        KeptVector<SmallLayerGradients<float>> gradients(layers + 1);
        int input = 0;
        for (size_t l = 0; l < layers; ++l) {
          set_target(pass, input++, gradients[l].weight, gradients[l].add_to_weight);
          set_target(pass, input++, gradients[l].bias, gradients[l].add_to_bias);
        }
        if (small.log_sigma2) set_target(pass, input, gradients.back().bias, gradients.back().add_to_bias);
        if constexpr (kHasGpuCode)
          cuda::join_small_vae(small, sums.data<float>(), pass.dy().data<float>(), gradients.data());
      });
  value.cost = cost;
  return value;
}

}  // namespace elbo
