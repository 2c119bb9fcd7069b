// Variable: a tensor that may know where it came from; Parameter: a tensor that learning changes.
//
// A Variable is a small value: the tensor, and the place on the live tape where its gradient will gather.
// A Variable made from a Tensor is a constant; one made from a Parameter is a leaf; one that an op returns
// while a tape is alive is a recorded result. Without a tape the same ops are plain evaluation.
//
//   Parameter w{.name = "w", .value = Tensor::zeros({3}), .gradient = Tensor::zeros({3})};
//   Variable y = exp(Variable(w)) * Variable(x);              // x a Tensor: a constant
//   y.value();                                                // the Tensor
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace elbo {

struct Parameter {
  std::string name;
  Tensor value;
  Tensor gradient;            ///< same shape and dtype as value
  bool has_gradient = false;  ///< false: `gradient` is empty, and the next backward pass overwrites it
  bool trained = true;        ///< false: every op takes the parameter as a constant
};

class Variable {
 public:
  Variable() = default;
  Variable(Tensor value) : value_(std::move(value)) {}  // NOLINT: a tensor is a constant
  Variable(Parameter& parameter)                        // NOLINT: a leaf
      : value_(parameter.value), parameter_(parameter.trained ? &parameter : nullptr) {}

  const Tensor& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }
  int rank() const { return value_.rank(); }
  int64_t size(int axis) const { return value_.size(axis); }
  DType dtype() const { return value_.dtype(); }
  double item() const { return value_.item(); }

  /// True for a trained parameter and for a result that depends on one through the tape.
  bool needs_gradient() const { return parameter_ != nullptr || slot_ >= 0; }

 private:
  friend class Tape;
  Tensor value_;
  Parameter* parameter_ = nullptr;
  int slot_ = -1;         // index of the gradient on the tape that recorded this
  uint64_t tape_id_ = 0;  // which tape that was
};

}  // namespace elbo
