// Processes that share a training, as threads of one: what they give each other goes through memory.
#pragma once

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstring>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "nn/all_reduce.h"

namespace elbo {

/// What all of them see.
struct Board {
  explicit Board(int64_t processes)
      : count(processes), all_there(processes), shown(static_cast<size_t>(processes)) {}
  int64_t count;
  std::barrier<> all_there;
  std::vector<std::vector<std::byte>> shown;
};

class ThreadAllReduce : public AllReduce {
 public:
  ThreadAllReduce(Board& board, int64_t rank, std::optional<bool> early = false)
      : AllReduce(rank, board.count, early), board_(board) {}
  void wait_for_all() override { board_.all_there.arrive_and_wait(); }

  bool asked = false;
  std::atomic<int> exchanges = 0;                           // begun
  std::chrono::milliseconds when_awake{0}, when_asleep{0};  // how long one takes

 protected:
  bool asked_to_stop() const override { return asked; }
  void exchange(const std::byte* mine, std::span<const int64_t> bounds, std::byte* all, Way way) override {
    ++exchanges;
    std::this_thread::sleep_for(way == Way::awake ? when_awake : when_asleep);
    show(mine, bounds.back());
    const auto r = static_cast<size_t>(rank());
    const int64_t begin = bounds[r], own = bounds[r + 1] - begin;
    for (size_t p = 0; p < board_.shown.size(); ++p, all += own)
      std::memcpy(all, board_.shown[p].data() + begin, static_cast<size_t>(own));
    wait_for_all();
  }
  void gather(std::byte* whole, std::span<const int64_t> bounds, Way) override {
    show(whole, bounds.back());
    for (size_t p = 0; p < board_.shown.size(); ++p)
      std::memcpy(whole + bounds[p], board_.shown[p].data() + bounds[p],
                  static_cast<size_t>(bounds[p + 1] - bounds[p]));
    wait_for_all();
  }

 private:
  void show(const std::byte* bytes, int64_t count) {
    board_.shown[static_cast<size_t>(rank())].assign(bytes, bytes + count);
    wait_for_all();
  }

  Board& board_;
};

/// Calls f(all_reduce) in so many threads, each with its own, whose gradients are sent early or not.
inline void in_processes(int64_t count, const std::function<void(ThreadAllReduce&)>& f,
                         std::optional<bool> early = false) {
  Board board(count);
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < count; ++rank)
    threads.emplace_back([&, rank] {
      ThreadAllReduce all_reduce(board, rank, early);
      f(all_reduce);
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace elbo
