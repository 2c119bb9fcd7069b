// copy: copies of blocks of elements, for slices, concatenation and gathers of rows. Any dtype; the only
// arithmetic is the sum of scatter_add_rows.
#pragma once

#include "tensor/tensor.h"

namespace elbo {

/// Copies `count` indices of `axis`, starting at source_begin, to those starting at target_begin. Both
/// tensors agree in dtype and in every other axis.
void copy_range(const Tensor& target, int64_t target_begin, const Tensor& source, int64_t source_begin,
                int axis, int64_t count);

/// rows (n, ...) with rows[i] = x[indices[i]]; x (N, ...), indices (n) i64, each in 0..N-1 or an Error
/// (unchecked where the indices are on the GPU).
Tensor gather_rows(const Tensor& x, const Tensor& indices);

/// target[indices[i]] += rows[i], in the order of i, so that repeated indices add up the same way every time.
void scatter_add_rows(const Tensor& target, const Tensor& indices, const Tensor& rows);

}  // namespace elbo
