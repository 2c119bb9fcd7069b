// The differentiable ops. Each takes and returns Variables; without a live tape they are plain evaluation.
//
// Leading axes are batch: an ensemble of M members is a leading axis of size M on the weights, and every op
// broadcasts over it. Every function declared here has a row in op_table.cpp; a test fails when one has not.
//
//   Tape tape;
//   Variable h = linear(x, w, b, Activation::relu);           // x (N, D), w (H, D), b (H) -> (N, H)
//   tape.backward(mean(sum(square(h), {-1})));                // the gradients are in w's and b's Parameters
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "autograd/variable.h"
#include "tensor/conv.h"
#include "tensor/kept_vector.h"

namespace elbo {

// ---- pointwise; binary ones broadcast
Variable add(const Variable& a, const Variable& b);
Variable sub(const Variable& a, const Variable& b);
Variable mul(const Variable& a, const Variable& b);
Variable div(const Variable& a, const Variable& b);
Variable neg(const Variable& x);
/// scale x + shift, for constants.
Variable affine(const Variable& x, double scale, double shift);
Variable square(const Variable& x);
Variable sqrt(const Variable& x);
Variable exp(const Variable& x);
Variable log(const Variable& x);
Variable pow(const Variable& x, double exponent);
Variable abs(const Variable& x);
Variable clamp(const Variable& x, double low, double high);
Variable relu(const Variable& x);
/// x for x > 0, else slope x. Throws unless slope > 0 (slope 0 is relu).
Variable leaky_relu(const Variable& x, double slope = 0.01);
Variable elu(const Variable& x);
Variable softplus(const Variable& x);
Variable sigmoid(const Variable& x);
Variable tanh(const Variable& x);
/// The cube root, of either sign. Its slope is infinite at 0, and taken as 0 there.
Variable cbrt(const Variable& x);
Variable cube(const Variable& x);

inline Variable operator+(const Variable& a, const Variable& b) { return add(a, b); }
inline Variable operator-(const Variable& a, const Variable& b) { return sub(a, b); }
inline Variable operator*(const Variable& a, const Variable& b) { return mul(a, b); }
inline Variable operator/(const Variable& a, const Variable& b) { return div(a, b); }
inline Variable operator-(const Variable& x) { return neg(x); }
inline Variable operator+(const Variable& x, double c) { return affine(x, 1, c); }
inline Variable operator+(double c, const Variable& x) { return affine(x, 1, c); }
inline Variable operator-(const Variable& x, double c) { return affine(x, 1, -c); }
inline Variable operator-(double c, const Variable& x) { return affine(x, -1, c); }
inline Variable operator*(const Variable& x, double c) { return affine(x, c, 0); }
inline Variable operator*(double c, const Variable& x) { return affine(x, c, 0); }
inline Variable operator/(const Variable& x, double c) { return affine(x, 1 / c, 0); }

// ---- matrices: the last two axes multiply, leading axes broadcast
/// a (..., m, k) b (..., k, n) -> (..., m, n).
Variable matmul(const Variable& a, const Variable& b);
/// a b^T: a (..., m, k), b (..., n, k).
Variable matmul_nt(const Variable& a, const Variable& b);
/// a^T b: a (..., k, m), b (..., k, n).
Variable matmul_tn(const Variable& a, const Variable& b);
/// a^T b^T: a (..., k, m), b (..., n, k).
Variable matmul_tt(const Variable& a, const Variable& b);

enum class Activation { none, relu, leaky_relu, elu, softplus, sigmoid, tanh, cbrt, cube };
/// The activation called `name` ("relu"), or an Error that lists them.
Activation parse_activation(std::string_view name);
const char* name(Activation activation);
/// The activation as an op.
Variable activate(Activation activation, const Variable& x);

/// A layer in one op: activation(x W^T + b), bias and activation applied in one pass over the product.
/// weight (out, in), bias (out), x (..., in) -> (..., out); or with members in front: weight (M, out, in),
/// bias (M, out), x (M, ..., in), or x (N, in) shared by all members -> (M, ..., out).
Variable linear(const Variable& x, const Variable& weight, const Variable& bias,
                Activation activation = Activation::none);

/// A layer as `linear` takes it.
struct DenseLayer {
  Variable weight, bias;
  Activation activation = Activation::none;
};
/// Layers one after another, each as `linear` does it; the last `heads` of them all read the output of the
/// layer before. Returns the outputs of the heads. On the CPU, where no layer is wider than 128, rows go
/// through all layers at once (tensor/small_layers.h), which is several times as fast; on a GPU up to 64, in
/// f32 (dense_layers_kernel.h).
KeptVector<Variable> dense_layers(const Variable& x, std::span<const DenseLayer> layers, int64_t heads = 1);
/// The twin: one `linear` after another, which `dense_layers` falls back to.
KeptVector<Variable> dense_layers_twin(const Variable& x, std::span<const DenseLayer> layers,
                                       int64_t heads = 1);

// ---- images (N, H, W, C), channels innermost
/// A convolutional layer in one op: activation(conv(x, weight) + bias), as tensor/conv.h defines it. weight
/// (C_out, KH, KW, C_in), bias (C_out), x (N, H, W, C_in) -> (N, H_out, W_out, C_out); or with members in
/// front: weight (M, ...), bias (M, C_out), x (M, N, ...) or x (N, ...) shared by all -> (M, N, ...).
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias,
                const ConvOptions& options = {}, Activation activation = Activation::none);
/// Its mirror image, with weight (C_in, KH, KW, C_out): see tensor/conv.h.
Variable conv_transpose2d(const Variable& x, const Variable& weight, const Variable& bias,
                          const ConvOptions& options = {}, Activation activation = Activation::none);

/// Mean and variance of each channel over everything but the members.
struct BatchStatistics {
  Tensor mean, variance;  ///< (M or 1, 1, C); the variance is divided by count
  int64_t count = 0;      ///< of numbers averaged
};
struct BatchNormalized {
  Variable y;
  BatchStatistics statistics;  ///< of x, through which the gradient goes, too
};
/// y = (x - mean) / sqrt(variance + epsilon) gain + shift (Ioffe & Szegedy 2015), x (M?, ..., C), gain and
/// shift (M?, C).
BatchNormalized batch_norm(const Variable& x, const Variable& gain, const Variable& shift,
                           double epsilon = 1e-5);
/// Every pixel becomes factor x factor equal ones: x (..., H, W, C) -> (..., H factor, W factor, C).
Variable upsample(const Variable& x, int64_t factor);
/// The axes from `axis` on as one.
Variable flatten(const Variable& x, int axis = 1);

// ---- reductions over chosen axes; no axes means all. `keep` leaves reduced axes with size 1
struct Axes {
  int count = 0;
  int list[Shape::kMaxRank] = {};
  Axes(std::initializer_list<int> axes = {}) {
    if (axes.size() > Shape::kMaxRank)
      fail("[axes] {} axes were named; a tensor has at most {}", axes.size(), Shape::kMaxRank);
    for (int axis : axes) list[count++] = axis;
  }
};
Variable sum(const Variable& x, const Axes& axes = {}, bool keep = false);
Variable mean(const Variable& x, const Axes& axes = {}, bool keep = false);
/// The largest element; its gradient is shared equally by elements that tie.
Variable max(const Variable& x, const Axes& axes = {}, bool keep = false);
/// ln sum e^x without overflow.
Variable logsumexp(const Variable& x, const Axes& axes = {}, bool keep = false);

// ---- shape
Variable reshape(const Variable& x, const Shape& shape);
/// Indices begin..end-1 of an axis.
Variable slice(const Variable& x, int axis, int64_t begin, int64_t end);
Variable concat(const std::vector<Variable>& parts, int axis);
/// Consecutive pieces of the given sizes, which add up to the axis.
std::vector<Variable> split(const Variable& x, int axis, const std::vector<int64_t>& sizes);
Variable broadcast_to(const Variable& x, const Shape& shape);
/// x (N, ...), indices (n) i64 -> (n, ...).
Variable gather_rows(const Variable& x, const Tensor& indices);
/// The same value as a constant.
Variable stop_gradient(const Variable& x);

}  // namespace elbo
