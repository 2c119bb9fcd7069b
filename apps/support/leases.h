// Leases: named pieces of work, of which each is one process's at a time, on this machine or on others that
// share a file system.
//
//   Leases leases(run + "/running", 60);
//   if (auto lease = leases.take("k-50")) {         // null: somebody is at it
//     while (work()) lease->say(share, text);       // for whoever asks how far it is
//     if (!lease->lost()) publish();
//     lease->finish();
//   }                                               // else it is for others to take
//
// A lease is a file, "k-50.1.claim", that only one process can make; whoever takes the work over makes
// "k-50.2.claim", and so on: the highest number has it. Its holder says some times in each lease that it
// lives, by rewriting a counter. A holder of this machine whose process is gone has lost it at once. Any
// other has when a process has seen its file unchanged for the lease's length, while it was looking and by
// its own steady clock: no two machines' clocks are ever compared, and being stopped (SIGSTOP) together is
// not being dead. A holder that was stopped for longer and wakes finds the higher number. Uses POSIX; knows
// nothing of the work.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace elbo {

/// How often a holder says that it lives while a lease goes by.
inline constexpr int kBeatsPerLease = 6;

/// This machine, as a lease's file names it.
std::string host_name();

/// What a lease's file says.
struct LeaseReport {
  std::string name;
  int number = 0;
  std::string host;    ///< empty: the file does not say (yet)
  std::string worker;  ///< which of the processes there: "process 4711", "rank 2 on b"
  std::string since;   ///< UTC, by the holder's clock
  double seconds = 0;  ///< since then, by its steady clock
  double share = 0;    ///< how far it is, from 0 to 1
  std::string text;
  bool let_go = false;  ///< by its holder
  bool dead = false;    ///< the holder was a process of this machine, and is gone
};

class Lease {
 public:
  ~Lease();  ///< lets others have it, unless it is finished
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  const std::string& name() const { return name_; }
  int number() const { return number_; }
  /// Whether somebody has taken it over. Looks into the folder.
  bool lost();
  /// Whether that was known when it was last looked at; costs nothing.
  bool known_lost() const { return known_lost_.load(std::memory_order_relaxed); }
  /// How far the work is. `text` is called only when it is going to be written.
  void say(double share, const std::function<std::string()>& text);
  /// The work is done and published: removes every claim on it.
  void finish();

 private:
  friend class Leases;
  Lease(std::string folder, std::string name, int number, double length, std::string worker);
  std::string file() const;
  void write();
  void beat();
  void stop_beating();

  std::string folder_, name_;
  int number_;
  double length_;
  std::string worker_, since_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::mutex mutex_;  // of what follows
  std::condition_variable wake_;
  int64_t beats_ = 0;
  double share_ = 0;
  std::string text_;
  bool ends_ = false, let_go_ = false, finished_ = false;
  std::atomic<bool> known_lost_ = false, wants_text_ = true;
  std::thread heart_;
};

class Leases {
 public:
  /// The folder is made when something is taken. `length` in seconds is how long others wait for a sign of
  /// life of what this process takes.
  Leases(std::string folder, double length);

  /// Null where somebody has it. Throws Error where it cannot be taken, as on a full disk. `worker`, where it
  /// is not this process, is who the work is given to.
  std::unique_ptr<Lease> take(const std::string& name, const std::string& worker = "");
  /// Whether the holder of that number let go or is known to be dead: it touches nothing any more. One that
  /// only keeps silent may wake.
  bool is_over(const std::string& name, int number) const;
  double length() const { return length_; }

 private:
  struct Seen {
    std::string bytes;
    double silent = 0;  // seconds
    std::chrono::steady_clock::time_point looked_at;
  };
  bool is_held(const std::string& name, int number);

  std::string folder_;
  double length_;
  std::map<std::string, Seen> seen_;  // by file
};

/// The lease of the highest number of every name, by name; none where there is no folder.
std::vector<LeaseReport> read_leases(const std::string& folder);
/// The highest number of a name's claims; 0: none.
int last_lease(const std::string& folder, const std::string& name);

}  // namespace elbo
