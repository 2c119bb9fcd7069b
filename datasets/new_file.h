// NewFile: a file that is written in pieces, at any position, and takes its name when it is whole.
//
// Until then it lies beside its place under another name, and is gone when it is not finished. Nothing is
// written over. Uses POSIX; knows nothing of formats.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace elbo {

class NewFile {
 public:
  /// Throws Error when there is anything at `path`, or no file can be made there.
  explicit NewFile(const std::string& path);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  const std::string& path() const { return path_; }
  /// Throws Error when the disk is full.
  void write(uint64_t offset, std::string_view bytes);
  /// Brings what was written to the disk and gives it its name. Throws Error when another has it by now.
  void finish();

 private:
  [[noreturn]] void fail_to_write(int error) const;

  std::string path_, temporary_;
  int descriptor_ = -1;
};

}  // namespace elbo
