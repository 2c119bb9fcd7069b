#include "tensor/cuda/kernels.h"

#include "tensor/cuda/device.h"

namespace elbo::cuda {

void fill(void*, DType, int64_t, double) { require_available(); }
void convert(void*, DType, const void*, DType, int64_t) { require_available(); }
void copy_rows(void*, int64_t, const void*, int64_t, int64_t, int64_t, const int64_t*) {
  require_available();
}
void scatter_add_rows(void*, const void*, DType, const int64_t*, int64_t, int64_t) { require_available(); }
void trace(void*, const void*, DType, int64_t, int64_t) { require_available(); }
void identity_matrix(void*, DType, int64_t) { require_available(); }
void fill_uniform(void*, DType, int64_t, int64_t, const RandomKey&) { require_available(); }
void fill_normal(void*, DType, int64_t, int64_t, const RandomKey&) { require_available(); }

}  // namespace elbo::cuda
