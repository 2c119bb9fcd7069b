// What the tests of map, map_reduce and gemm share: random shapes, small whole numbers (whose sums are exact
// in any order), and the twin of how a broadcast operand is read.
#pragma once

#include <cstring>
#include <random>
#include <vector>

#include "tensor/tensor.h"

namespace elbo {

using Engine = std::mt19937;

inline int64_t pick(Engine& engine, const std::vector<int64_t>& from) {
  return from[std::uniform_int_distribution<size_t>(0, from.size() - 1)(engine)];
}

/// Whole numbers from -8 to 8.
inline Tensor small_numbers(const Shape& shape, DType dtype, Engine& engine) {
  std::vector<double> values(static_cast<size_t>(shape.elements()));
  for (double& value : values) value = std::uniform_int_distribution<int>(-8, 8)(engine);
  return Tensor::from(shape, values).to(dtype);
}

/// A shape of at most five axes and 5000 elements: lengths around every boundary of the loops, 0 and 1
/// included.
inline Shape random_space(Engine& engine) {
  const int64_t rank = pick(engine, {0, 1, 2, 2, 3, 3, 4, 5});
  Shape shape;
  int64_t room = 5000;
  for (int64_t axis = 0; axis < rank; ++axis) {
    int64_t size =
        pick(engine, {1, 2, 2, 3, 3, 4, 5, 7, 8, 9, 16, 17, 33, 64, 100, 255, 257, 300, 511, 513, 1100});
    if (pick(engine, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}) == 0) size = 0;
    if (size > room) size = pick(engine, {1, 2});
    if (size > 0) room /= size;
    shape.push_back(size);
  }
  return shape;
}

/// A shape that broadcasts to `space`: some axes 1, some leading ones left out.
inline Shape random_operand(const Shape& space, Engine& engine) {
  Shape shape = space;
  for (int axis = 0; axis < space.rank(); ++axis)
    if (pick(engine, {0, 0, 1}) == 1) shape[axis] = 1;
  while (shape.rank() > 0 && pick(engine, {0, 0, 1}) == 1) shape = shape.back(shape.rank() - 1);
  return shape;
}

/// Where element `flat` of `space` lies in an operand that broadcasts to it.
inline int64_t offset_twin(const Shape& operand, const Shape& space, int64_t flat) {
  int64_t offset = 0, step = 1;
  for (int back = 1; back <= space.rank(); ++back) {
    const int64_t index = flat % space[-back];
    flat /= space[-back];
    if (back > operand.rank()) continue;
    if (operand[-back] != 1) offset += index * step;
    step *= operand[-back];
  }
  return offset;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.byte_count())) == 0;
}

}  // namespace elbo
