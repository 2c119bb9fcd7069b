// FolderLock: one process at a time writes into a folder.
//
// The system releases it when the process ends, however that is, and it leaves no file behind. Uses POSIX.
#pragma once

#include <string>

namespace elbo {

class FolderLock {
 public:
  /// Throws Error when another process holds it, or there is no such folder. File systems without locks let
  /// everybody pass.
  explicit FolderLock(const std::string& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace elbo
