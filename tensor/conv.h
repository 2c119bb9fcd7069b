// conv: convolutions of images, and their gradients. A transposed convolution is the gradient of one.
//
// Images are (N, H, W, C) and weights (C_out, KH, KW, C_in): channels are innermost everywhere. As in all of
// deep learning the kernel is not flipped:
//
//   y[n, i, j, k] = sum over r, s, c of
//                   x[n, i stride - padding + r, j stride - padding + s, c] weight[k, r, s, c]
//
// where x is zero outside of the image. A library does it in f32 where it is good at it: oneDNN on the CPU
// (conv_onednn.h), cuDNN on the GPU (cuda/conv.h). All else is a matrix product (conv_columns.h). A kernel as
// large as the image is one as it lies. All tensors of a call are f32 or all f64, and on one device. N may be
// 0, no other size. Results must not overlap operands.
//
// Three functions do both kinds of convolution. The transposed one with `weight` is the transpose of the
// linear map that the convolution with the same weight and options is: for x (N, H, W, C_in) and any z of the
// shape of y,
//
//   sum(conv_transpose(x, weight) * z) = sum(x * conv(z, weight)),
//
// so images swap roles. Of y = conv_transpose(x, weight), with weight (C_in, KH, KW, C_out), which is that of
// the convolution from C_out to C_in channels,
//
//   y is   conv2d_backward_data(y, x, weight, options),
//   dx is  conv2d_into(dx, dy, weight, options),
//   dw is  conv2d_backward_weight(dw, dy, x, options).
#pragma once

#include <compare>

#include "tensor/tensor.h"

namespace elbo {

struct ConvOptions {
  int64_t stride = 1;   ///< of the kernel on x, in pixels, along both axes
  int64_t padding = 0;  ///< rows and columns of zeros around x, at each of its four sides
  /// Of a transposed convolution: how many rows and columns are added to its result at the end, fewer than
  /// the stride. Under a stride several sizes of images give the same size; this says which of them to return
  /// to.
  int64_t output_padding = 0;
};

/// The shape (N, H_out, W_out, C_out) of y for x (N, H, W, C_in) and weight (C_out, KH, KW, C_in), with
/// H_out = (H + 2 padding - KH) / stride + 1, rounded down. Throws when they do not fit.
Shape conv2d_shape(const Tensor& x, const Tensor& weight, const ConvOptions& options);

/// The shape (N, H_out, W_out, C_out) of the transposed convolution's y for x (N, H, W, C_in) and weight
/// (C_in, KH, KW, C_out), with H_out = (H - 1) stride - 2 padding + KH + output_padding. Throws when they do
/// not fit.
Shape conv_transpose2d_shape(const Tensor& x, const Tensor& weight, const ConvOptions& options);

// In these the images' own sizes say what output_padding would.

/// y = conv(x, weight), plus y itself if `accumulate`.
void conv2d_into(const Tensor& y, const Tensor& x, const Tensor& weight, const ConvOptions& options,
                 bool accumulate = false);

/// dx = the gradient of sum(dy * conv(x, weight)) by x, plus dx itself if `accumulate`. Shapes are those of
/// x, y and weight above. Pixels of x that no kernel reached, because the last stride did not fit, get 0.
void conv2d_backward_data(const Tensor& dx, const Tensor& dy, const Tensor& weight,
                          const ConvOptions& options, bool accumulate = false);

/// dw = the gradient of sum(dy * conv(x, weight)) by weight, plus dw itself if `accumulate`.
void conv2d_backward_weight(const Tensor& dw, const Tensor& x, const Tensor& dy, const ConvOptions& options,
                            bool accumulate = false);

/// What convolves f32 images on the CPU: "oneDNN 2.6.3".
const std::string& cpu_convolutions_name();

/// A convolution's sizes, for its implementations: x (batch, height, width, channels), weight (filters,
/// kernel_height, kernel_width, channels) and y (batch, out_height, out_width, filters).
struct ConvSizes {
  int64_t batch, height, width, channels;
  int64_t filters, kernel_height, kernel_width;
  int64_t out_height, out_width;
  int64_t stride, padding;
  auto operator<=>(const ConvSizes&) const = default;
};

}  // namespace elbo
