#include "datasets/prefetcher.h"

#include "tensor/error.h"

namespace elbo {

Prefetcher::Prefetcher(int slots, Fill fill) : slots_(slots), fill_(std::move(fill)) {
  if (slots <= kHeldSlots) fail("[prefetcher] needs more than {} slots, got {}", kHeldSlots, slots);
  thread_ = std::thread([this] { run(); });
}

Prefetcher::~Prefetcher() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wanted_.notify_one();
  thread_.join();
}

void Prefetcher::run() {
  const auto most_ahead = static_cast<uint64_t>(slots_ - kHeldSlots);
  std::unique_lock lock(mutex_);
  while (true) {
    wanted_.wait(lock, [&] { return stop_ || (!error_ && filled_count_ - taken_count_ < most_ahead); });
    if (stop_) return;
    const uint64_t seeks = seeks_;
    const int64_t item = next_item_;
    const int slot = static_cast<int>(filled_count_ % static_cast<uint64_t>(slots_));
    std::exception_ptr error;
    lock.unlock();
    try {
      fill_(item, slot);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (seeks != seeks_) continue;  // the caller wants something else by now
    error_ = error;
    if (!error) {
      ++filled_count_;
      ++next_item_;
    }
    filled_.notify_one();
  }
}

int Prefetcher::next() {
  std::unique_lock lock(mutex_);
  filled_.wait(lock, [&] { return filled_count_ > taken_count_ || error_; });
  if (filled_count_ == taken_count_) std::rethrow_exception(error_);
  const int slot = static_cast<int>(taken_count_ % static_cast<uint64_t>(slots_));
  ++taken_count_;
  wanted_.notify_one();
  return slot;
}

void Prefetcher::seek(int64_t item) {
  const std::lock_guard lock(mutex_);
  filled_count_ = taken_count_;
  next_item_ = item;
  error_ = nullptr;
  ++seeks_;
  wanted_.notify_one();
}

}  // namespace elbo
