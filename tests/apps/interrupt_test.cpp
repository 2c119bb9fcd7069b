// Ctrl-C: the first asks, the second kills, and two within moments are one.
#include "apps/support/interrupt.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "tensor/sanitizers.h"

namespace elbo {
namespace {

/// How a process ends that runs `action`: its exit status, or minus the signal that killed it.
int end_of(const std::function<int()>& action) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);
    for (int signal_number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1}) ::signal(signal_number, SIG_DFL);
    ::_exit(action());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("one signal sets the flag, and the run goes on") {
    for (int signal_number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1}) {
      CAPTURE(signal_number);
      CHECK(end_of([&] {
              const InterruptGuard guard;
              if (interrupted() || interrupt_status() != 0) return 1;
              ::raise(signal_number);
              return interrupted() ? interrupt_status() : 2;
            }) == 128 + signal_number);
    }
  }

  TEST_CASE("a second signal kills, unless it comes at the same moment") {
    CHECK(end_of([] {
            const InterruptGuard guard;
            ::raise(SIGTERM);
            ::raise(SIGTERM);
            return 0;
          }) == 0);
#ifndef ELBO_TSAN  // which keeps signals to itself in the child of a process that has had several threads
    CHECK(end_of([] {
            const InterruptGuard guard;
            ::raise(SIGINT);
            ::usleep(400'000);
            ::raise(SIGINT);
            return 0;
          }) == -SIGINT);
#endif
  }

  TEST_CASE("signals that no person sends may come again, and before one that a person sends") {
    for (int signal_number : {SIGHUP, SIGPIPE, SIGUSR1}) {
      CAPTURE(signal_number);
      CHECK(end_of([&] {
              const InterruptGuard guard;
              ::raise(signal_number);
              ::usleep(400'000);
              ::raise(signal_number);
              ::raise(SIGTERM);  // what a cluster sends next
              return interrupt_status();
            }) == 128 + signal_number);
    }
  }

  TEST_CASE("writing to a pipe without a reader is a request to stop, and writing of that does no harm") {
    CHECK(end_of([] {
            int ends[2] = {};
            if (::pipe(ends) != 0) return 1;
            ::dup2(ends[1], STDERR_FILENO);
            ::close(ends[0]);
            const InterruptGuard guard;
            for (int i = 0; i < 3; ++i)
              if (::write(STDERR_FILENO, "x", 1) >= 0) return 2;
            return interrupt_status();
          }) == 128 + SIGPIPE);
  }

  TEST_CASE("a new guard starts afresh") {
    CHECK(end_of([] {
            {
              const InterruptGuard guard;
              ::raise(SIGINT);
            }
            const InterruptGuard guard;
            return interrupted() ? 1 : 0;
          }) == 0);
  }

  TEST_CASE("without the guard a signal does what it did before") {
    CHECK(end_of([] {
            { const InterruptGuard guard; }
            ::raise(SIGINT);
            return 0;
          }) == -SIGINT);
  }

  TEST_CASE("a signal that was ignored stays ignored, as under nohup") {
    CHECK(end_of([] {
            ::signal(SIGINT, SIG_IGN);
            const InterruptGuard guard;
            ::raise(SIGINT);
            return interrupted() ? 1 : 0;
          }) == 0);
  }
}

}  // namespace elbo
