// tar: files out of a tar archive (ustar, POSIX 1003.1-1988), plain or gzipped.
//
// Only files that are asked for by name are taken, and where they go is the caller's name for them: nothing
// in an archive decides about a path. Uses byte_reader.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace elbo {

/// A file in an archive: its name without the folders it lies in, and its size.
struct ArchiveMember {
  std::string name;
  uint64_t bytes = 0;
};

/// Writes the members into `folder`, each as a whole or not at all. Throws Error when the archive is damaged
/// or truncated, or has a member not at all, twice or in another size.
void unpack_tar(const std::string& archive, const std::string& folder,
                const std::vector<ArchiveMember>& members);

}  // namespace elbo
