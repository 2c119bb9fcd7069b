#include "tensor/map.h"

namespace elbo {
namespace detail {

Loop plan_loop(const Shape& space, std::initializer_list<const Shape*> operands) {
  if (operands.size() > kMaxOperands) fail("[map] more than {} operands", kMaxOperands);
  // Strides of each operand over the axes of the space; a missing or size-1 axis has stride 0.
  int64_t stride[kMaxOperands][Shape::kMaxRank] = {};
  int count = 0;
  for (const Shape* shape : operands) {
    if (!broadcasts_to(*shape, space)) fail("[map] {} does not broadcast to {}", shape->str(), space.str());
    int64_t step = 1;
    for (int back = 1; back <= shape->rank(); ++back) {
      stride[count][space.rank() - back] = (*shape)[-back] == 1 ? 0 : step;
      step *= (*shape)[-back];
    }
    ++count;
  }
  // Merge from the innermost axis outwards.
  Loop reversed;
  for (int axis = space.rank() - 1; axis >= 0; --axis) {
    if (space[axis] == 1) continue;
    bool merges = reversed.rank > 0;
    const int inner = reversed.rank - 1;
    for (int k = 0; merges && k < count; ++k)
      merges = stride[k][axis] == reversed.stride[k][inner] * reversed.size[inner];
    if (merges) {
      reversed.size[inner] *= space[axis];
      continue;
    }
    reversed.size[reversed.rank] = space[axis];
    for (int k = 0; k < count; ++k) reversed.stride[k][reversed.rank] = stride[k][axis];
    ++reversed.rank;
  }
  if (reversed.rank == 0) {
    reversed.rank = 1;
    reversed.size[0] = 1;
  }
  Loop loop;
  loop.rank = reversed.rank;
  for (int axis = 0; axis < loop.rank; ++axis) {
    const int from = loop.rank - 1 - axis;
    loop.size[axis] = reversed.size[from];
    for (int k = 0; k < count; ++k) loop.stride[k][axis] = reversed.stride[k][from];
  }
  return loop;
}

ReducePlan plan_reduce(const Loop& joint) {
  ReducePlan plan;
  const int last = joint.rank - 1;
  plan.inner = joint.size[last];
  plan.inner_is_kept = joint.stride[0][last] != 0;
  const auto append = [](Loop& loop, const Loop& from, int axis) {
    loop.size[loop.rank] = from.size[axis];
    for (int k = 0; k < kMaxOperands; ++k) loop.stride[k][loop.rank] = from.stride[k][axis];
    ++loop.rank;
  };
  for (int axis = 0; axis < last; ++axis) {
    const bool kept = joint.stride[0][axis] != 0;
    append(kept ? plan.kept : plan.folded, joint, axis);
    (kept ? plan.outputs : plan.terms) *= joint.size[axis];
  }
  // The inner axis is walked apart from the odometer; its strides wait in the last slot.
  Loop& inner_of = plan.inner_is_kept ? plan.kept : plan.folded;
  for (int k = 0; k < kMaxOperands; ++k) inner_of.stride[k][Shape::kMaxRank - 1] = joint.stride[k][last];

  if (!plan.inner_is_kept) plan.terms *= plan.inner;
  const int64_t run = plan.inner_is_kept ? plan.inner : 1;
  const int64_t total = plan.outputs * plan.terms * run, results = plan.outputs * run;
  if (plan.outputs < 16 && results <= 4096)
    plan.chunks = std::clamp<int64_t>(total / (2 * kParallelGrain), 1, std::min<int64_t>(plan.terms, 32));
  return plan;
}

}  // namespace detail

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape().elements() == shape.elements()) return x.reshape(shape);
  return map_reduce<Sum>(shape, Identity{}, x);
}

void add_into(const Tensor& target, const Tensor& x) { map_into(target, Sum{}, target, x); }

}  // namespace elbo
