#include "nn/layers.h"

namespace elbo {

Linear::Linear(ParameterStore& store, const std::string& name, int64_t in, int64_t out, Initializer weight,
               Activation activation)
    : activation_(activation) {
  if (in < 1 || out < 1) fail("[linear] layer '{}' cannot map {} inputs to {} outputs", name, in, out);
  weight_ = &store.add(name + ".weight", {out, in}, weight);
  bias_ = &store.add(name + ".bias", {out}, {});
}

Sequential::Sequential(ParameterStore& store, const std::string& name, const std::vector<int64_t>& widths,
                       Activation activation, Initializer weight, bool activate_last) {
  if (widths.empty()) fail("[sequential] '{}' needs the width of its input", name);
  for (size_t i = 0; i + 1 < widths.size(); ++i) {
    const bool activates = activate_last || i + 2 < widths.size();
    layers_.emplace_back(store, name + "." + std::to_string(i), widths[i], widths[i + 1], weight,
                         activates ? activation : Activation::none);
  }
}

Variable Sequential::operator()(Variable x) const {
  for (const Linear& layer : layers_) x = layer(x);
  return x;
}

}  // namespace elbo
