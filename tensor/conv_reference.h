// The convolutions of conv.h as plain loops, one line for each line of their definition: what faster
// implementations are tested against, and what runs in f64.
//
// On raw CPU memory, f32 or f64. Sums are taken in double, each by one thread in one order, so that results
// do not depend on the number of threads.
#pragma once

#include "tensor/conv.h"

namespace elbo::reference {

/// y = conv(x, weight) (+ bias, if not null) (+ y, if `accumulate`).
template <class T>
void conv_forward(const ConvSizes& sizes, T* y, const T* x, const T* weight, const T* bias, bool accumulate);

/// dx = gradient by x (+ dx, if `accumulate`).
template <class T>
void conv_backward_data(const ConvSizes& sizes, T* dx, const T* dy, const T* weight, bool accumulate);

/// dw = gradient by weight (+ dw, if `accumulate`).
template <class T>
void conv_backward_weight(const ConvSizes& sizes, T* dw, const T* x, const T* dy, bool accumulate);

}  // namespace elbo::reference
