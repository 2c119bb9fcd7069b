// Layers for images (N, H, W, C): convolutions with or without batch normalisation, and stacks of them.
//
// A plan says what a layer is; a stack of planned layers is a network's body, and knows the size of its
// images at every layer. Rows of pixels go in and come out, so that models need not know whether their data
// are images.
//
//   ImageStack body(store, "encoder", 0, {28, 28, 1},
//                   {{.in = 1, .out = 32, .kernel = 4, .options = {.stride = 2, .padding = 1},
//                     .activation = Activation::relu}}, {Initializer::Kind::kaiming_uniform});
//   Variable y = body(x, Mode::train);                        // x (N, 784) -> (N, 6272): 14 x 14 x 32
#pragma once

#include <string>
#include <vector>

#include "autograd/ops.h"
#include "nn/parameters.h"

namespace elbo {

/// Whether batch normalisation takes the batch's statistics, and updates its running averages with these, or
/// takes the running averages.
enum class Mode { evaluate, train };

struct ImageSize {
  int64_t height = 0, width = 0, channels = 0;
  int64_t pixels() const { return height * width * channels; }
  bool operator==(const ImageSize&) const = default;
};

/// A square convolution, or a transposed one; then batch normalisation, if any; then the activation.
struct ImageLayerPlan {
  bool transposed = false;
  int64_t in = 0, out = 0;  ///< channels
  int64_t kernel = 1;
  ConvOptions options{};
  /// Rows of zeros added below, and columns at the right, of a convolution's input; or cut off there from a
  /// transposed one's output. This makes "same" padding for even kernels, as in Keras.
  int64_t end = 0;
  bool batch_norm = false;
  Activation activation = Activation::none;

  /// The size of its output for images of this size. Throws when they do not fit.
  ImageSize size_after(const ImageSize& in) const;
  /// Multiply-adds for one image of this size.
  int64_t multiply_adds(const ImageSize& in) const;
};

/// Batch normalisation (Ioffe & Szegedy 2015), with parameters named as PyTorch's: `name`.weight (the gain)
/// and .bias, which are trained, .running_mean and .running_var, which are averages over batches.
class BatchNorm {
 public:
  BatchNorm(ParameterStore& store, const std::string& name, int64_t channels);
  /// x (M?, N, H, W, C). In Mode::train the running averages move a tenth of the way to the batch's
  /// statistics.
  Variable operator()(const Variable& x, Mode mode) const;

 private:
  Parameter *gain_, *shift_, *running_mean_, *running_variance_;
};

/// Declares `name`.I.weight and `name`.I.bias, and for batch normalisation `name`.J..., for layers I, J, ...
/// counted from `first`; bias and normalisation start neutral. Without members x (..., D) -> (..., D'), rows
/// of pixels; with members x (M, ..., D), or (N, D) shared by all -> (M, N, D').
class ImageStack {
 public:
  ImageStack(ParameterStore& store, const std::string& name, int64_t first, const ImageSize& in,
             const std::vector<ImageLayerPlan>& plans, Initializer weights);
  Variable operator()(const Variable& x, Mode mode) const;
  const ImageSize& out() const { return out_; }
  /// The number after the last layer's.
  int64_t next() const { return next_; }

 private:
  struct Layer {
    ImageLayerPlan plan;
    Parameter *weight, *bias;
    std::vector<BatchNorm> norm;  // one or none
    Variable operator()(Variable x, Mode mode) const;
  };
  int64_t members_;
  ImageSize in_, out_;
  int64_t next_;
  std::vector<Layer> layers_;
};

}  // namespace elbo
