// Shape: the sizes of a tensor's axes, outermost first; and the index arithmetic of broadcasting.
//
// A plain value of at most eight axes that never touches the heap. Knows nothing of data or devices.
//
//   Shape shape{128, 784};
//   shape[-1];                                          // 784
//   broadcast(shape, {1, 784}, "centre");               // (128, 784), or an Error that begins with [centre]
//   shape.drop_back(1).concatenated({1});               // (128, 1): a column for each row
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace elbo {

class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;  ///< rank 0: a scalar, one element
  Shape(std::initializer_list<int64_t> sizes);
  explicit Shape(const std::vector<int64_t>& sizes);

  int rank() const { return rank_; }
  /// Size of an axis; negative axes count from the end, so shape[-1] is the innermost. Throws where there is
  /// no such axis.
  int64_t operator[](int axis) const { return sizes_[place_of(axis)]; }
  int64_t& operator[](int axis) { return sizes_[place_of(axis)]; }
  /// Number of elements: the product of all sizes (1 for a scalar). Throws when it is 2^59 or more, so that a
  /// count of bytes fits too.
  int64_t elements() const;

  void push_back(int64_t size);
  /// The shape without its last `count` axes / with only its last `count` axes; a count of more than there
  /// are means all.
  Shape drop_back(int count) const;
  Shape back(int count) const;
  Shape concatenated(const Shape& tail) const;

  bool operator==(const Shape& other) const;
  std::string str() const;  ///< "(128, 784)"

 private:
  size_t place_of(int axis) const {
    const int place = axis < 0 ? axis + rank_ : axis;
    if (place < 0 || place >= rank_) [[unlikely]]
      fail_axis(axis);
    return static_cast<size_t>(place);
  }
  [[noreturn]] void fail_axis(int axis) const;

  std::array<int64_t, kMaxRank> sizes_{};
  int rank_ = 0;
};

/// The shape that `a` and `b` broadcast to: axes are aligned at the end, and sizes must agree or be 1.
/// Throws with `where` in the message otherwise.
Shape broadcast(const Shape& a, const Shape& b, const char* where);

/// True when `from` can be broadcast to exactly `to`.
bool broadcasts_to(const Shape& from, const Shape& to);

/// Turns a possibly negative axis into 0..rank-1, or throws.
int normalize_axis(int axis, int rank, const char* where);

}  // namespace elbo
