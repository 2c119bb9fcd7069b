// AppendedFile: a file that grows at its end, while others may read it.
//
// What was added before is never written again. Uses POSIX; knows nothing of what is in the file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace elbo {

class AppendedFile {
 public:
  /// Opens a file that is there already. Throws Error when it cannot be written.
  explicit AppendedFile(const std::string& path);
  ~AppendedFile();
  AppendedFile(const AppendedFile&) = delete;
  AppendedFile& operator=(const AppendedFile&) = delete;

  /// Adds the bytes, in one piece where the system can, or throws Error and adds none.
  void append(std::string_view bytes);
  /// Cuts off what stands behind the first `size` bytes.
  void truncate(uint64_t size);
  /// Makes what was added last through a power cut.
  void sync();

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace elbo
