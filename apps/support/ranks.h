// Ranks: the processes that mpirun started together, on this machine or on several, and messages between
// them.
//
// MPI does the work (ranks_mpi_found.cpp); builds without it say that they cannot (ranks_mpi_missing.cpp).
// Waiting is the caller's: MPI's own would keep a core busy. Knows nothing of what is said.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace elbo {

struct RankMessage {
  int from = 0;
  std::string bytes;
};

/// One in a process, for as long as it has to do with the others: its end waits for theirs. Any thread may
/// call it.
class Ranks {
 public:
  /// Throws Error in builds without MPI.
  Ranks();
  ~Ranks();
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  int rank() const { return rank_; }    ///< from 0, the root
  int count() const { return count_; }  ///< 1 without mpirun
  int here() const { return here_; }    ///< how many of them are on this machine

  /// Returns when the bytes may be gone; the other must be receiving.
  void send(int to, std::string_view bytes);
  /// A message that has come.
  std::optional<RankMessage> receive();

  /// The one of this process; null: there is none.
  static Ranks* joined();

 private:
  std::mutex mutex_;
  int rank_ = 0, count_ = 1, here_ = 1;
};

}  // namespace elbo
