#include "apps/support/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {

FolderLock::FolderLock(const std::string& folder)
    : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (descriptor_ < 0)
    fail("[file] cannot open the folder {}: {}", quote(folder), std::generic_category().message(errno));
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(descriptor_);
  fail("[file] another process is writing into {}; wait for it", quote(folder));
}

FolderLock::~FolderLock() { ::close(descriptor_); }

}  // namespace elbo
