// The definition of Backward::contribute (autograd/backward.h), which makes loops and kernels from formulas,
// for files that define ops.
//
//   struct TwoXDy { template <class T> ELBO_HD T operator()(T x, T dy) const { return T(2) * x * dy; } };
//   return Tape::record("square", {&x}, y, [x = x.value()](Backward& pass) {
//     pass.contribute(0, TwoXDy{}, x, pass.dy());       // to the gradient of input 0
//   });
#pragma once

#include "autograd/tape.h"
#include "tensor/map_loops.h"

namespace elbo {

/// f with one more leading argument, to which its value is added.
template <class F>
struct Accumulated {
  F f;
  template <class T, class... Rest>
  ELBO_HD T operator()(T old, Rest... in) const {
    return old + f(in...);
  }
};

template <class F, class... In>
void Backward::contribute(int input, F f, const In&... in) {
  if (!wants(input)) return;
  if (broadcasts_to(detail::broadcast_all("backward", in...), input_shape(input)))
    return contribute_unsummed(input, f, in...);
  const Target to = target(input);
  map_reduce_into<Sum>(to.tensor, to.accumulate, f, in...);
}

template <class F, class... In>
void Backward::contribute_unsummed(int input, F f, const In&... in) {
  if (!wants(input)) return;
  const Target to = target(input);
  if (to.accumulate)
    map_into(to.tensor, Accumulated<F>{f}, to.tensor, in...);
  else
    map_into(to.tensor, f, in...);
}

}  // namespace elbo
