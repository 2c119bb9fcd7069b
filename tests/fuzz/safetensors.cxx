#include "nn/safetensors.h"

#include <cstring>

#include "tests/fuzz/fuzzed_file.h"

// What can be read can be written, and reads the same again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const elbo::FuzzedFile file(data, size);
  elbo::reads_or_refuses([&] {
    const elbo::SafetensorsFile read = elbo::read_safetensors(file.path());
    for (const elbo::NamedTensor& tensor : read.tensors) elbo::look_at(tensor.value);
    static const std::string path = "/dev/shm/elbo-fuzz-" + std::to_string(getpid()) + ".safetensors";
    elbo::write_safetensors(path, read.tensors, read.metadata);
    const elbo::SafetensorsFile again = elbo::read_safetensors(path);
    unlink(path.c_str());
    bool same = again.metadata == read.metadata && again.tensors.size() == read.tensors.size();
    for (size_t i = 0; same && i < read.tensors.size(); ++i) {
      const elbo::NamedTensor &a = read.tensors[i], &b = again.tensors[i];
      same = a.name == b.name && a.value.shape() == b.value.shape() && a.value.dtype() == b.value.dtype() &&
             (a.value.byte_count() == 0 ||
              std::memcmp(a.value.bytes(), b.value.bytes(), static_cast<size_t>(a.value.byte_count())) == 0);
    }
    if (!same) std::abort();
  });
  return 0;
}
