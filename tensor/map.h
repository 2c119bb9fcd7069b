// map and map_reduce: the two loops behind every pointwise op and every reduction.
//
// `map` evaluates a formula at every index of a broadcast space; `map_reduce` also reduces the values to a
// smaller shape, by their sum or maximum over every axis that the smaller shape lacks.
// A formula is a small functor marked ELBO_HD, written once. Broadcasting is index arithmetic: nothing is
// ever expanded in memory.
//
//   Tensor y = map(SquareOf{}, x);                          // x (N, D) -> y (N, D)
//   Tensor norms = map_reduce<Sum>({N, 1}, SquareOf{}, x);  // x (N, D) -> norms (N, 1)
//
//   struct SquareOf { template <class T> ELBO_HD T operator()(T x) const { return x * x; } };
//
// This header declares both loops and, below, the formulas that many files use. A file with formulas of its
// own includes tensor/map_loops.h, which makes the loops and kernels of these formulas (without it the linker
// finds no map for them); a build with CUDA compiles such a file as CUDA.
#pragma once

#include <limits>

#include "tensor/math.h"
#include "tensor/tensor.h"

namespace elbo {

/// out[i] = f(in[i]...) for every index of out; each `in` broadcasts to out's shape. `out` may be one of
/// `in`.
template <class F, class... In>
void map_into(const Tensor& out, F f, const In&... in);

/// The new tensor f(in...), of the shape that all `in` broadcast to.
template <class F, class First, class... Rest>
Tensor map(F f, const First& first, const Rest&... rest);

/// Reduces f(in...) over the axes where out has size 1 (or no axis) and the inputs' broadcast space has more.
/// With `accumulate` the result is combined with what out holds, else out is overwritten.
template <class Combine, class F, class... In>
void map_reduce_into(const Tensor& out, bool accumulate, F f, const In&... in);

/// The new tensor of shape `shape` that map_reduce_into would write.
template <class Combine, class F, class First, class... Rest>
Tensor map_reduce(const Shape& shape, F f, const First& first, const Rest&... rest);

/// Sums x down to `shape`, undoing a broadcast from `shape` to x's shape. Shares x when nothing is to be
/// summed.
Tensor sum_to(const Tensor& x, const Shape& shape);

/// target += x, which broadcasts to it.
void add_into(const Tensor& target, const Tensor& x);

// What map_reduce combines values with.
struct Sum {
  template <class T>
  static constexpr T identity() {
    return T(0);
  }
  template <class T>
  ELBO_HD T operator()(T a, T b) const {
    return a + b;
  }
};

struct Max {
  template <class T>
  static constexpr T identity() {
    return -std::numeric_limits<T>::infinity();
  }
  /// A NaN on either side stays.
  template <class T>
  ELBO_HD T operator()(T a, T b) const {
    return (a > b || a != a) ? a : b;
  }
};

// Formulas that many callers need, made once for all of them in map.cpp.
struct Identity {
  template <class T>
  ELBO_HD T operator()(T x) const {
    return x;
  }
};
struct SquareOf {
  template <class T>
  ELBO_HD T operator()(T x) const {
    return x * x;
  }
};
struct Scaled {
  double factor;
  template <class T>
  ELBO_HD T operator()(T x) const {
    return T(factor) * x;
  }
};
struct Product {
  template <class T>
  ELBO_HD T operator()(T a, T b) const {
    return a * b;
  }
};
struct Difference {
  template <class T>
  ELBO_HD T operator()(T a, T b) const {
    return a - b;
  }
};
struct SquareOfDifference {
  template <class T>
  ELBO_HD T operator()(T a, T b) const {
    return (a - b) * (a - b);
  }
};

}  // namespace elbo
