// download: a file of known size, from whichever of several servers has it.
//
// What has come so far stands beside the file's place as NAME.part, where the next attempt, at another server
// or on another day, goes on from. The file takes its name when all of it is there and it is the right one,
// so there is never half a file. Uses transfer.h; knows nothing of what is in the file.
//
//   download({.path = "data/x.gz", .urls = {"https://a.org/x.gz", "https://b.org/x.gz"}, .bytes = 4542,
//             .fault = [](const std::string& path) { return fault_of(path, sha256); }});
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace elbo {

struct Download {
  std::string path;               ///< the file's; its folder is there, and nobody else writes to it
  std::vector<std::string> urls;  ///< the same file on different servers, tried in turn
  uint64_t bytes = 0;             ///< its size, more than 0
  /// Why the file of that size at `path` is not the right one; empty: it is.
  std::function<std::string(const std::string& path)> fault;
  double patience = 30;  ///< seconds that a server may send nothing
  /// Told how many bytes there are, at least once a second; returning false gives up, which is an Error.
  std::function<bool(uint64_t done)> progress = {};
  /// Told, in one line, why a server was given up.
  std::function<void(const std::string& line)> note = {};
};

/// Returns the URL that the end of the file came from; empty where a NAME.part was whole already. A server
/// that breaks off is asked for the rest as long as that brings bytes. A file that is wrong is deleted; if it
/// was begun earlier, the server is asked for all of it before the next one's turn. Throws Error when no
/// server has the file, saying why of each, when the disk will not take it, and when `progress` gives up.
std::string download(const Download& what);

}  // namespace elbo
