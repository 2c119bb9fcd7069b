// Tensor: a plain value of shared storage, shape, offset, dtype and device.
//
// Always contiguous and row-major. Copying a Tensor shares its storage; `clone` copies the elements. Reshapes
// and leading slices are views of the same storage; a transpose is a flag of gemm, never a stride.
//
//   Tensor x = Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6});
//   Tensor row = x.slice(1);               // shape (3,), a view: the second row
//   row.data<float>()[0] = 40;             // x is now [[1, 2, 3], [40, 5, 6]]
//   fmt::print("{}\n", x.str());
//
// Constness is the handle's, as with a pointer: through a `const Tensor&` the elements can be written. So a
// function takes its output as `const Tensor&`, before its operands, and cannot give it another shape or
// storage: `map_into(y, f, x)`, `gemm(c, a, ...)`.
//
// Numerics live elsewhere: map.h (pointwise and reductions), gemm.h, random.h, linalg.h.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/memory.h"
#include "tensor/shape.h"

namespace elbo {

class Tensor {
 public:
  Tensor() = default;  ///< no storage; defined() is false

  static Tensor empty(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu);
  static Tensor full(const Shape& shape, double value, DType dtype = DType::f32, Device device = Device::cpu);
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu) {
    return full(shape, 0, dtype, device);
  }
  static Tensor scalar(double value, DType dtype = DType::f32, Device device = Device::cpu) {
    return full({}, value, dtype, device);
  }
  /// The bytes of a storage that did not come from `allocate`, u8 (storage->bytes).
  static Tensor over(StorageRef storage);
  /// A CPU tensor holding a copy of `values`, which must be shape.elements() many.
  template <class T>
  static Tensor from(const Shape& shape, std::span<const T> values);
  template <class T>
  static Tensor from(const Shape& shape, const std::vector<T>& values) {
    return from(shape, std::span<const T>(values));
  }

  bool defined() const { return static_cast<bool>(storage_); }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t size(int axis) const { return shape_[axis]; }
  int64_t elements() const { return elements_; }
  DType dtype() const { return dtype_; }
  Device device() const { return defined() ? storage_->device : Device::cpu; }

  /// First element, on the tensor's device. T must be the tensor's dtype.
  template <class T>
  T* data() const;
  void* bytes() const;  ///< the same, untyped
  int64_t byte_count() const { return elements_ * size_of(dtype_); }
  /// Elements of a CPU tensor.
  template <class T>
  std::span<T> span() const {
    if (device() != Device::cpu)
      fail("[tensor] the elements of {} are on the GPU; copy them with to(Device::cpu)", shape_.str());
    return {data<T>(), static_cast<size_t>(elements_)};
  }

  /// View with another shape of as many elements; one size may be -1 and is then worked out.
  Tensor reshape(const Shape& shape) const;
  Tensor reshape(std::initializer_list<int64_t> sizes) const;
  /// View of rows begin..end-1 of the first axis.
  Tensor slice(int64_t begin, int64_t end) const;
  /// View of one index of the first axis, which disappears.
  Tensor slice(int64_t index) const;
  /// View of `shape.elements()` elements that start `offset` elements in: how parameters live in one arena.
  Tensor view_at(int64_t offset, const Shape& shape) const;

  Tensor clone() const;
  /// Copies the elements of `source` (same shape and dtype) into this tensor's storage.
  void copy_from(const Tensor& source) const;
  /// The same values in another element type, or on another device (a plain share when it is the same).
  Tensor to(DType dtype) const;
  Tensor to(Device device) const;
  void fill(double value) const;

  /// One element as a double; the tensor must hold exactly one / the element at a flat index.
  double item() const;
  double at(int64_t flat_index) const;
  /// All elements as doubles.
  std::vector<double> to_vector() const;

  bool shares_storage(const Tensor& other) const { return storage_ == other.storage_; }
  /// True when no other tensor or view holds this storage.
  bool sole_owner() const { return defined() && storage_->references.load(std::memory_order_acquire) == 1; }

  /// Nested brackets, shape and dtype; long axes are abbreviated.
  std::string str() const;

 private:
  StorageRef storage_;
  Shape shape_;
  int64_t offset_ = 0;  // in elements
  int64_t elements_ = 0;
  DType dtype_ = DType::f32;
};

template <class T>
T* Tensor::data() const {
  if (dtype_ != dtype_of<T>())
    fail("[tensor] asked for {} elements of a {} tensor {}", name(dtype_of<T>()), name(dtype_), shape_.str());
  return static_cast<T*>(bytes());
}

template <class T>
Tensor Tensor::from(const Shape& shape, std::span<const T> values) {
  if (static_cast<int64_t>(values.size()) != shape.elements())
    fail("[tensor] {} values cannot fill shape {}", values.size(), shape.str());
  Tensor result = empty(shape, dtype_of<T>());
  std::copy(values.begin(), values.end(), result.data<T>());
  return result;
}

}  // namespace elbo
