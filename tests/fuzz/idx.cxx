#include "datasets/idx.h"

#include "tests/fuzz/fuzzed_file.h"

// What read_idx reads has the shape that read_idx_shape sees in the header.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const elbo::FuzzedFile file(data, size);
  elbo::reads_or_refuses([&] {
    const elbo::Tensor x = elbo::read_idx(file.path());
    elbo::look_at(x);
    if (!(elbo::read_idx_shape(file.path()) == x.shape())) std::abort();
  });
  elbo::reads_or_refuses([&] { elbo::read_idx_shape(file.path()); });
  return 0;
}
