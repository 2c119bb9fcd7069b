// fetch: the files of a published data set, from the network into the folder where its loader looks.
//
// Uses datasets/published.h for what the files are and apps/support/download.h to get them.
#pragma once

#include <string>
#include <vector>

#include "datasets/published.h"

namespace elbo {

struct FetchOptions {
  std::string folder;                ///< made when it is not there
  std::vector<std::string> mirrors;  ///< in place of the data set's own, where there are any
  double patience = 30;              ///< seconds that a server may send nothing
  bool quiet = false;                ///< show no progress
};

struct FetchedFile {
  std::string path;
  std::string from;  ///< the URL; empty where it was there already
};

/// Leaves in the folder what the loader reads, and says where each published file came from; an archive is
/// unpacked and removed. What is there already and right is not fetched again. Throws Error, with the folder
/// as it was, when a mirror is no http or https address, the folder holds other files under these names or
/// under names that the loader would prefer, or another process fetches into it; and as `download` does,
/// which keeps what has come. A signal (interrupt.h) ends it like that, too.
std::vector<FetchedFile> fetch(const PublishedData& data, const FetchOptions& options);

}  // namespace elbo
