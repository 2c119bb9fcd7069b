// Loop: a walk of several operands through their common broadcast space, with as few axes as possible.
//
// The host makes it; the loops of map.h and kernels follow it. Knows shapes and strides, not data.
#pragma once

#include <initializer_list>

#include "tensor/math.h"
#include "tensor/shape.h"

namespace elbo::detail {

inline constexpr int kMaxOperands = 7;  // an output and six inputs

/// An iteration space with adjacent axes merged where every operand allows it; stride 0 marks a broadcast
/// axis. Along the last axis every stride is 0 or 1.
struct Loop {
  int rank = 0;
  int64_t size[Shape::kMaxRank] = {};
  int64_t stride[kMaxOperands][Shape::kMaxRank] = {};
};

/// Plans the walk of operands (each broadcastable to `space`) through `space`. The result has rank >= 1.
Loop plan_loop(const Shape& space, std::initializer_list<const Shape*> operands);

/// The axes that the first operand, the output, has, and those that are folded into each of its elements.
/// Along `kept` the output's elements follow each other in memory.
struct FoldedLoop {
  Loop kept, folded;
};
FoldedLoop split(const Loop& joint);

/// Elements of a loop's space.
int64_t elements(const Loop& loop);

/// Adds to offset[k] where element `flat` of the loop's axes lies in operand k.
ELBO_HD void seek(const Loop& loop, int64_t flat, int operands, int64_t* offset) {
  for (int axis = loop.rank - 1; axis >= 0; --axis) {
    const int64_t index = axis > 0 ? flat % loop.size[axis] : flat;
    if (axis > 0) flat /= loop.size[axis];
    for (int k = 0; k < operands; ++k) offset[k] += index * loop.stride[k][axis];
  }
}

}  // namespace elbo::detail
