// file: whole files in and out, with errors that name the file and the reason.
//
// Reading checks sizes before anything is allocated. Writing is atomic: the bytes go to a temporary file in
// the same directory, reach the disk, and only then take the name, so a full disk or a killed process leaves
// the old file as it was. Knows nothing of formats. Uses the operating system (POSIX), error.h, and of
// memory.h how much there is.
//
//   write_file_atomically("runs/7/result.json", "{}\n");
//   std::string text = read_file("runs/7/result.json");
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace elbo {

/// A regular file, open for reading at any position.
class InputFile {
 public:
  /// Throws Error when the file is missing, unreadable, a directory or a device.
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }  ///< bytes, when it was opened
  int descriptor() const { return descriptor_; }
  /// Fills `into` from `offset` bytes in. Returns how many there were: fewer than asked only at the end.
  size_t read_some(uint64_t offset, std::span<std::byte> into) const;
  /// The same, but a file that ends too early is an Error.
  void read(uint64_t offset, std::span<std::byte> into) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

/// All bytes of a regular file. Throws Error as InputFile does, and when it does not fit in memory.
std::string read_file(const std::string& path);

/// Makes `path` hold exactly `bytes`, or throws Error and leaves what was there. The directory must exist. A
/// symbolic link stays and the file it points to is replaced; a replaced file's permissions are kept. A
/// device or pipe is written to directly.
void write_file_atomically(const std::string& path, std::string_view bytes);
/// The same for the pieces one after the other, so that large parts need not be copied together.
void write_file_atomically(const std::string& path, std::span<const std::string_view> pieces);

/// Removes the temporary files that processes killed during a write have left in a directory and below it.
/// Only for directories where nobody else writes.
void remove_leftovers(const std::string& directory);

/// The same, but over a file that is there only where it begins with the same line, as an earlier version of
/// this text does. Throws Error otherwise.
void write_file_again(const std::string& path, std::string_view text);

/// Text from outside (a path, a name found in a file) fit for a one-line message: in single quotes, control
/// characters escaped, the middle of a long one left out.
std::string quote(std::string_view text);

}  // namespace elbo
