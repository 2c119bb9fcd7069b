// Ops on images (N, H, W, C): convolutions, which are tensor/conv.h's in both directions, batch
// normalisation, upsampling.
#include <cmath>

#include "autograd/activation.h"
#include "autograd/contribute.h"
#include "tensor/conv.h"

namespace elbo {
namespace {

/// A convolution, or a transposed one, where images swap roles (tensor/conv.h), of one member.
struct Convolution {
  bool transposed;
  ConvOptions options;

  Shape shape(const Tensor& x, const Tensor& weight) const {
    return transposed ? conv_transpose2d_shape(x, weight, options) : conv2d_shape(x, weight, options);
  }
  void run(const Tensor& y, const Tensor& x, const Tensor& weight) const {
    transposed ? conv2d_backward_data(y, x, weight, options) : conv2d_into(y, x, weight, options);
  }
  void by_x(const Tensor& dx, const Tensor& dy, const Tensor& weight, bool accumulate) const {
    transposed ? conv2d_into(dx, dy, weight, options, accumulate)
               : conv2d_backward_data(dx, dy, weight, options, accumulate);
  }
  void by_weight(const Tensor& dw, const Tensor& x, const Tensor& dy, bool accumulate) const {
    conv2d_backward_weight(dw, transposed ? dy : x, transposed ? x : dy, options, accumulate);
  }
};

/// A member's part of a tensor that has a member axis, or all of one that has none.
Tensor of_member(const Tensor& tensor, bool has_members, int64_t member) {
  return has_members ? tensor.slice(member) : tensor;
}

/// Images (M?, N, H, W, C) as pixels (M, N H W, C), and a bias (M?, C) as the row (M, 1, C) of each of them.
Tensor pixels(const Tensor& images, int64_t members) {
  return images.reshape({members, -1, images.size(-1)});
}
Tensor pixel_bias(const Tensor& bias, int64_t members) { return bias.reshape({members, 1, bias.size(-1)}); }

Variable convolution(bool transposed, const Variable& x, const Variable& weight, const Variable& bias,
                     const ConvOptions& options, Activation activation) {
  const char* const name = transposed ? "conv_transpose2d" : "conv2d";
  const bool ensemble = weight.rank() == 5;
  if (!ensemble && weight.rank() != 4)
    fail("[{}] weight must have four axes, or five with members in front, got {}", name,
         weight.shape().str());
  const int64_t members = ensemble ? weight.size(0) : 1;
  const bool shared_x = x.rank() == 4;  // by all members, if there are any
  if (!shared_x && !(ensemble && x.rank() == 5 && x.size(0) == members))
    fail("[{}] x must be (N, H, W, C), or have the members of weight {} in front, got {}", name,
         weight.shape().str(), x.shape().str());
  const int64_t channels = weight.size(transposed ? -1 : -4);
  if (!(bias.shape() == (ensemble ? Shape{members, channels} : Shape{channels})))
    fail("[{}] bias must be {}({}), got {}", name, ensemble ? "(members) by " : "", channels,
         bias.shape().str());

  const Convolution of_one{transposed, options};
  Shape shape = of_one.shape(of_member(x.value(), !shared_x, 0), of_member(weight.value(), ensemble, 0));
  if (ensemble) shape = Shape{members}.concatenated(shape);
  const Tensor y = Tensor::empty(shape, x.dtype(), x.value().device());
  for (int64_t m = 0; m < members; ++m)
    of_one.run(of_member(y, ensemble, m), of_member(x.value(), !shared_x, m),
               of_member(weight.value(), ensemble, m));
  add_bias_and_activate(pixels(y, members), pixel_bias(bias.value(), members), activation);
  return Tape::record(
      name, {&x, &weight, &bias}, y, [=, input = x.value(), w = weight.value()](Backward& pass) {
        const Tensor d = before_activation(activation, y, pass.dy());
        pass.beside({1, 2}, {d, input}, [&] {
          if (pass.wants(1)) {
            const Backward::Target to = pass.target(1);
            for (int64_t m = 0; m < members; ++m)
              of_one.by_weight(of_member(to.tensor, ensemble, m), of_member(input, !shared_x, m),
                               of_member(d, ensemble, m), to.accumulate);
          }
          if (pass.wants(2)) {
            const Backward::Target to = pass.target(2);
            map_reduce_into<Sum>(pixel_bias(to.tensor, members), to.accumulate, Identity{},
                                 pixels(d, members));
          }
        });
        if (!pass.wants(0)) return;
        const Backward::Target to = pass.target(0);
        for (int64_t m = 0; m < members; ++m)
          of_one.by_x(of_member(to.tensor, !shared_x, m), of_member(d, ensemble, m),
                      of_member(w, ensemble, m), to.accumulate || (shared_x && m > 0));
      });
}

/// 1 / sqrt(variance + epsilon), of each channel.
struct InverseDeviation {
  double epsilon;
  template <class T>
  ELBO_HD T operator()(T variance) const {
    return T(1) / std::sqrt(variance + T(epsilon));
  }
};

/// The slope is the gain over the deviation.
struct Normalize {
  template <class T>
  ELBO_HD T operator()(T x, T mean, T slope, T shift) const {
    return (x - mean) * slope + shift;
  }
};

struct TimesDistance {
  template <class T>
  ELBO_HD T operator()(T dy, T x, T mean) const {
    return dy * (x - mean);
  }
};

/// With n = (x - mean) / s the normalised x, and mean and s functions of x:
///   dx = gain / s (dy - average of dy - n average of (dy n)).
struct NormalizeBackward {
  double count;
  template <class T>
  ELBO_HD T operator()(T dy, T x, T mean, T slope, T sum_dy, T pull) const {
    return slope * (dy - (sum_dy + (x - mean) * pull) / T(count));
  }
};

}  // namespace

Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, const ConvOptions& options,
                Activation activation) {
  return convolution(false, x, weight, bias, options, activation);
}

Variable conv_transpose2d(const Variable& x, const Variable& weight, const Variable& bias,
                          const ConvOptions& options, Activation activation) {
  return convolution(true, x, weight, bias, options, activation);
}

BatchNormalized batch_norm(const Variable& x, const Variable& gain, const Variable& shift, double epsilon) {
  const bool has_members = gain.rank() == 2;
  const int64_t members = has_members && x.rank() > 0 ? x.size(0) : 1,
                channels = x.rank() > 0 ? x.size(-1) : 0;
  const Shape expected = has_members ? Shape{members, channels} : Shape{channels};
  if (!(gain.shape() == expected) || !(shift.shape() == expected))
    fail("[batch_norm] x {}, gain {} and shift {} must agree in channels and members", x.shape().str(),
         gain.shape().str(), shift.shape().str());
  const Tensor rows = x.value().reshape({members, -1, channels});
  const int64_t count = rows.size(1);
  if (count == 0) fail("[batch_norm] there is nothing to average in {}", x.shape().str());
  const Scaled average{1.0 / static_cast<double>(count)};
  const Shape kept{members, 1, channels};
  const Tensor mean = map(average, map_reduce<Sum>(kept, Identity{}, rows));
  const Tensor variance = map(average, map_reduce<Sum>(kept, SquareOfDifference{}, rows, mean));
  const Tensor inverse = map(InverseDeviation{epsilon}, variance);
  const Tensor slope = map(Product{}, gain.value().reshape(kept), inverse);
  const Tensor y = map(Normalize{}, rows, mean, slope, shift.value().reshape(kept));
  const Variable result =
      Tape::record("batch_norm", {&x, &gain, &shift}, y.reshape(x.shape()), [=](Backward& pass) {
        const Tensor dy = pass.dy().reshape(rows.shape());
        const Tensor sum_dy = map_reduce<Sum>(kept, Identity{}, dy);
        const Tensor sum_dy_n =
            map(Product{}, map_reduce<Sum>(kept, TimesDistance{}, dy, rows, mean), inverse);
        pass.add(1, sum_dy_n.reshape(expected));
        pass.add(2, sum_dy.reshape(expected));
        if (!pass.wants(0)) return;
        const Tensor pull = map(Product{}, sum_dy_n, inverse);
        pass.add(0, map(NormalizeBackward{static_cast<double>(count)}, dy, rows, mean, slope, sum_dy, pull)
                        .reshape(pass.input_shape(0)));
      });
  return {result, {mean, variance, count}};
}

Variable upsample(const Variable& x, int64_t factor) {
  if (factor < 1 || x.rank() < 3)
    fail("[upsample] needs images (..., H, W, C) and a factor of at least 1, got {} and {}", x.shape().str(),
         factor);
  const int64_t height = x.size(-3), width = x.size(-2), channels = x.size(-1);
  const Shape front = x.shape().drop_back(3);
  const Variable pixels = reshape(x, front.concatenated({height, 1, width, 1, channels}));
  const Variable blocks = broadcast_to(pixels, front.concatenated({height, factor, width, factor, channels}));
  return reshape(blocks, front.concatenated({height * factor, width * factor, channels}));
}

Variable flatten(const Variable& x, int axis) {
  axis = normalize_axis(axis, x.rank(), "flatten");
  int64_t elements = 1;
  for (int i = axis; i < x.rank(); ++i) elements *= x.size(i);
  return reshape(x, x.shape().drop_back(x.rank() - axis).concatenated({elements}));
}

}  // namespace elbo
