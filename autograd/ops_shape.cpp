// Ops that move elements about without changing them.
#include <numeric>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "tensor/copy.h"
#include "tensor/map.h"

namespace elbo {

Variable reshape(const Variable& x, const Shape& shape) {
  return Tape::record("reshape", {&x}, x.value().reshape(shape),
                      [from = x.shape()](Backward& pass) { pass.add(0, pass.dy().reshape(from)); });
}

Variable slice(const Variable& x, int axis, int64_t begin, int64_t end) {
  axis = normalize_axis(axis, x.rank(), "slice");
  if (begin < 0 || end < begin || end > x.size(axis))
    fail("[slice] {}..{} is outside axis {} of {}", begin, end, axis, x.shape().str());
  Shape shape = x.shape();
  shape[axis] = end - begin;
  Tensor y;
  if (axis == 0) {
    y = x.value().slice(begin, end);
  } else {
    y = Tensor::empty(shape, x.dtype(), x.value().device());
    copy_range(y, 0, x.value(), begin, axis, end - begin);
  }
  return Tape::record("slice", {&x}, y, [axis, begin, end, from = x.shape()](Backward& pass) {
    const Tensor& dy = pass.dy();
    const Tensor dx = Tensor::zeros(from, dy.dtype(), dy.device());
    copy_range(dx, begin, dy, 0, axis, end - begin);
    pass.add(0, dx);
  });
}

Variable concat(const std::vector<Variable>& parts, int axis) {
  if (parts.empty()) fail("[concat] there is nothing to join");
  axis = normalize_axis(axis, parts[0].rank(), "concat");
  Shape shape = parts[0].shape();
  shape[axis] = 0;
  std::vector<const Variable*> inputs;
  for (const Variable& part : parts) {
    if (part.rank() != shape.rank())
      fail("[concat] {} and {} differ in rank", parts[0].shape().str(), part.shape().str());
    shape[axis] += part.size(axis);
    inputs.push_back(&part);
  }
  Tensor y = Tensor::empty(shape, parts[0].dtype(), parts[0].value().device());
  int64_t at = 0;
  for (const Variable& part : parts) {
    copy_range(y, at, part.value(), 0, axis, part.size(axis));
    at += part.size(axis);
  }
  return Tape::record("concat", inputs, y, [axis, count = static_cast<int>(parts.size())](Backward& pass) {
    int64_t from = 0;
    for (int i = 0; i < count; ++i) {
      const Shape& part = pass.input_shape(i);
      if (pass.wants(i)) {
        const Tensor& dy = pass.dy();
        const Tensor d = Tensor::empty(part, dy.dtype(), dy.device());
        copy_range(d, 0, dy, from, axis, part[axis]);
        pass.add(i, d);
      }
      from += part[axis];
    }
  });
}

std::vector<Variable> split(const Variable& x, int axis, const std::vector<int64_t>& sizes) {
  axis = normalize_axis(axis, x.rank(), "split");
  const int64_t total = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  if (total != x.size(axis))
    fail("[split] the sizes add up to {}, axis {} of {} has {}", total, axis, x.shape().str(), x.size(axis));
  std::vector<Variable> parts;
  int64_t begin = 0;
  for (int64_t size : sizes) {
    parts.push_back(slice(x, axis, begin, begin + size));
    begin += size;
  }
  return parts;
}

Variable broadcast_to(const Variable& x, const Shape& shape) {
  if (!broadcasts_to(x.shape(), shape))
    fail("[broadcast_to] {} does not broadcast to {}", x.shape().str(), shape.str());
  Tensor y = Tensor::empty(shape, x.dtype(), x.value().device());
  map_into(y, Identity{}, x.value());
  return Tape::record("broadcast_to", {&x}, y, [](Backward& pass) { pass.add(0, pass.dy()); });
}

Variable gather_rows(const Variable& x, const Tensor& indices) {
  return Tape::record("gather_rows", {&x}, gather_rows(x.value(), indices),
                      [indices, from = x.shape()](Backward& pass) {
                        const Tensor& dy = pass.dy();
                        const Tensor dx = Tensor::zeros(from, dy.dtype(), dy.device());
                        scatter_add_rows(dx, indices, dy);
                        pass.add(0, dx);
                      });
}

Variable stop_gradient(const Variable& x) { return Variable(x.value()); }

}  // namespace elbo
