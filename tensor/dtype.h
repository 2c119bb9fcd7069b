// DType: what a tensor's elements are. f32 to train, f64 to check gradients, u8 for stored images, i64 for
// indices. `visit_floating` turns a run-time dtype into a compile-time element type.
//
//   const double total = visit_floating(x.dtype(), "total", [&](auto zero) {   // zero: 0.0f or 0.0
//     const auto values = x.span<decltype(zero)>();
//     return std::accumulate(values.begin(), values.end(), 0.0);
//   });
#pragma once

#include <cstdint>
#include <type_traits>

#include "tensor/error.h"

namespace elbo {

enum class DType { f32, f64, u8, i64 };

inline const char* name(DType dtype) {
  constexpr const char* kNames[] = {"f32", "f64", "u8", "i64"};
  return kNames[static_cast<int>(dtype)];
}

inline int64_t size_of(DType dtype) { return dtype == DType::u8 ? 1 : dtype == DType::f32 ? 4 : 8; }

inline bool is_floating(DType dtype) { return dtype == DType::f32 || dtype == DType::f64; }

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>)
    return DType::f32;
  else if constexpr (std::is_same_v<T, double>)
    return DType::f64;
  else if constexpr (std::is_same_v<T, uint8_t>)
    return DType::u8;
  else {
    static_assert(std::is_same_v<T, int64_t>, "elements are float, double, uint8_t or int64_t");
    return DType::i64;
  }
}

/// Calls f(T{}) with T = float or double; any other dtype is an error that names `where`.
template <class F>
decltype(auto) visit_floating(DType dtype, const char* where, F&& f) {
  if (dtype == DType::f32) return f(float{});
  if (dtype == DType::f64) return f(double{});
  fail("[{}] needs f32 or f64 elements, got {}", where, name(dtype));
}

/// Calls f(T{}) with the element type of any dtype.
template <class F>
decltype(auto) visit(DType dtype, F&& f) {
  if (dtype == DType::f32) return f(float{});
  if (dtype == DType::f64) return f(double{});
  if (dtype == DType::u8) return f(uint8_t{});
  return f(int64_t{});
}

}  // namespace elbo
