// Lines on standard error: whole where it can be written, and no harm where it cannot.
#include "apps/support/log.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "tensor/file.h"
#include "tests/temporary_directory.h"

namespace elbo {
namespace {

/// How a process ends that runs `action`: its exit status, or minus the signal that killed it.
int end_of(const std::function<int()>& action) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(action());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("a line reaches standard error with its line break") {
    const TemporaryDirectory directory;
    CHECK(end_of([&] {
            ::dup2(::open((directory / "log").c_str(), O_WRONLY | O_CREAT, 0600), STDERR_FILENO);
            log_line("one");
            log_line("");
            log_line(std::string(100'000, 'x'));
            return 0;
          }) == 0);
    CHECK(read_file(directory / "log") == "one\n\n" + std::string(100'000, 'x') + "\n");
  }

  TEST_CASE("standard error that is closed, full or without a reader does no harm") {
    CHECK(end_of([] {
            ::close(STDERR_FILENO);
            log_line("lost");
            return 7;
          }) == 7);
    CHECK(end_of([] {
            ::dup2(::open("/dev/full", O_WRONLY), STDERR_FILENO);
            log_line("lost");
            return 7;
          }) == 7);
    CHECK(end_of([] {
            int ends[2] = {};
            if (::pipe(ends) != 0) return 1;
            ::dup2(ends[1], STDERR_FILENO);
            ::close(ends[0]);
            ::signal(SIGPIPE, SIG_IGN);
            errno = 0;
            log_line("lost");
            return errno == 0 ? 7 : 2;
          }) == 7);
  }

  TEST_CASE("no file takes the place of a standard stream that was closed") {
    CHECK(end_of([] {
            for (int stream : {0, 1, 2}) ::close(stream);
            keep_standard_streams();
            const int file = ::open("/dev/null", O_WRONLY);
            return file > 2 && ::write(1, "x", 1) < 0 && ::write(2, "x", 1) < 0 ? 7 : 1;
          }) == 7);
  }
}

}  // namespace elbo
