// Gathering and preprocessing on a GPU, for DeviceBatches; the formulas are those of preprocessing.h.
#pragma once

#include "datasets/preprocessing.h"
#include "tensor/random.h"

namespace elbo::cuda {

/// out[i] = points[order[place[0] + i]], preprocessed with the noise of `noise`: out (B, D) f32 or f64,
/// points (N, D) u8, f32 or f64, order (N) i64, place (2) i64, all on the GPU, as are the preprocessing's
/// mean and scale.
void preprocess_rows(const Tensor& points, const Preprocessing& preprocessing, const RandomKey& noise,
                     const Tensor& order, const Tensor& place, const Tensor& out);

}  // namespace elbo::cuda
