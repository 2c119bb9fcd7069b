#include "apps/support/interrupt.h"

#include <signal.h>
#include <time.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>

#include "apps/support/log.h"

namespace elbo {
namespace {

// `timeout`, and shells with several processes in a group, deliver one request twice within moments.
constexpr int64_t kSameRequestNanoseconds = 300'000'000;

/// A signal that asks a run to end, and what is said when it is the first.
struct Request {
  int signal_number;
  bool again_kills;  ///< a person sends it, and may lose patience; the others can come on and on
  const char* says;
};
constexpr const char* kByPerson = "\nstopping after this step; press Ctrl-C again to stop at once";
constexpr std::array kRequests{
    Request{SIGINT, true, kByPerson}, Request{SIGTERM, true, kByPerson},
    Request{SIGHUP, false, "\nthe terminal has gone: stopping after this step"},
    Request{SIGPIPE, false, "\nnobody reads the output any more: stopping after this step"},
    Request{SIGUSR1, false, "\nSIGUSR1, the end is near: stopping after this step"}};

// A handler may touch lock-free atomics only.
constexpr int kByProgram = -1;
std::atomic<int> received{0};                // a signal's number, kByProgram, or none
std::atomic<int64_t> asked_by_person_at{0};  // 0: not yet
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free);

std::array<struct sigaction, kRequests.size()> before;

int64_t now_nanoseconds() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

void handle(int signal_number) {
  const int saved_errno = errno;
  const Request* request = nullptr;
  for (const Request& r : kRequests)
    if (r.signal_number == signal_number) request = &r;
  int none = 0;
  if (received.compare_exchange_strong(none, signal_number)) log_line(request->says);
  if (request->again_kills) {
    const int64_t now = now_nanoseconds();
    int64_t not_yet = 0;
    if (!asked_by_person_at.compare_exchange_strong(not_yet, now) &&
        now - asked_by_person_at >= kSameRequestNanoseconds) {
      ::signal(signal_number, SIG_DFL);
      ::raise(signal_number);  // delivered as soon as this handler returns
    }
  }
  errno = saved_errno;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  received = 0;
  asked_by_person_at = 0;
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;  // reads and writes under way go on
  ::sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < kRequests.size(); ++i) {
    ::sigaction(kRequests[i].signal_number, &action, &before[i]);
    // Whoever started this process to go on regardless (nohup, a job in the background) still decides.
    if (before[i].sa_handler == SIG_IGN) ::sigaction(kRequests[i].signal_number, &before[i], nullptr);
  }
}

InterruptGuard::~InterruptGuard() {
  for (size_t i = 0; i < kRequests.size(); ++i) ::sigaction(kRequests[i].signal_number, &before[i], nullptr);
}

bool interrupted() { return received.load(std::memory_order_relaxed) != 0; }

void stop_this_process() {
  int none = 0;
  received.compare_exchange_strong(none, kByProgram);
}

int interrupt_status() {
  const int signal_number = received;
  return signal_number > 0 ? 128 + signal_number : 0;
}

}  // namespace elbo
