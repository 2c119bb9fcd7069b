// Dense layers one after another as one op, for networks so small that a block of rows goes through all of
// them while it is in the cache, or in a GPU's shared memory.
#include <algorithm>
#include <array>

#include "autograd/activation.h"
#include "autograd/dense_layers_kernel.h"
#include "autograd/small_layer.h"
#include "autograd/tape.h"
#include "tensor/cuda/device.h"
#include "tensor/small_layers.h"

namespace elbo {
namespace {

constexpr size_t kMostLayers = 16;
static_assert(kMostLayers <= cuda::kMostLayers);

/// What the layers and x have in common, once `linear` has nothing against them.
struct Sizes {
  bool ensemble = false, shared_x = false;
  int64_t members = 1, rows = 0;
};

/// Whether x and the layers fit together, so that `linear` would take them, and are as small as rows go
/// through together.
bool is_small(const Variable& x, std::span<const DenseLayer> layers, size_t heads, Sizes& sizes) {
  const bool on_gpu = x.value().device() == Device::cuda;
  const int64_t widest = on_gpu ? cuda::kWidestLayer : kWidestSmallLayer;
  if (layers.size() < 2 || layers.size() > kMostLayers || x.rank() < 1 || x.value().elements() == 0 ||
      (x.dtype() != DType::f32 && (on_gpu || x.dtype() != DType::f64)))
    return false;
  sizes.ensemble = layers[0].weight.rank() == 3;
  sizes.members = sizes.ensemble ? layers[0].weight.size(0) : 1;
  sizes.shared_x = sizes.ensemble && x.rank() == 2;
  if (sizes.ensemble && !sizes.shared_x && (x.rank() < 2 || x.size(0) != sizes.members)) return false;
  int64_t in = x.size(-1), all_heads = 0;
  for (size_t l = 0; l < layers.size(); ++l) {
    const Variable &weight = layers[l].weight, &bias = layers[l].bias;
    if (weight.rank() != (sizes.ensemble ? 3 : 2) || weight.size(-1) != in ||
        (sizes.ensemble && weight.size(0) != sizes.members) ||
        !(bias.shape() == weight.shape().drop_back(1)) || weight.value().elements() == 0)
      return false;
    for (const Variable* each : {&weight, &bias})
      if (each->dtype() != x.dtype() || each->value().device() != x.value().device()) return false;
    const bool is_head = l + heads >= layers.size();
    if (is_head) all_heads += weight.size(-2);
    if (in > widest || weight.size(-2) > widest || all_heads > widest) return false;
    if (!is_head) in = weight.size(-2);
  }
  const int64_t apart = sizes.ensemble && !sizes.shared_x ? sizes.members : 1;
  sizes.rows = x.value().elements() / (x.size(-1) * apart);
  return true;
}

template <class T, class Formula>
void activate_in_place(T* y, int64_t n) {
  constexpr Formula formula{};
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = formula(y[i]);
}

template <class T, class Formula>
void differentiate_in_place(const T* y, T* d, int64_t n) {
  constexpr Formula formula{};
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) d[i] = formula.backward(y[i], d[i]);
}

/// A layer's tensors, as the rule keeps them.
struct KeptLayer {
  Tensor weight, bias;
  Activation activation;
};

template <class T>
SmallNetwork<T> network_of(const Sizes& sizes, const Tensor& x, const KeptVector<KeptLayer>& layers,
                           size_t heads) {
  SmallNetwork<T> network{.layers = {},
                          .heads = static_cast<int64_t>(heads),
                          .members = sizes.members,
                          .rows = sizes.rows,
                          .x = x.data<T>(),
                          .shared_x = sizes.shared_x};
  for (const KeptLayer& layer : layers)
    network.layers.push_back(small_layer<T>(layer.weight, layer.bias, layer.activation));
  return network;
}

template <class T>
KeptVector<T*> pointers_of(const KeptVector<Tensor>& tensors) {
  KeptVector<T*> pointers;
  for (const Tensor& tensor : tensors) pointers.push_back(tensor.data<T>());
  return pointers;
}

[[maybe_unused]] KeptVector<Activation> activations_of(const KeptVector<KeptLayer>& layers) {
  KeptVector<Activation> activations;
  for (const KeptLayer& layer : layers) activations.push_back(layer.activation);
  return activations;
}

/// Writes the outputs. Returns what the rule needs of the hidden layers, if it `keeps` that.
template <class T>
Tensor run_op(const SmallNetwork<T>& network, const KeptVector<KeptLayer>& layers,
              const KeptVector<Tensor>& outputs, bool keeps) {
  const auto run = [&](int64_t numbers, const auto& each) {
    const Tensor kept = keeps ? Tensor::empty({numbers}, outputs[0].dtype(), outputs[0].device()) : Tensor();
    each(pointers_of<T>(outputs).data(), keeps ? kept.data<T>() : nullptr);
    return kept;
  };
  if constexpr (kHasGpuCode && std::is_same_v<T, float>)
    if (outputs[0].device() == Device::cuda)
      return run(cuda::kept_numbers(network),
                 [&](T* const* y, T* kept) { cuda::run_layers(network, activations_of(layers), y, kept); });
  return run(kept_numbers(network), [&](T* const* y, T* kept) { run_layers<T>(network, y, kept); });
}

/// The rule's work: all gradients that are wanted.
template <class T>
void differentiate_op(Backward& pass, const SmallNetwork<T>& network, const KeptVector<KeptLayer>& layers,
                      const Tensor& kept, const KeptVector<Tensor>& outputs, const Shape& shape_x,
                      const Shape& shape_dx) {
  KeptVector<const T*> y, dy;
  for (size_t h = 0; h < outputs.size(); ++h) {
    y.push_back(outputs[h].data<T>());
    dy.push_back(pass.dy(static_cast<int>(h)).template data<T>());
  }
  KeptVector<SmallLayerGradients<T>> gradients;
  for (size_t l = 0; l < network.layers.size(); ++l)
    gradients.push_back(layer_targets<T>(pass, static_cast<int>(1 + 2 * l)));
  const Tensor dx = pass.wants(0) ? Tensor::empty(shape_dx, kept.dtype(), kept.device()) : Tensor();
  T* const to_dx = dx.defined() ? dx.data<T>() : nullptr;
  bool on_gpu = false;
  if constexpr (kHasGpuCode && std::is_same_v<T, float>) {
    on_gpu = kept.device() == Device::cuda;
    if (on_gpu)
      cuda::differentiate_layers(network, activations_of(layers), kept.data<T>(), y.data(), dy.data(), to_dx,
                                 gradients.data());
  }
  if (!on_gpu) differentiate_layers<T>(network, kept.data<T>(), y.data(), dy.data(), to_dx, gradients.data());
  // Of an x that members share, the sum over them.
  if (dx.defined()) pass.add(0, network.shared_x ? dx : dx.reshape(shape_x));
}

}  // namespace

template <class T>
SmallLayer<T> small_layer(const Tensor& weight, const Tensor& bias, Activation activation) {
  SmallLayer<T> layer{
      .in = weight.size(-1), .out = weight.size(-2), .weight = weight.data<T>(), .bias = bias.data<T>()};
  if (activation != Activation::none)
    visit_activation(activation, [&](auto formula) {
      using Formula = decltype(formula);
      static_assert(Formula::saves == Saves::output);
      layer.activate = activate_in_place<T, Formula>;
      layer.differentiate = differentiate_in_place<T, Formula>;
    });
  return layer;
}
template SmallLayer<float> small_layer(const Tensor&, const Tensor&, Activation);
template SmallLayer<double> small_layer(const Tensor&, const Tensor&, Activation);

KeptVector<Variable> dense_layers_twin(const Variable& x, std::span<const DenseLayer> layers, int64_t heads) {
  if (heads < 1 || static_cast<size_t>(heads) > std::max<size_t>(layers.size(), 1))
    fail("[dense_layers] {} heads of {} layers", heads, layers.size());
  KeptVector<Variable> outputs;
  if (layers.empty()) {
    outputs.push_back(x);
    return outputs;
  }
  const size_t body = layers.size() - static_cast<size_t>(heads);
  Variable h = x;
  for (const DenseLayer& layer : layers.first(body))
    h = linear(h, layer.weight, layer.bias, layer.activation);
  for (const DenseLayer& layer : layers.subspan(body))
    outputs.push_back(linear(h, layer.weight, layer.bias, layer.activation));
  return outputs;
}

KeptVector<Variable> dense_layers(const Variable& x, std::span<const DenseLayer> layers, int64_t heads) {
  Sizes sizes;
  if (heads < 1 || static_cast<size_t>(heads) > layers.size() ||
      !is_small(x, layers, static_cast<size_t>(heads), sizes))
    return dense_layers_twin(x, layers, heads);

  const size_t own_heads = static_cast<size_t>(heads);
  KeptVector<const Variable*> inputs{&x};
  KeptVector<KeptLayer> kept_layers;
  bool needs_gradient = x.needs_gradient();
  for (const DenseLayer& layer : layers) {
    inputs.insert(inputs.end(), {&layer.weight, &layer.bias});
    kept_layers.push_back({layer.weight.value(), layer.bias.value(), layer.activation});
    needs_gradient = needs_gradient || layer.weight.needs_gradient() || layer.bias.needs_gradient();
  }
  const Shape front = sizes.shared_x ? Shape{sizes.members, sizes.rows} : x.shape().drop_back(1);
  KeptVector<Tensor> outputs;
  for (const DenseLayer& head : layers.last(own_heads))
    outputs.push_back(
        Tensor::empty(front.concatenated({head.weight.size(-2)}), x.dtype(), x.value().device()));
  Tensor kept;
  visit_floating(x.dtype(), "dense_layers", [&](auto zero) {
    using T = decltype(zero);
    kept = run_op(network_of<T>(sizes, x.value(), kept_layers, own_heads), kept_layers, outputs,
                  Tape::live() && needs_gradient);
  });
  KeptVector<Variable> results(outputs.begin(), outputs.end());
  if (!kept.defined()) return results;
  KeptVector<Variable*> places;
  for (Variable& result : results) places.push_back(&result);
  const Shape shape_dx = sizes.shared_x ? Shape{sizes.members, sizes.rows, x.size(-1)} : x.shape();
  Tape::record_outputs("dense_layers", inputs, places,
                       [=, x = x.value(), shape_x = x.shape()](Backward& pass) {
                         visit_floating(x.dtype(), "dense_layers", [&](auto zero) {
                           using T = decltype(zero);
                           differentiate_op<T>(pass, network_of<T>(sizes, x, kept_layers, own_heads),
                                               kept_layers, kept, outputs, shape_x, shape_dx);
                         });
                       });
  return results;
}

}  // namespace elbo
