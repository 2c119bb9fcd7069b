#include "nn/layers.h"

namespace elbo {
namespace {

std::vector<LayerPlan> plans_of(const std::string& name, const std::vector<int64_t>& widths,
                                Activation activation, bool activate_last) {
  if (widths.empty()) fail("[sequential] '{}' needs the width of its input", name);
  std::vector<LayerPlan> plans;
  for (size_t i = 1; i < widths.size(); ++i) {
    const bool activates = activate_last || i + 1 < widths.size();
    plans.push_back({.out = widths[i], .activation = activates ? activation : Activation::none});
  }
  return plans;
}

}  // namespace

Linear::Linear(ParameterStore& store, const std::string& name, int64_t in, int64_t out, Initializer weight,
               Activation activation, Bias bias)
    : activation_(activation) {
  if (in < 1 || out < 1) fail("[linear] layer '{}' cannot map {} inputs to {} outputs", name, in, out);
  weight_ = &store.add(name + ".weight", {out, in}, weight);
  if (bias == Bias::learned)
    bias_ = &store.add(name + ".bias", {out}, {});
  else
    no_bias_ = Tensor::zeros(store.members() > 0 ? Shape{store.members(), out} : Shape{out}, store.dtype(),
                             store.device());
}

Sequential::Sequential(ParameterStore& store, const std::string& name, const std::vector<int64_t>& widths,
                       Activation activation, Initializer weight, bool activate_last)
    : Sequential(store, name, widths.empty() ? 0 : widths[0],
                 plans_of(name, widths, activation, activate_last), weight) {}

Sequential::Sequential(ParameterStore& store, const std::string& name, int64_t in,
                       const std::vector<LayerPlan>& layers, Initializer weight) {
  for (size_t i = 0; i < layers.size(); ++i) {
    layers_.emplace_back(store, name + "." + std::to_string(i), in, layers[i].out, weight,
                         layers[i].activation, layers[i].bias);
    in = layers[i].out;
  }
}

Variable Sequential::operator()(const Variable& x) const {
  KeptVector<DenseLayer> layers;
  for (const Linear& each : layers_) layers.push_back(each.layer());
  return dense_layers(x, layers).front();
}

}  // namespace elbo
