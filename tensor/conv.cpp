#include "tensor/conv.h"

#include "tensor/conv_columns.h"
#include "tensor/conv_onednn.h"
#include "tensor/cuda/conv.h"
#include "tensor/gemm.h"
#include "tensor/map.h"

namespace elbo {
namespace {

void check_options(const char* where, const ConvOptions& options) {
  if (options.stride < 1 || options.padding < 0)
    fail("[{}] stride must be at least 1 and padding at least 0, got {} and {}", where, options.stride,
         options.padding);
  if (options.output_padding < 0 || options.output_padding >= options.stride)
    fail("[{}] output padding must be at least 0 and less than the stride {}, got {}", where, options.stride,
         options.output_padding);
}

/// Throws unless x are images and weight a kernel for them, whose axis `channel_axis` counts the channels of
/// x.
void check_operands(const char* where, const Shape& x, const Shape& weight, int channel_axis) {
  const bool transposed = channel_axis == 0;
  if (x.rank() != 4 || weight.rank() != 4)
    fail("[{}] needs x (N, H, W, C_in) and weight {}, got {} and {}", where,
         transposed ? "(C_in, KH, KW, C_out)" : "(C_out, KH, KW, C_in)", x.str(), weight.str());
  for (int axis = 0; axis < 4; ++axis)
    if (weight[axis] == 0 || (axis > 0 && x[axis] == 0))
      fail("[{}] no size but the batch's may be 0: x {}, weight {}", where, x.str(), weight.str());
  if (weight[channel_axis] != x[3])
    fail("[{}] x {} has {} channels, weight {} takes {}{}", where, x.str(), x[3], weight.str(),
         weight[channel_axis],
         !transposed && weight[1] == x[3] ? "; its channels belong last: (C_out, KH, KW, C_in)" : "");
}

/// The convolution of x with weight.
ConvSizes sizes_of(const char* where, const Shape& x, const Shape& weight, const ConvOptions& options) {
  check_options(where, options);
  check_operands(where, x, weight, 3);
  const int64_t down = x[1] + 2 * options.padding - weight[1], right = x[2] + 2 * options.padding - weight[2];
  if (down < 0 || right < 0)
    fail("[{}] a kernel of {} x {} does not fit into images of {} x {} with padding {}", where, weight[1],
         weight[2], x[1], x[2], options.padding);
  return {.batch = x[0],
          .height = x[1],
          .width = x[2],
          .channels = x[3],
          .filters = weight[0],
          .kernel_height = weight[1],
          .kernel_width = weight[2],
          .out_height = down / options.stride + 1,
          .out_width = right / options.stride + 1,
          .stride = options.stride,
          .padding = options.padding};
}

Shape y_shape(const ConvSizes& s) { return {s.batch, s.out_height, s.out_width, s.filters}; }

/// Throws unless `tensor` has this shape, and dtype and device of `other`, whose elements are f32 or f64.
void check_tensor(const char* where, const char* which, const Tensor& tensor, const Shape& shape,
                  const Tensor& other) {
  if (!is_floating(other.dtype())) fail("[{}] needs f32 or f64 elements, got {}", where, name(other.dtype()));
  if (!(tensor.shape() == shape) || tensor.dtype() != other.dtype())
    fail("[{}] {} must be {} {}, got {} {}", where, which, name(other.dtype()), shape.str(),
         name(tensor.dtype()), tensor.shape().str());
  if (tensor.device() != other.device())
    fail("[{}] {} is on {}, what it is combined with on {}; move one with to(Device)", where, which,
         name(tensor.device()), name(other.device()));
}

/// Whether a convolution is a linear layer: its kernel sees the image as a whole, once.
bool is_linear(const ConvSizes& s) {
  return s.padding == 0 && s.kernel_height == s.height && s.kernel_width == s.width;
}

/// Such a convolution's tensors as matrices: x (batch, pixels * channels), y (batch, filters) and weight
/// (filters, pixels * channels).
Tensor rows(const Tensor& tensor) { return tensor.reshape({tensor.size(0), -1}); }

/// Calls f with memory to write, for oneDNN, which has f32 only and cannot add, and adds what was written to
/// `to` if `accumulate`. False where oneDNN did nothing.
template <class F>
bool by_onednn(const Tensor& to, bool accumulate, const F& f) {
  if (to.dtype() != DType::f32) return false;
  if (!accumulate) return f(to.data<float>());
  const Tensor written = Tensor::empty(to.shape());
  if (!f(written.data<float>())) return false;
  add_into(to, written);
  return true;
}

}  // namespace

Shape conv2d_shape(const Tensor& x, const Tensor& weight, const ConvOptions& options) {
  if (options.output_padding != 0) fail("[conv2d] output padding is for transposed convolutions");
  return y_shape(sizes_of("conv2d", x.shape(), weight.shape(), options));
}

Shape conv_transpose2d_shape(const Tensor& x, const Tensor& weight, const ConvOptions& options) {
  constexpr const char* where = "conv_transpose2d";
  check_options(where, options);
  check_operands(where, x.shape(), weight.shape(), 0);
  const auto size = [&](int axis) {
    return (x.size(axis) - 1) * options.stride - 2 * options.padding + weight.size(axis) +
           options.output_padding;
  };
  if (size(1) < 1 || size(2) < 1)
    fail("[{}] padding {} leaves nothing of images of {} x {} under a kernel of {} x {} with stride {}",
         where, options.padding, x.size(1), x.size(2), weight.size(1), weight.size(2), options.stride);
  return {x.size(0), size(1), size(2), weight.size(3)};
}

void conv2d_into(const Tensor& y, const Tensor& x, const Tensor& weight, const ConvOptions& options,
                 bool accumulate) {
  const ConvSizes s = sizes_of("conv2d", x.shape(), weight.shape(), options);
  check_tensor("conv2d", "weight", weight, weight.shape(), x);
  check_tensor("conv2d", "y", y, y_shape(s), x);
  if (s.batch == 0) return;
  if (is_linear(s)) return gemm(rows(y), rows(x), Transpose::no, rows(weight), Transpose::yes, accumulate);
  if (x.device() == Device::cuda) {
    if constexpr (kHasGpuCode) cuda::conv_forward(s, y, x, weight, accumulate);
    return;
  }
  const bool done = by_onednn(y, accumulate, [&](float* to) {
    return onednn::conv_forward(s, to, x.data<float>(), weight.data<float>());
  });
  if (!done) columns::conv_forward(s, y, x, weight, accumulate);
}

void conv2d_backward_data(const Tensor& dx, const Tensor& dy, const Tensor& weight,
                          const ConvOptions& options, bool accumulate) {
  constexpr const char* where = "conv2d_backward_data";
  const ConvSizes s = sizes_of(where, dx.shape(), weight.shape(), options);
  check_tensor(where, "weight", weight, weight.shape(), dx);
  check_tensor(where, "dy", dy, y_shape(s), dx);
  if (s.batch == 0) return;
  if (is_linear(s)) return gemm(rows(dx), rows(dy), Transpose::no, rows(weight), Transpose::no, accumulate);
  if (dy.device() == Device::cuda) {
    if constexpr (kHasGpuCode) cuda::conv_backward_data(s, dx, dy, weight, accumulate);
    return;
  }
  const bool done = !columns::suit(s) && by_onednn(dx, accumulate, [&](float* to) {
    return onednn::conv_backward_data(s, to, dy.data<float>(), weight.data<float>());
  });
  if (!done) columns::conv_backward_data(s, dx, dy, weight, accumulate);
}

void conv2d_backward_weight(const Tensor& dw, const Tensor& x, const Tensor& dy, const ConvOptions& options,
                            bool accumulate) {
  constexpr const char* where = "conv2d_backward_weight";
  const ConvSizes s = sizes_of(where, x.shape(), dw.shape(), options);
  check_tensor(where, "dw", dw, dw.shape(), x);
  check_tensor(where, "dy", dy, y_shape(s), x);
  if (s.batch == 0) {
    if (!accumulate) dw.fill(0);
    return;
  }
  if (is_linear(s)) return gemm(rows(dw), rows(dy), Transpose::yes, rows(x), Transpose::no, accumulate);
  if (x.device() == Device::cuda) {
    if constexpr (kHasGpuCode) cuda::conv_backward_weight(s, dw, x, dy, accumulate);
    return;
  }
  const bool done = by_onednn(dw, accumulate, [&](float* to) {
    return onednn::conv_backward_weight(s, to, x.data<float>(), dy.data<float>());
  });
  if (!done) columns::conv_backward_weight(s, dw, x, dy, accumulate);
}

const std::string& cpu_convolutions_name() { return onednn::library_name(); }

}  // namespace elbo
