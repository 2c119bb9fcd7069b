#include "tensor/shape.h"

#include <algorithm>

#include "tensor/error.h"

namespace elbo {

Shape::Shape(std::initializer_list<int64_t> sizes) {
  for (int64_t size : sizes) push_back(size);
}

Shape::Shape(const std::vector<int64_t>& sizes) {
  for (int64_t size : sizes) push_back(size);
}

int64_t Shape::elements() const {
  constexpr int64_t kMost = (int64_t{1} << 59) - 1;
  if (std::find(sizes_.begin(), sizes_.begin() + rank_, 0) != sizes_.begin() + rank_) return 0;
  int64_t product = 1;
  for (int axis = 0; axis < rank_; ++axis) {
    if (sizes_[axis] > kMost / product) fail("[shape] {} has more elements than any memory holds", str());
    product *= sizes_[axis];
  }
  return product;
}

void Shape::push_back(int64_t size) {
  if (rank_ == kMaxRank) fail("[shape] more than {} axes: {} plus one of size {}", kMaxRank, str(), size);
  if (size < 0) fail("[shape] a size cannot be negative: {} plus one of size {}", str(), size);
  sizes_[rank_++] = size;
}

void Shape::fail_axis(int axis) const {
  fail("[shape] there is no axis {} in {}, which has {}", axis, str(), rank_);
}

Shape Shape::drop_back(int count) const {
  if (count < 0) fail("[shape] {} axes cannot be dropped from {}", count, str());
  Shape result;
  for (int axis = 0; axis < rank_ - count; ++axis) result.push_back(sizes_[axis]);
  return result;
}

Shape Shape::back(int count) const {
  Shape result;
  for (int axis = std::max(rank_ - count, 0); axis < rank_; ++axis) result.push_back(sizes_[axis]);
  return result;
}

Shape Shape::concatenated(const Shape& tail) const {
  Shape result = *this;
  for (int axis = 0; axis < tail.rank_; ++axis) result.push_back(tail.sizes_[axis]);
  return result;
}

bool Shape::operator==(const Shape& other) const {
  return rank_ == other.rank_ && std::equal(sizes_.begin(), sizes_.begin() + rank_, other.sizes_.begin());
}

std::string Shape::str() const {
  std::string text = "(";
  for (int axis = 0; axis < rank_; ++axis) text += (axis ? ", " : "") + std::to_string(sizes_[axis]);
  return text + (rank_ == 1 ? ",)" : ")");
}

Shape broadcast(const Shape& a, const Shape& b, const char* where) {
  const int rank = std::max(a.rank(), b.rank());
  Shape result;
  for (int axis = 0; axis < rank; ++axis) {
    const int in_a = axis - (rank - a.rank()), in_b = axis - (rank - b.rank());
    const int64_t size_a = in_a < 0 ? 1 : a[in_a], size_b = in_b < 0 ? 1 : b[in_b];
    if (size_a != size_b && size_a != 1 && size_b != 1)
      fail("[{}] shapes do not broadcast: {} and {} differ in axis {}", where, a.str(), b.str(), axis - rank);
    result.push_back(size_a == 1 ? size_b : size_a);
  }
  return result;
}

bool broadcasts_to(const Shape& from, const Shape& to) {
  if (from.rank() > to.rank()) return false;
  for (int axis = 1; axis <= from.rank(); ++axis)
    if (from[-axis] != to[-axis] && from[-axis] != 1) return false;
  return true;
}

int normalize_axis(int axis, int rank, const char* where) {
  if (axis < -rank || axis >= rank) fail("[{}] axis {} is out of range for rank {}", where, axis, rank);
  return axis < 0 ? axis + rank : axis;
}

}  // namespace elbo
