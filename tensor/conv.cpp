#include "tensor/conv.h"

#include "tensor/conv_columns.h"
#include "tensor/conv_onednn.h"
#include "tensor/conv_reference.h"
#include "tensor/cuda/conv.h"
#include "tensor/gemm.h"
#include "tensor/map_loops.h"

namespace elbo {
namespace {

bool deterministic = false;

// In the messages below x, weight and y are the caller's own, whether the convolution is transposed or not.

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
  if (options.output_padding != 0) fail("[{}] output padding is for transposed convolutions", where);
  check_operands(where, x, weight, 3);
  ConvSizes s{.batch = x[0],
              .height = x[1],
              .width = x[2],
              .channels = x[3],
              .filters = weight[0],
              .kernel_height = weight[1],
              .kernel_width = weight[2],
              .out_height = 0,
              .out_width = 0,
              .stride = options.stride,
              .padding = options.padding};
  const int64_t down = s.height + 2 * s.padding - s.kernel_height;
  const int64_t right = s.width + 2 * s.padding - s.kernel_width;
  if (down < 0 || right < 0)
    fail("[{}] a kernel of {} x {} does not fit into images of {} x {} with padding {}", where,
         s.kernel_height, s.kernel_width, s.height, s.width, s.padding);
  s.out_height = down / s.stride + 1;
  s.out_width = right / s.stride + 1;
  return s;
}

Shape x_shape(const ConvSizes& s) { return {s.batch, s.height, s.width, s.channels}; }
Shape y_shape(const ConvSizes& s) { return {s.batch, s.out_height, s.out_width, s.filters}; }

/// The convolution whose transpose maps x with weight.
ConvSizes transposed_sizes_of(const char* where, const Shape& x, const Shape& weight,
                              const ConvOptions& options) {
  check_options(where, options);
  check_operands(where, x, weight, 0);
  ConvSizes s{
      .batch = x[0],
      .height = (x[1] - 1) * options.stride - 2 * options.padding + weight[1] + options.output_padding,
      .width = (x[2] - 1) * options.stride - 2 * options.padding + weight[2] + options.output_padding,
      .channels = weight[3],
      .filters = weight[0],
      .kernel_height = weight[1],
      .kernel_width = weight[2],
      .out_height = x[1],
      .out_width = x[2],
      .stride = options.stride,
      .padding = options.padding};
  if (s.height < 1 || s.width < 1)
    fail("[{}] padding {} leaves nothing of images of {} x {} under a kernel of {} x {} with stride {}",
         where, s.padding, x[1], x[2], s.kernel_height, s.kernel_width, s.stride);
  return s;
}

/// Throws unless `tensor` has this shape, and dtype and device of `other`.
void check_tensor(const char* where, const char* which, const Tensor& tensor, const Shape& shape,
                  const Tensor& other) {
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

struct AddBias {
  bool relu;
  template <class T>
  ELBO_HD T operator()(T y, T bias) const {
    const T biased = y + bias;
    return relu && biased < T(0) ? T(0) : biased;
  }
};

struct Rectified {
  template <class T>
  ELBO_HD T operator()(T y) const {
    return y < T(0) ? T(0) : y;
  }
};

/// y + bias for every pixel, then max(y, 0) if `relu`. A row of pixels at a time: the few channels of one
/// would be too short a loop.
void finish(const Tensor& y, const Tensor& bias, bool relu) {
  const int64_t width = y.size(2), channels = y.size(3);
  if (bias.defined()) {
    const Tensor row = Tensor::empty({width, channels}, y.dtype(), y.device());
    map_into(row, Identity{}, bias);
    const Tensor rows_of_y = y.reshape({-1, width * channels});
    map_into(rows_of_y, AddBias{relu}, rows_of_y, row.reshape({1, width * channels}));
  } else if (relu) {
    map_into(y, Rectified{}, y);
  }
}

/// Calls f with a tensor to write, and adds that to `to` if `accumulate`; for libraries that can only write.
template <class F>
bool write_or_add(const Tensor& to, bool accumulate, const F& f) {
  if (!accumulate) return f(to);
  const Tensor written = Tensor::empty(to.shape(), to.dtype());
  if (!f(written)) return false;
  add_into(to, written);
  return true;
}

void forward(const ConvSizes& s, const Tensor& y, const Tensor& x, const Tensor& weight, const Tensor& bias,
             bool relu, bool accumulate, const char* where) {
  visit_floating(x.dtype(), where, [&](auto zero) {
    using T = decltype(zero);
    if (s.batch == 0) return;
    if (is_linear(s)) {
      gemm(rows(y), rows(x), Op::none, rows(weight), Op::transpose, accumulate);
      return finish(y, bias, relu);
    }
    if (x.device() == Device::cuda) {
      cuda::conv_forward(s, y, x, weight, bias, accumulate);
      return finish(y, {}, relu);
    }
    const T* const biases = bias.defined() ? bias.data<T>() : nullptr;
    if constexpr (std::is_same_v<T, float>) {
      if (write_or_add(y, accumulate, [&](const Tensor& to) {
            return onednn::conv_forward(s, to.data<T>(), x.data<T>(), weight.data<T>(), biases);
          }))
        return finish(y, {}, relu);
      columns::conv_forward(s, y, x, weight, accumulate);
      finish(y, bias, relu);
    } else {
      reference::conv_forward<T>(s, y.data<T>(), x.data<T>(), weight.data<T>(), biases, accumulate);
      finish(y, {}, relu);
    }
  });
}

void backward_data(const ConvSizes& s, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                   bool accumulate, const char* where) {
  visit_floating(dy.dtype(), where, [&](auto zero) {
    using T = decltype(zero);
    if (s.batch == 0) return;
    if (is_linear(s)) return gemm(rows(dx), rows(dy), Op::none, rows(weight), Op::none, accumulate);
    if (dy.device() == Device::cuda) return cuda::conv_backward_data(s, dx, dy, weight, accumulate);
    if constexpr (std::is_same_v<T, float>) {
      const bool done = !columns::suit(s) && write_or_add(dx, accumulate, [&](const Tensor& to) {
        return onednn::conv_backward_data(s, to.data<T>(), dy.data<T>(), weight.data<T>());
      });
      if (!done) columns::conv_backward_data(s, dx, dy, weight, accumulate);
    } else {
      reference::conv_backward_data<T>(s, dx.data<T>(), dy.data<T>(), weight.data<T>(), accumulate);
    }
  });
}

void backward_weight(const ConvSizes& s, const Tensor& dw, const Tensor& x, const Tensor& dy, bool accumulate,
                     const char* where) {
  visit_floating(x.dtype(), where, [&](auto zero) {
    using T = decltype(zero);
    if (s.batch == 0) {
      if (!accumulate) dw.fill(0);
      return;
    }
    if (is_linear(s)) return gemm(rows(dw), rows(dy), Op::transpose, rows(x), Op::none, accumulate);
    if (x.device() == Device::cuda) return cuda::conv_backward_weight(s, dw, x, dy, accumulate);
    if constexpr (std::is_same_v<T, float>) {
      const bool done = write_or_add(dw, accumulate, [&](const Tensor& to) {
        return onednn::conv_backward_weight(s, to.data<T>(), x.data<T>(), dy.data<T>());
      });
      if (!done) columns::conv_backward_weight(s, dw, x, dy, accumulate);
    } else {
      reference::conv_backward_weight<T>(s, dw.data<T>(), x.data<T>(), dy.data<T>(), accumulate);
    }
  });
}

}  // namespace

Shape conv2d_shape(const Tensor& x, const Tensor& weight, const ConvOptions& options) {
  return y_shape(sizes_of("conv2d", x.shape(), weight.shape(), options));
}

void conv2d_into(const Tensor& y, const Tensor& x, const Tensor& weight, const ConvOptions& options,
                 const Tensor& bias, bool relu) {
  constexpr const char* where = "conv2d";
  const ConvSizes s = sizes_of(where, x.shape(), weight.shape(), options);
  check_tensor(where, "weight", weight, weight.shape(), x);
  check_tensor(where, "y", y, y_shape(s), x);
  if (bias.defined()) check_tensor(where, "bias", bias, {s.filters}, x);
  forward(s, y, x, weight, bias, relu, false, where);
}

void conv2d_backward_data(const Tensor& dx, const Tensor& dy, const Tensor& weight,
                          const ConvOptions& options, bool accumulate) {
  constexpr const char* where = "conv2d_backward_data";
  const ConvSizes s = sizes_of(where, dx.shape(), weight.shape(), options);
  check_tensor(where, "weight", weight, weight.shape(), dx);
  check_tensor(where, "dy", dy, y_shape(s), dx);
  backward_data(s, dx, dy, weight, accumulate, where);
}

void conv2d_backward_weight(const Tensor& dw, const Tensor& x, const Tensor& dy, const ConvOptions& options,
                            bool accumulate) {
  constexpr const char* where = "conv2d_backward_weight";
  const ConvSizes s = sizes_of(where, x.shape(), dw.shape(), options);
  check_tensor(where, "dw", dw, dw.shape(), x);
  check_tensor(where, "dy", dy, y_shape(s), x);
  backward_weight(s, dw, x, dy, accumulate, where);
}

Shape conv_transpose2d_shape(const Tensor& x, const Tensor& weight, const ConvOptions& options) {
  return x_shape(transposed_sizes_of("conv_transpose2d", x.shape(), weight.shape(), options));
}

void conv_transpose2d_into(const Tensor& y, const Tensor& x, const Tensor& weight, const ConvOptions& options,
                           const Tensor& bias, bool relu) {
  constexpr const char* where = "conv_transpose2d";
  const ConvSizes s = transposed_sizes_of(where, x.shape(), weight.shape(), options);
  check_tensor(where, "weight", weight, weight.shape(), x);
  check_tensor(where, "y", y, x_shape(s), x);
  if (bias.defined()) check_tensor(where, "bias", bias, {s.channels}, x);
  backward_data(s, y, x, weight, false, where);
  finish(y, bias, relu);
}

void conv_transpose2d_backward_data(const Tensor& dx, const Tensor& dy, const Tensor& weight,
                                    const ConvOptions& options, bool accumulate) {
  constexpr const char* where = "conv_transpose2d_backward_data";
  const ConvSizes s = transposed_sizes_of(where, dx.shape(), weight.shape(), options);
  check_tensor(where, "weight", weight, weight.shape(), dx);
  check_tensor(where, "dy", dy, x_shape(s), dx);
  forward(s, dx, dy, weight, {}, false, accumulate, where);
}

void conv_transpose2d_backward_weight(const Tensor& dw, const Tensor& x, const Tensor& dy,
                                      const ConvOptions& options, bool accumulate) {
  constexpr const char* where = "conv_transpose2d_backward_weight";
  const ConvSizes s = transposed_sizes_of(where, x.shape(), dw.shape(), options);
  check_tensor(where, "dw", dw, dw.shape(), x);
  check_tensor(where, "dy", dy, x_shape(s), x);
  backward_weight(s, dw, dy, x, accumulate, where);
}

void set_deterministic_convolutions(bool only_deterministic) { deterministic = only_deterministic; }
bool deterministic_convolutions() { return deterministic; }
const std::string& cpu_convolutions_name() { return onednn::library_name(); }

}  // namespace elbo
