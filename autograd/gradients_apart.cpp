#include "autograd/gradients_apart.h"

#include <utility>

#include "tensor/map.h"

namespace elbo {

GradientsApart::Entry* GradientsApart::find(const Parameter* parameter) {
  for (Entry& entry : entries_)
    if (entry.parameter == parameter) {
      if (!entry.gradient.defined()) {
        const Tensor& own = parameter->gradient;
        entry.gradient = Tensor::empty(own.shape(), own.dtype(), own.device());
      }
      return &entry;
    }
  return nullptr;
}

void GradientsApart::add_to_parameters() const {
  for (const Entry& entry : entries_) {
    if (!entry.has_gradient) continue;
    const Tensor& own = entry.parameter->gradient;
    if (std::exchange(entry.parameter->has_gradient, true))
      add_into(own, entry.gradient);
    else
      own.copy_from(entry.gradient);
  }
}

}  // namespace elbo
