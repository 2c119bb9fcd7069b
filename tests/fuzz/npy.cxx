#include "datasets/npy.h"

#include "tests/fuzz/fuzzed_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const elbo::FuzzedFile file(data, size);
  elbo::reads_or_refuses([&] { elbo::look_at(elbo::read_npy(file.path())); });
  return 0;
}
