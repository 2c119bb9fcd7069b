#include "tensor/mapped_file.h"

#include <sys/mman.h>

#include <cerrno>
#include <system_error>

#include "tensor/file.h"

namespace elbo {

Tensor map_file(const std::string& path) {
  const InputFile file(path);
  if (file.size() == 0) fail("[map_file] {} is empty", quote(path));
  // NORESERVE: pages that nobody writes to need no room set aside for copies.
  void* const data =
      ::mmap(nullptr, file.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file.descriptor(), 0);
  if (data == MAP_FAILED)
    fail("[map_file] {} with its {} bytes cannot be mapped: {}", quote(path), file.size(),
         std::generic_category().message(errno));
  auto* storage = new Storage;
  storage->data = static_cast<std::byte*>(data);
  storage->bytes = storage->capacity = file.size();
  storage->release = [](Storage* mapped) {
    ::munmap(mapped->data, mapped->bytes);
    delete mapped;
  };
  return Tensor::over(StorageRef(storage));
}

}  // namespace elbo
