// Convolutions on the GPU, for tensor/conv.cpp. Shapes are checked by the caller (tensor/conv.h says what
// they mean). All tensors are on the GPU, packed, of one dtype, f32 or f64, and have elements; work is
// enqueued on the current stream, the same every time, and can be captured.
//
// conv.cpp chooses who does it. The library, which is cuDNN (conv_cuda.cpp) or, in emulated builds, one that
// refuses everything (conv_emulated.cpp), is asked in f32, forward and by images of more than a few channels.
// Gradients by weight, and all that it is not asked for or refuses, are products with columns
// (conv_columns.cpp).
//
// f32 products are as precise as `matmul_precision` says; only the library takes bf16 for tf32, as cuDNN
// would convert to fp16, whose range gradients leave.
#pragma once

#include <algorithm>

#include "tensor/conv.h"

namespace elbo::cuda {

/// y = conv(x, weight) (+ y, if `accumulate`).
void conv_forward(const ConvSizes& sizes, const Tensor& y, const Tensor& x, const Tensor& weight,
                  bool accumulate);

/// dx = gradient by x (+ dx, if `accumulate`).
void conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate);

/// dw = gradient by weight (+ dw, if `accumulate`).
void conv_backward_weight(const ConvSizes& sizes, const Tensor& dw, const Tensor& x, const Tensor& dy,
                          bool accumulate);

/// "cuDNN 9.19.0", for provenance.
const char* cudnn_name();

// Who does it.

/// The library, with at most 2^31 - 1 numbers in any tensor. Returns false, with nothing enqueued, for what
/// it cannot do, and for f64.
namespace library {
bool conv_forward(const ConvSizes& sizes, const Tensor& y, const Tensor& x, const Tensor& weight,
                  bool accumulate);
bool conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate);
}  // namespace library

/// Matrix products, as tensor/conv_columns.h does them on the CPU: what lies under the kernel is copied to a
/// row for each of its places, or such rows are added up to images. Columns have at most `most` numbers at a
/// time, but those of one image at least.
namespace columns {
void conv_forward(const ConvSizes& sizes, const Tensor& y, const Tensor& x, const Tensor& weight,
                  bool accumulate, int64_t most);
void conv_backward_data(const ConvSizes& sizes, const Tensor& dx, const Tensor& dy, const Tensor& weight,
                        bool accumulate, int64_t most);
void conv_backward_weight(const ConvSizes& sizes, const Tensor& dw, const Tensor& x, const Tensor& dy,
                          bool accumulate, int64_t most);
}  // namespace columns

/// Calls f(sizes, x, y) for parts of the batch, of `most` images but the last.
template <class F>
void for_each_part(const ConvSizes& sizes, int64_t most, const Tensor& x, const Tensor& y, const F& f) {
  for (int64_t first = 0; first < sizes.batch; first += most) {
    ConvSizes part = sizes;
    part.batch = std::min(most, sizes.batch - first);
    f(part, x.slice(first, first + part.batch), y.slice(first, first + part.batch));
  }
}

}  // namespace elbo::cuda
