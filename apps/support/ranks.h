// Ranks: the processes that mpirun started together, on this machine or on several; messages between them,
// and what all of them do at once.
//
// MPI does the work (ranks_mpi_found.cpp); builds without it say that they cannot (ranks_mpi_missing.cpp).
// Waiting for messages is the caller's: MPI's own would keep a core busy. Knows nothing of what is said.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace elbo {

struct RankMessage {
  int from = 0;
  std::string bytes;
};

/// How a rank waits for the others: looking all the time, which costs a core and no time; or asleep between
/// two looks, which leaves the core to others.
enum class RankWaiting { awake, asleep };

/// One in a process, for as long as it has to do with the others: its end waits for theirs, and messages that
/// come until then are dropped. Any thread may call it.
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
  int at() const { return at_; }        ///< which of those this is, from 0

  /// Returns when the bytes may be gone; the other must be receiving.
  void send(int to, std::string_view bytes);
  /// A message that has come.
  std::optional<RankMessage> receive();

  // What every rank must call, with the same bounds; there are count() + 1 of them, in bytes, from 0 on.
  /// To rank p go the bytes of `mine` from bounds[p] on, up to bounds[p + 1]; to `all` come everybody's from
  /// bounds[rank()] on, one rank after another.
  void exchange(const std::byte* mine, std::span<const int64_t> bounds, std::byte* all, RankWaiting waiting);
  /// Of `whole`, this rank has the bytes from bounds[rank()] on, up to bounds[rank() + 1], and gets the
  /// others.
  void gather(std::byte* whole, std::span<const int64_t> bounds, RankWaiting waiting);
  /// Returns when all have called it; asleep until then.
  void wait_for_all();

  /// Ends all of them at once, with this exit status.
  [[noreturn]] void abort(int status);

  /// The one of this process; null: there is none.
  static Ranks* joined();
  /// Whether there can still be one: this build has MPI, and there was none so far.
  static bool can_join();

 private:
  std::mutex mutex_;
  int rank_ = 0, count_ = 1, here_ = 1, at_ = 0;
};

/// What started this process along with others, as it told in the environment, without a word to MPI.
struct Launched {
  int rank = 0, count = 1;
};
Launched launched();
/// Waits a moment in every rank but the root. Where all have the same error the root says it meanwhile, and
/// mpirun ends the others before they do.
void let_root_speak_first();

}  // namespace elbo
