#include "autograd/backward.h"

#include <utility>

#include "autograd/gradients_apart.h"
#include "autograd/trace.h"
#include "tensor/cuda/device.h"
#include "tensor/map.h"

namespace elbo {

void TapeGradients::run_beside(std::initializer_list<Tensor> reads, FunctionRef<void()> work) {
  if (trace) return work();
  for (const Tensor& read : reads)
    if (read.device() != Device::cuda) return work();
  read_beside.insert(read_beside.end(), reads);
  const cuda::SideStream side;
  work();
}

void TapeGradients::join_streams() {
  cuda::join_side_stream();
  read_beside.clear();
}

const Backward::Input& Backward::at(int input) const {
  if (input < 0 || static_cast<size_t>(input) >= inputs_.size())
    fail("[{}] the rule has no input {}", name_, input);
  return inputs_[static_cast<size_t>(input)];
}

const Tensor& Backward::dy(int output) {
  if (output < 0 || static_cast<size_t>(output) >= outputs_)
    fail("[{}] the rule has no output {}", name_, output);
  TapeGradients::Slot& slot = all_.slots[first_output_ + static_cast<size_t>(output)];
  if (!slot.gradient.defined()) slot.gradient = Tensor::zeros(slot.shape, slot.dtype, slot.device);
  return slot.gradient;
}

bool Backward::wants(int input) const { return at(input).parameter || at(input).slot >= 0; }

Backward::Target Backward::target(int input) {
  const Input& in = at(input);
  if (in.parameter) {
    GradientsApart::Entry* const own = all_.apart ? all_.apart->find(in.parameter) : nullptr;
    const bool accumulate = std::exchange(own ? own->has_gradient : in.parameter->has_gradient, true);
    if (all_.trace) all_.trace->gave_gradient(input, accumulate);
    if (own) return {own->gradient, accumulate};
    // The side stream may still write the gradient that is added to.
    if (accumulate && cuda::side_work_pending() && !cuda::on_side_stream()) all_.join_streams();
    return {in.parameter->gradient, accumulate};
  }
  TapeGradients::Slot& slot = all_.slots[static_cast<size_t>(in.slot)];
  if (all_.trace) all_.trace->gave_gradient(input, slot.gradient.defined());
  if (!slot.gradient.defined()) {
    slot.gradient = Tensor::empty(slot.shape, slot.dtype, slot.device);
    return {slot.gradient, false};
  }
  // Slots may share one storage, as the op `add` gives both inputs the same tensor: this slot gets a copy.
  if (!slot.gradient.sole_owner()) slot.gradient = slot.gradient.clone();
  return {slot.gradient, true};
}

void Backward::add(int input, const Tensor& gradient) {
  if (!wants(input)) return;
  const Input& in = at(input);
  const Tensor summed = gradient.shape() == in.shape ? gradient : sum_to(gradient, in.shape);
  if (!in.parameter && !all_.slots[static_cast<size_t>(in.slot)].gradient.defined()) {
    all_.slots[static_cast<size_t>(in.slot)].gradient = summed;
    if (all_.trace) all_.trace->gave_gradient(input, false);
    return;
  }
  const Target to = target(input);
  if (to.accumulate)
    add_into(to.tensor, summed);
  else
    to.tensor.copy_from(summed);
}

void Backward::beside(std::initializer_list<int> inputs, std::initializer_list<Tensor> reads,
                      FunctionRef<void()> work) {
  for (int input : inputs)
    if (wants(input) && !at(input).parameter) return work();
  all_.run_beside(reads, work);
}

}  // namespace elbo
