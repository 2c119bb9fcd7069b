#include "tensor/loop.h"

#include <algorithm>

#include "tensor/error.h"

namespace elbo::detail {

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
  Loop loop;
  for (int axis = space.rank() - 1; axis >= 0; --axis) {
    if (space[axis] == 1) continue;
    bool merges = loop.rank > 0;
    const int inner = loop.rank - 1;
    for (int k = 0; merges && k < count; ++k)
      merges = stride[k][axis] == loop.stride[k][inner] * loop.size[inner];
    if (merges) {
      loop.size[inner] *= space[axis];
      continue;
    }
    loop.size[loop.rank] = space[axis];
    for (int k = 0; k < count; ++k) loop.stride[k][loop.rank] = stride[k][axis];
    ++loop.rank;
  }
  if (loop.rank == 0) loop.size[loop.rank++] = 1;
  std::reverse(loop.size, loop.size + loop.rank);
  for (int k = 0; k < count; ++k) std::reverse(loop.stride[k], loop.stride[k] + loop.rank);
  return loop;
}

FoldedLoop split(const Loop& joint) {
  FoldedLoop result;
  for (int axis = 0; axis < joint.rank; ++axis) {
    Loop& loop = joint.stride[0][axis] != 0 ? result.kept : result.folded;
    loop.size[loop.rank] = joint.size[axis];
    for (int k = 0; k < kMaxOperands; ++k) loop.stride[k][loop.rank] = joint.stride[k][axis];
    ++loop.rank;
  }
  return result;
}

int64_t elements(const Loop& loop) {
  int64_t product = 1;
  for (int axis = 0; axis < loop.rank; ++axis) product *= loop.size[axis];
  return product;
}

}  // namespace elbo::detail
