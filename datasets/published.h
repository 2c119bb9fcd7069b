// published: the data sets that can be fetched: where their files are to be had, and by what they are known.
//
// Sizes and SHA-256 are those of the files as their authors published them, the same in every copy. Fetching
// them is another's work (apps/training/fetch.h); here is what there is, and what of it is on this machine.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/tar.h"

namespace elbo {

struct PublishedFile {
  std::string name;
  uint64_t bytes = 0;
  std::string sha256;
};

struct PublishedData {
  std::string name;                    ///< in a specification, and of its folder: "fashion-mnist"
  std::string title;                   ///< "Fashion-MNIST"
  int64_t train = 0, test = 0;         ///< points of each split
  std::vector<std::string> mirrors;    ///< addresses of folders that hold the files, best first
  std::vector<PublishedFile> files;    ///< as they are read; or one archive of
  std::vector<ArchiveMember> members;  ///< the files that are read; empty: it is none
  std::optional<std::string> (*find)();
  int64_t (*count)(const std::string& folder, Split split);
};

/// MNIST, Fashion-MNIST, KMNIST and CIFAR-10.
std::span<const PublishedData> published_data();
/// The one of that name. Throws Error when there is none, naming those that there are.
const PublishedData& published_data(std::string_view name);

/// Why the file at `path` is not the published one: its size or its SHA-256; empty: it is.
std::string fault_of(const PublishedFile& file, const std::string& path);

/// What of a data set `--data` would find.
struct FoundPublished {
  std::optional<std::string> folder;  ///< nothing when there is none
  int64_t train = 0, test = 0;        ///< points of each split there
  std::string fault;                  ///< why its files cannot be read; empty: they can

  bool complete(const PublishedData& data) const {
    return fault.empty() && train >= data.train && test >= data.test;
  }
};
FoundPublished find_published(const PublishedData& data);

}  // namespace elbo
