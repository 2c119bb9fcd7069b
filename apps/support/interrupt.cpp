#include "apps/support/interrupt.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

namespace elbo {
namespace {

// `timeout`, and shells with several processes in a group, deliver one request twice within moments.
constexpr int64_t kSameRequestNanoseconds = 300'000'000;

// A handler may touch lock-free atomics only.
std::atomic<int> received{0};
std::atomic<int64_t> received_at{0};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free);

struct sigaction before_int, before_term;

void handle(int signal_number) {
  const int saved_errno = errno;
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  const int64_t now = int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
  int none = 0;
  if (received.compare_exchange_strong(none, signal_number)) {
    received_at = now;
    constexpr char kMessage[] = "\nstopping after this step; press Ctrl-C again to stop at once\n";
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  } else if (now - received_at >= kSameRequestNanoseconds) {
    ::signal(signal_number, SIG_DFL);
    ::raise(signal_number);  // delivered as soon as this handler returns
  }
  errno = saved_errno;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  received = 0;
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;  // reads and writes under way go on
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &before_int);
  ::sigaction(SIGTERM, &action, &before_term);
  // Whoever started this process to go on regardless (nohup, a job in the background) still decides.
  if (before_int.sa_handler == SIG_IGN) ::sigaction(SIGINT, &before_int, nullptr);
  if (before_term.sa_handler == SIG_IGN) ::sigaction(SIGTERM, &before_term, nullptr);
}

InterruptGuard::~InterruptGuard() {
  ::sigaction(SIGINT, &before_int, nullptr);
  ::sigaction(SIGTERM, &before_term, nullptr);
}

bool interrupted() { return received.load(std::memory_order_relaxed) != 0; }

int interrupt_status() {
  const int signal_number = received;
  return signal_number ? 128 + signal_number : 0;
}

}  // namespace elbo
