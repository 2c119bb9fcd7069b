#include "vae/small_vae.h"

#include "autograd/small_layer.h"
#include "autograd/tape.h"
#include "vae/small_vae_block.h"
#include "vae/small_vae_kernel.h"

namespace elbo {
namespace {

/// A part's layers, and the inputs of the op that they are.
template <class T>
struct MadePart {
  SmallPart<T> small;
  KeptVector<DenseLayer> layers;
};

template <class T>
std::optional<MadePart<T>> part_of(const DenseForm& form, int64_t models) {
  MadePart<T> part;
  for (const DenseBranch& branch : form.branches) {
    typename SmallPart<T>::Branch small{.heads = branch.heads};
    for (const auto& make : branch.layers) {
      const DenseLayer layer = make();
      const Tensor &weight = layer.weight.value(), &bias = layer.bias.value();
      const int64_t out = weight.size(-2), in = weight.size(-1);
      const bool is_head = small.layers.size() + static_cast<size_t>(branch.heads) >= branch.layers.size();
      if (is_head && layer.activation != Activation::none) return std::nullopt;
      if (in > kWidestSmallLayer || out > kWidestSmallLayer || weight.elements() != models * out * in ||
          bias.elements() != models * out)
        return std::nullopt;
      small.layers.push_back(small_layer<T>(weight, bias, layer.activation));
      small.activations.push_back(layer.activation);
      part.layers.push_back(layer);
    }
    part.small.branches.push_back(std::move(small));
  }
  return part;
}

/// Whether a part goes from so many numbers to `heads` times so many, through layers that fit each other.
template <class T>
bool goes_from_to(const SmallPart<T>& part, int64_t from, int64_t to, size_t heads) {
  size_t found = 0;
  for (const auto& branch : part.branches) {
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
template <class T>
struct Model {
  SmallVae<T> small;
  KeptVector<DenseLayer> layers;  // the encoder's, then the decoder's
  Variable log_sigma2{};
};

template <class T>
std::optional<Model<T>> model_of(const Vae& vae) {
  const DenseForm &encoder = vae.parts().encoder.dense(), &decoder = vae.parts().decoder.dense();
  const bool is_gaussian = vae.likelihood() == Likelihood::gaussian;
  if (vae.parts().prior.log_variance || encoder.branches.empty() || decoder.branches.empty() ||
      is_gaussian != static_cast<bool>(decoder.constant) || encoder.constant)
    return std::nullopt;
  std::optional<MadePart<T>> q = part_of<T>(encoder, vae.models()), p = part_of<T>(decoder, vae.models());
  if (!q || !p) return std::nullopt;
  Model<T> model{{.encoder = std::move(q->small),
                  .decoder = std::move(p->small),
                  .likelihood = vae.likelihood(),
                  .members = vae.models(),
                  .dimensions = vae.dimensions(),
                  .latent = vae.latent()},
                 std::move(q->layers)};
  model.layers.insert(model.layers.end(), p->layers.begin(), p->layers.end());
  if (is_gaussian) {
    model.log_sigma2 = decoder.constant();
    if (model.log_sigma2.value().elements() != vae.models()) return std::nullopt;
    model.small.log_sigma2 = model.log_sigma2.value().template data<T>();
  }
  const size_t outputs = vae.likelihood() == Likelihood::diagonal_gaussian ? 2 : 1;
  if (!goes_from_to(model.small.encoder, vae.dimensions(), vae.latent(), 2) ||
      !goes_from_to(model.small.decoder, vae.latent(), vae.dimensions(), outputs))
    return std::nullopt;
  if (vae.device() == Device::cuda) {
    if constexpr (kHasGpuCode && std::is_same_v<T, float>) {
      if (!cuda::suits_small_vae(model.small)) return std::nullopt;
    } else {
      return std::nullopt;
    }
  }
  return model;
}

/// Calls on_gpu or on_cpu, which are generic, with the model.
template <class T, class OnGpu, class OnCpu>
auto where_it_is(Device device, const SmallVae<T>& small, const OnGpu& on_gpu, const OnCpu& on_cpu) {
  if constexpr (kHasGpuCode && std::is_same_v<T, float>)
    if (device == Device::cuda) return on_gpu(small);
  return on_cpu(small);
}

template <class T>
int64_t sums_of(Device device, const SmallVae<T>& small) {
  return where_it_is(
      device, small, [](const auto& v) { return cuda::small_vae_sums(v); },
      [](const auto& v) { return small_vae_sums(v); });
}

template <class T>
void run(Device device, const SmallVae<T>& small, const SmallVaeTerms<T>& terms, T* sums) {
  where_it_is(
      device, small, [&](const auto& v) { cuda::run_small_vae(v, terms, sums); },
      [&](const auto& v) { run_small_vae(v, terms, sums); });
}

template <class T>
void join(Device device, const SmallVae<T>& small, const T* sums, const T* d_cost,
          const SmallLayerGradients<T>* gradients) {
  where_it_is(
      device, small, [&](const auto& v) { cuda::join_small_vae(v, sums, d_cost, gradients); },
      [&](const auto& v) { join_small_vae(v, sums, d_cost, gradients); });
}

template <class T>
LossValue cost_of(const Vae& vae, const Tensor& x, const Tensor& kl_weight, const RandomKey& key,
                  int64_t samples, int64_t parts, const BatchRows& rows) {
  std::optional<Model<T>> model = model_of<T>(vae);
  if (!model) fail("[small_vae_cost] the op does not take this model");
  SmallVae<T>& small = model->small;
  const Device device = vae.device();
  small.rows = x.size(-2);
  small.x = x.data<T>();
  small.shared_x = x.rank() == 2;
  small.kl_weight = kl_weight.data<T>();
  small.key = key;
  small.samples = samples;
  small.samples_of_part = samples / parts;
  small.batch_rows = rows;

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
  const auto number = [&] { return Tensor::empty(members, vae.dtype(), device); };
  Variable cost = number();
  LossValue value{{}, {number(), number()}};
  if (vae.likelihood() != Likelihood::bernoulli)
    value.probes.insert(value.probes.end(), {number(), number(), number()});
  const auto pointer = [&](size_t probe) {
    return probe < value.probes.size() ? value.probes[probe].value().template data<T>() : nullptr;
  };
  Tensor sums;
  if (Tape::live() && differentiates) sums = Tensor::empty({sums_of(device, small)}, vae.dtype(), device);
  run<T>(device, small,
         {cost.value().template data<T>(), pointer(0), pointer(1), pointer(2), pointer(3), pointer(4)},
         sums.defined() ? sums.data<T>() : nullptr);
  Tape::record_outputs(
      "small_vae_cost", pointers, {&cost},
      [small, sums, device, layers = model->layers.size()](Backward& pass) {
        KeptVector<SmallLayerGradients<T>> gradients;
        for (size_t l = 0; l < layers; ++l)
          gradients.push_back(layer_targets<T>(pass, static_cast<int>(2 * l)));
        gradients.push_back({});  // ln sigma^2, as the bias of a last layer
        if (small.log_sigma2)
          set_target(pass, static_cast<int>(2 * layers), gradients.back().bias, gradients.back().add_to_bias);
        join<T>(device, small, sums.data<T>(), pass.dy().template data<T>(), gradients.data());
      });
  value.cost = cost;
  return value;
}

}  // namespace

bool suits_small_vae_cost(const Vae& vae) {
  return vae.dtype() == DType::f64 ? model_of<double>(vae).has_value() : model_of<float>(vae).has_value();
}

LossValue small_vae_cost(const Vae& vae, const Tensor& x, const Tensor& kl_weight, const RandomKey& key,
                         int64_t samples, int64_t parts, const BatchRows& rows) {
  const bool apart = x.rank() == 3;
  if (!(x.rank() == 2 || (apart && vae.has_members() && x.size(0) == vae.models())) ||
      x.size(-1) != vae.dimensions() || x.elements() == 0 || x.dtype() != vae.dtype() ||
      x.device() != vae.device())
    fail("[small_vae_cost] x must be points of {} numbers of the model's type and device, got {}",
         vae.dimensions(), x.shape().str());
  const RandomKey last{key.seed, key.member + static_cast<uint32_t>(vae.models() - 1), key.stream,
                       key.step + static_cast<uint64_t>(parts - 1)};
  check_draw(last, samples / parts * rows.all_of(x.size(-2)) * vae.latent(), "small_vae_cost");
  return vae.dtype() == DType::f64 ? cost_of<double>(vae, x, kl_weight, key, samples, parts, rows)
                                   : cost_of<float>(vae, x, kl_weight, key, samples, parts, rows);
}

}  // namespace elbo
