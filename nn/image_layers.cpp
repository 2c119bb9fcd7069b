#include "nn/image_layers.h"

#include "tensor/map_loops.h"

namespace elbo {
namespace {

constexpr double kMomentum = 0.1, kEpsilon = 1e-5;

/// old + momentum (factor new - old).
struct MovedTowards {
  double factor;
  template <class T>
  ELBO_HD T operator()(T old, T latest) const {
    return old + T(kMomentum) * (T(factor) * latest - old);
  }
};

/// x (M?, N, H, W, C) with `count` more rows and columns of zeros at the end, or with as many fewer if it is
/// negative.
Variable extend(Variable x, int64_t count) {
  for (const int axis : {-3, -2}) {
    if (count < 0) {
      x = slice(x, axis, 0, x.size(axis) + count);
    } else if (count > 0) {
      Shape zeros = x.shape();
      zeros[normalize_axis(axis, x.rank(), "extend")] = count;
      x = concat({x, Tensor::zeros(zeros, x.dtype(), x.value().device())}, axis);
    }
  }
  return x;
}

/// The weight's initialiser with the fans that a pixel sees: under a stride only every stride-th row and
/// column of weights meet in one pixel.
Initializer for_layer(const ImageLayerPlan& plan, Initializer weights) {
  const auto taps = static_cast<double>(plan.kernel * plan.kernel);
  const auto step = static_cast<double>(plan.options.stride * plan.options.stride);
  weights.fan_in = static_cast<double>(plan.in) * taps / (plan.transposed ? step : 1);
  weights.fan_out = static_cast<double>(plan.out) * taps / (plan.transposed ? 1 : step);
  return weights;
}

Shape weight_shape(const ImageLayerPlan& plan) {
  const int64_t first = plan.transposed ? plan.in : plan.out, last = plan.transposed ? plan.out : plan.in;
  return {first, plan.kernel, plan.kernel, last};
}

/// A tensor's shape without its elements.
Tensor outline(const Shape& shape) { return Tensor::empty(shape, DType::u8); }

}  // namespace

ImageSize ImageLayerPlan::size_after(const ImageSize& of) const {
  const int64_t before = transposed ? 0 : end, after = transposed ? end : 0;
  const Tensor x = outline({1, of.height + before, of.width + before, of.channels});
  const Tensor weight = outline(weight_shape(*this));
  const Shape y = transposed ? conv_transpose2d_shape(x, weight, options) : conv2d_shape(x, weight, options);
  return {y[1] - after, y[2] - after, y[3]};
}

int64_t ImageLayerPlan::multiply_adds(const ImageSize& of) const {
  const ImageSize after = size_after(of);
  const int64_t places = transposed ? of.height * of.width : after.height * after.width;
  return places * weight_shape(*this).elements();
}

BatchNorm::BatchNorm(ParameterStore& store, const std::string& name, int64_t channels)
    : gain_(&store.add(name + ".weight", {channels}, {Initializer::Kind::constant, 1})),
      shift_(&store.add(name + ".bias", {channels}, {})),
      running_mean_(&store.add(name + ".running_mean", {channels}, {}, false)),
      running_variance_(
          &store.add(name + ".running_var", {channels}, {Initializer::Kind::constant, 1}, false)) {}

Variable BatchNorm::operator()(const Variable& x, Mode mode) const {
  const bool has_members = gain_->value.rank() == 2;
  const Shape& own = gain_->value.shape();
  if (mode == Mode::train) {
    const auto [y, statistics] = batch_norm(x, *gain_, *shift_, kEpsilon);
    const auto count = static_cast<double>(statistics.count);
    map_into(running_mean_->value, MovedTowards{1}, running_mean_->value, statistics.mean.reshape(own));
    // The unbiased estimate, as elsewhere.
    map_into(running_variance_->value, MovedTowards{count / std::max(count - 1, 1.0)},
             running_variance_->value, statistics.variance.reshape(own));
    return y;
  }
  const Shape kept = has_members ? Shape{own[0], 1, 1, 1, own[1]} : own;
  const Variable slope = *gain_ / sqrt(Variable(running_variance_->value) + kEpsilon);
  return (x - running_mean_->value.reshape(kept)) * reshape(slope, kept) + reshape(*shift_, kept);
}

ImageStack::ImageStack(ParameterStore& store, const std::string& name, int64_t first, const ImageSize& in,
                       const std::vector<ImageLayerPlan>& plans, Initializer weights)
    : members_(store.members()), in_(in), out_(in), next_(first) {
  for (const ImageLayerPlan& plan : plans) {
    if (plan.in != out_.channels)
      fail("[image layers] layer {} of '{}' takes {} channels, there are {}", next_, name, plan.in,
           out_.channels);
    const std::string layer = name + "." + std::to_string(next_++);
    layers_.push_back({.plan = plan,
                       .weight = &store.add(layer + ".weight", weight_shape(plan), for_layer(plan, weights)),
                       .bias = &store.add(layer + ".bias", {plan.out}, {}),
                       .norm = {}});
    if (plan.batch_norm)
      layers_.back().norm.emplace_back(store, name + "." + std::to_string(next_++), plan.out);
    out_ = plan.size_after(out_);
  }
}

Variable ImageStack::Layer::operator()(Variable x, Mode mode) const {
  const Activation fused = norm.empty() ? plan.activation : Activation::none;
  if (plan.transposed) {
    x = extend(conv_transpose2d(x, *weight, *bias, plan.options, plan.end > 0 ? Activation::none : fused),
               -plan.end);
  } else {
    x = conv2d(extend(x, plan.end), *weight, *bias, plan.options, fused);
  }
  for (const BatchNorm& normalize : norm) x = normalize(x, mode);
  const bool activated = norm.empty() && !(plan.transposed && plan.end > 0);
  return activated ? x : activate(plan.activation, x);
}

Variable ImageStack::operator()(const Variable& x, Mode mode) const {
  const Shape front = x.shape().drop_back(1);
  const bool own_rows = members_ > 0 && front.rank() > 1;  // each member has rows of its own
  const int64_t rows = front.elements() / (own_rows ? members_ : 1);
  Shape images{rows, in_.height, in_.width, in_.channels};
  Variable y = reshape(x, own_rows ? Shape{members_}.concatenated(images) : images);
  for (const Layer& layer : layers_) y = layer(y, mode);
  const Shape all = members_ > 0 && !own_rows ? Shape{members_}.concatenated(front) : front;
  return reshape(y, all.concatenated({out_.pixels()}));
}

}  // namespace elbo
