// What tensor/ does on the GPU besides maps, reductions and products: filling, converting, moving rows,
// drawing. All is enqueued on the current stream; pointers are device memory.
#pragma once

#include "tensor/dtype.h"
#include "tensor/random.h"

namespace elbo::cuda {

void fill(void* to, DType dtype, int64_t elements, double value);
/// Converts between floating types, and from integers to them. Throws for other pairs.
void convert(void* to, DType to_type, const void* from, DType from_type, int64_t elements);

/// Copies rows of `width` bytes: row i comes from row index[i] of `from`, or from row i where index is null.
/// Steps are bytes from one row to the next.
void copy_rows(void* to, int64_t to_step, const void* from, int64_t from_step, int64_t rows, int64_t width,
               const int64_t* index = nullptr);
/// to[index[i]] += from[i] for rows of `width` elements, in the order of i.
void scatter_add_rows(void* to, const void* from, DType dtype, const int64_t* index, int64_t rows,
                      int64_t width);

/// to[i] = the trace of matrix i of from (matrices, n, n), and to (n, n) = the identity.
void trace(void* to, const void* from, DType dtype, int64_t matrices, int64_t n);
void identity_matrix(void* to, DType dtype, int64_t n);

/// `each` draws for each of `members` members, as fill_uniform and fill_normal do.
void fill_uniform(void* to, DType dtype, int64_t members, int64_t each, const RandomKey& key);
void fill_normal(void* to, DType dtype, int64_t members, int64_t each, const RandomKey& key);

}  // namespace elbo::cuda
