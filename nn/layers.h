// Layers: structs with their parameters and a call. No base class, no hidden state.
//
//   ParameterStore store;
//   Sequential net(store, "net", {784, 200, 10}, Activation::relu, {Initializer::Kind::xavier_uniform});
//   store.initialise(/*seed=*/7);
//   Variable y = net(x);                                      // x (N, 784) -> (N, 10)
#pragma once

#include <vector>

#include "autograd/ops.h"
#include "nn/parameters.h"

namespace elbo {

/// y = activation(x W^T + b); weight (out, in), bias (out), each with the store's member axis in front if it
/// has one.
class Linear {
 public:
  enum class Bias { learned, none };
  /// Declares `name`.weight and, unless there is none, `name`.bias (which starts at 0) in the store.
  Linear(ParameterStore& store, const std::string& name, int64_t in, int64_t out, Initializer weight,
         Activation activation = Activation::none, Bias bias = Bias::learned);
  /// A layer of declared parameters: weight (out, in) and bias (out), or with members in front.
  Linear(Parameter& weight, Parameter& bias, Activation activation)
      : weight_(&weight), bias_(&bias), activation_(activation) {}
  /// x (..., in) -> (..., out); see elbo::linear for members.
  Variable operator()(const Variable& x) const {
    return bias_ ? linear(x, *weight_, *bias_, activation_) : linear(x, *weight_, no_bias_, activation_);
  }
  /// As `dense_layers` takes it.
  DenseLayer layer() const { return {*weight_, bias_ ? Variable(*bias_) : no_bias_, activation_}; }

 private:
  Parameter* weight_;
  Parameter* bias_ = nullptr;
  Variable no_bias_;  // zeros, for a layer without one
  Activation activation_;
};

/// One layer of a Sequential.
struct LayerPlan {
  int64_t out = 0;
  Activation activation = Activation::none;
  Linear::Bias bias = Linear::Bias::learned;
};

/// Linear layers of the given widths one after another, named `name`.0, `name`.1, ...; every layer but the
/// last, or with `activate_last` every layer, ends in the activation. widths {784, 512, 10} makes two layers;
/// one width makes none, and returns the input.
class Sequential {
 public:
  Sequential(ParameterStore& store, const std::string& name, const std::vector<int64_t>& widths,
             Activation activation, Initializer weight, bool activate_last = false);
  /// Layers that differ in more than their widths, from x (..., in) on.
  Sequential(ParameterStore& store, const std::string& name, int64_t in, const std::vector<LayerPlan>& layers,
             Initializer weight);
  Variable operator()(const Variable& x) const;
  const std::vector<Linear>& layers() const { return layers_; }

 private:
  std::vector<Linear> layers_;
};

}  // namespace elbo
