// Prefetcher: one thread that stays a few items ahead of its caller, in a fixed ring of slots.
//
// Item n is whatever `fill(n, slot)` puts into that slot; the prefetcher neither knows nor owns it. Every
// piece of shared state is behind one mutex. `fill` runs outside the mutex, on a slot that the protocol gives
// to nobody else: written before the slot is published, read after. Uses the standard library only.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace elbo {

class Prefetcher {
 public:
  /// Slots that the caller may still be looking at: that of the last `next` and of the one before, so that
  /// `batch = loader.next()` lets go of the old one before it is filled again.
  static constexpr int kHeldSlots = 2;
  using Fill = std::function<void(int64_t item, int slot)>;

  /// Starts the thread, which fills item 0, 1, ... into slots 0..slots-1 in turn; slots > kHeldSlots.
  Prefetcher(int slots, Fill fill);
  ~Prefetcher();  ///< at any time; waits for a fill that is under way
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// Waits for the next item and returns its slot, which stays the caller's for this and the following call.
  /// Rethrows what `fill` threw for that item, every time until `seek`.
  int next();
  /// The next item is `item`; what was filled ahead is thrown away.
  void seek(int64_t item);

 private:
  void run();

  const int slots_;
  const Fill fill_;
  std::mutex mutex_;
  std::condition_variable filled_, wanted_;
  uint64_t filled_count_ = 0, taken_count_ = 0;  // over the whole life; count % slots_ is the slot
  int64_t next_item_ = 0;                        // what the thread fills next
  uint64_t seeks_ = 0;                           // tells a fill that it was overtaken by a seek
  std::exception_ptr error_;
  bool stop_ = false;
  std::thread thread_;  // last: it starts when everything above is there
};

}  // namespace elbo
