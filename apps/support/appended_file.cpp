#include "apps/support/appended_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

// One system call moves at most this much: some systems refuse more than 2 GiB.
constexpr size_t kLargestTransfer = size_t{1} << 30;

[[noreturn]] void fail_to_write(const std::string& path, int error) {
  fail("[file] cannot write {}: {}; what was there before stays", quote(path),
       std::generic_category().message(error));
}

}  // namespace

AppendedFile::AppendedFile(const std::string& path)
    : path_(path), descriptor_(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC)) {
  if (descriptor_ < 0) fail_to_write(path_, errno);
}

AppendedFile::~AppendedFile() { ::close(descriptor_); }

void AppendedFile::append(std::string_view bytes) {
  const std::string_view all = bytes;
  int error = 0;
  while (!error && !bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), std::min(bytes.size(), kLargestTransfer));
    if (written > 0) bytes.remove_prefix(static_cast<size_t>(written));
    if (written < 0 && errno != EINTR) error = errno;
    if (written == 0) error = EIO;
  }
  if (!error) return;
  // A full disk takes the beginning of what it is given.
  struct stat about {};
  const size_t added = all.size() - bytes.size();
  if (added > 0 && ::fstat(descriptor_, &about) == 0) [[maybe_unused]]
    const int cut = ::ftruncate(descriptor_, about.st_size - static_cast<off_t>(added));
  fail_to_write(path_, error);
}

void AppendedFile::truncate(uint64_t size) {
  if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0) fail_to_write(path_, errno);
}

void AppendedFile::sync() {
  // Devices and pipes have nothing to make last.
  if (::fdatasync(descriptor_) != 0 && errno != EINVAL && errno != EROFS) fail_to_write(path_, errno);
}

}  // namespace elbo
