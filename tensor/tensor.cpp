#include "tensor/tensor.h"

#include <cstring>

#include "tensor/cuda/device.h"
#include "tensor/cuda/kernels.h"

namespace elbo {
namespace {

/// A value in another element type. A cast to an integer that cannot hold it, or of a NaN, would be
/// undefined.
template <class To, class From>
To converted(From value, const char* where) {
  if constexpr (std::is_integral_v<To>) {
    const auto v = static_cast<double>(value);
    const bool fits = std::is_same_v<To, uint8_t> ? v > -1.0 && v < 256.0 : v >= -0x1p63 && v < 0x1p63;
    if (!fits && !std::is_same_v<To, From>)
      fail("[{}] {} does not fit into {}", where, v, name(dtype_of<To>()));
  }
  return static_cast<To>(value);
}

}  // namespace

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  Tensor result;
  result.shape_ = shape;
  result.dtype_ = dtype;
  result.elements_ = shape.elements();
  result.storage_ = allocate(static_cast<size_t>(result.elements_ * size_of(dtype)), device);
  return result;
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor result = empty(shape, dtype, device);
  result.fill(value);
  return result;
}

Tensor Tensor::over(StorageRef storage) {
  Tensor result;
  result.elements_ = static_cast<int64_t>(storage->bytes);
  result.shape_ = {result.elements_};
  result.dtype_ = DType::u8;
  result.storage_ = std::move(storage);
  return result;
}

void* Tensor::bytes() const {
  if (!defined()) fail("[tensor] used before it was given a value");
  return storage_->data + offset_ * size_of(dtype_);
}

Tensor Tensor::reshape(const Shape& shape) const {
  if (shape.elements() != elements_) fail("[reshape] {} cannot become {}", shape_.str(), shape.str());
  Tensor result = *this;
  result.shape_ = shape;
  return result;
}

Tensor Tensor::reshape(std::initializer_list<int64_t> sizes) const {
  int unknown = -1, axis = 0;
  for (int64_t size : sizes) {
    if (size == -1 && unknown >= 0) fail("[reshape] only one size may be -1");
    if (size == -1) unknown = axis;
    ++axis;
  }
  Shape shape;  // with 1 for the size to be worked out
  axis = 0;
  for (int64_t size : sizes) shape.push_back(axis++ == unknown ? 1 : size);
  if (unknown >= 0) {
    const int64_t known = shape.elements();
    if (known ? elements_ % known != 0 : elements_ != 0)
      fail("[reshape] {} cannot become {}, whatever the size of axis {}", shape_.str(), shape.str(), unknown);
    shape[unknown] = known ? elements_ / known : 0;
  }
  return reshape(shape);
}

Tensor Tensor::slice(int64_t begin, int64_t end) const {
  if (rank() == 0) fail("[slice] a scalar has no first axis");
  if (begin < 0 || end < begin || end > shape_[0])
    fail("[slice] rows {}..{} are outside {}", begin, end, shape_.str());
  Tensor result = *this;
  const int64_t row = shape_[0] ? elements_ / shape_[0] : 0;
  result.offset_ += begin * row;
  result.shape_[0] = end - begin;
  result.elements_ = (end - begin) * row;
  return result;
}

Tensor Tensor::slice(int64_t index) const {
  Tensor result = slice(index, index + 1);
  result.shape_ = shape_.back(rank() - 1);
  return result;
}

Tensor Tensor::view_at(int64_t offset, const Shape& shape) const {
  if (offset < 0 || shape.elements() > elements_ - offset)
    fail("[view_at] {} at {} is outside {}", shape.str(), offset, shape_.str());
  Tensor result = *this;
  result.offset_ += offset;
  result.shape_ = shape;
  result.elements_ = shape.elements();
  return result;
}

Tensor Tensor::clone() const {
  Tensor result = empty(shape_, dtype_, device());
  result.copy_from(*this);
  return result;
}

void Tensor::copy_from(const Tensor& source) const {
  if (!(source.shape_ == shape_) || source.dtype_ != dtype_)
    fail("[copy_from] {} {} cannot be copied into {} {}", name(source.dtype_), source.shape_.str(),
         name(dtype_), shape_.str());
  const auto count = static_cast<size_t>(byte_count());
  if (device() == Device::cpu && source.device() == Device::cpu)
    std::memmove(bytes(), source.bytes(), count);
  else if (device() == Device::cpu)
    cuda::copy_to_host(bytes(), source.bytes(), count);
  else if (source.device() == Device::cpu)
    cuda::copy_to_device(bytes(), source.bytes(), count);
  else
    cuda::copy_on_device(bytes(), source.bytes(), count);
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  Tensor result = empty(shape_, dtype, device());
  if (device() == Device::cuda) {
    if constexpr (kHasGpuCode) cuda::convert(result.bytes(), dtype, bytes(), dtype_, elements_);
    return result;
  }
  visit(dtype_, [&](auto from) {
    visit(dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      std::transform(data<From>(), data<From>() + elements_, result.data<To>(),
                     [](From value) { return converted<To>(value, "to"); });
    });
  });
  return result;
}

Tensor Tensor::to(Device device) const {
  if (device == this->device()) return *this;
  Tensor result = empty(shape_, dtype_, device);
  result.copy_from(*this);
  return result;
}

void Tensor::fill(double value) const {
  visit(dtype_, [&](auto zero) {
    using T = decltype(zero);
    const T element = converted<T>(value, "fill");
    if (device() == Device::cpu) {
      std::fill_n(data<T>(), elements_, element);
    } else if constexpr (kHasGpuCode) {
      cuda::fill(bytes(), dtype_, elements_, static_cast<double>(element));
    }
  });
}

double Tensor::item() const {
  if (elements_ != 1) fail("[item] needs exactly one element, got shape {}", shape_.str());
  return at(0);
}

double Tensor::at(int64_t flat_index) const {
  if (flat_index < 0 || flat_index >= elements_)
    fail("[at] index {} is outside {}", flat_index, shape_.str());
  if (device() == Device::cuda) return view_at(flat_index, {1}).to(Device::cpu).at(0);
  return visit(dtype_, [&](auto zero) { return static_cast<double>(data<decltype(zero)>()[flat_index]); });
}

std::vector<double> Tensor::to_vector() const {
  if (device() == Device::cuda) return to(Device::cpu).to_vector();
  std::vector<double> values(static_cast<size_t>(elements_));
  visit(dtype_, [&](auto zero) {
    using T = decltype(zero);
    std::copy(data<T>(), data<T>() + elements_, values.begin());
  });
  return values;
}

namespace {

constexpr int64_t kShownPerAxis = 6;  // longer axes print their first and last three entries

void print_axis(const Tensor& tensor, int axis, int64_t& flat, std::string& out) {
  if (axis == tensor.rank()) {
    // Not through at(): a double does not hold every i64.
    if (tensor.dtype() == DType::i64)
      out += fmt::format("{}", tensor.data<int64_t>()[flat]);
    else
      out += fmt::format("{:.5g}", tensor.at(flat));
    ++flat;
    return;
  }
  const int64_t size = tensor.size(axis);
  const int64_t inner = tensor.shape().back(tensor.rank() - axis - 1).elements();
  out += '[';
  for (int64_t i = 0; i < size; ++i) {
    if (i > 0)
      out += axis + 1 == tensor.rank() ? ", " : ",\n" + std::string(static_cast<size_t>(axis) + 1, ' ');
    if (size > kShownPerAxis && i == kShownPerAxis / 2) {
      const int64_t skipped = size - kShownPerAxis;
      out += "...";
      i += skipped - 1;
      flat += skipped * inner;
      continue;
    }
    print_axis(tensor, axis + 1, flat, out);
  }
  out += ']';
}

}  // namespace

std::string Tensor::str() const {
  if (!defined()) return "(undefined tensor)";
  if (device() == Device::cuda) return to(Device::cpu).str() + " on cuda";
  std::string out;
  int64_t flat = 0;
  print_axis(*this, 0, flat, out);
  return out + fmt::format(" {} {}", name(dtype_), shape_.str());
}

}  // namespace elbo
