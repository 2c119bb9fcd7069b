#include "datasets/new_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

constexpr size_t kLargestTransfer = size_t{1} << 30;  // of one system call: some systems refuse 2 GiB

[[noreturn]] void fail_as_it_is_there(const std::string& path) {
  fail("[file] {} is there already and nothing is written over; name another", quote(path));
}

}  // namespace

NewFile::NewFile(const std::string& path) : path_(path) {
  struct stat about {};
  if (::lstat(path.c_str(), &about) == 0) fail_as_it_is_there(path);
  static std::atomic<unsigned> counter{0};
  do {
    temporary_ = fmt::format("{}.tmp-{}-{}", path, ::getpid(), counter++);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) fail_to_write(errno);
}

NewFile::~NewFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void NewFile::fail_to_write(int error) const {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  fail("[file] cannot write {}: {}; {}", quote(path_), std::generic_category().message(error),
       full ? "free some space; nothing was changed" : "choose a place you may write to");
}

void NewFile::write(uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), std::min(bytes.size(), kLargestTransfer),
                                     static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail_to_write(written < 0 ? errno : EIO);
    bytes.remove_prefix(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
}

void NewFile::finish() {
  if (::fsync(descriptor_) != 0) fail_to_write(errno);
  // A link is refused where a name is taken, which a rename would take over; not every file system has links.
  if (::link(temporary_.c_str(), path_.c_str()) != 0) {
    if (errno == EEXIST) fail_as_it_is_there(path_);
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_to_write(errno);
  }
  ::unlink(temporary_.c_str());
  ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace elbo
