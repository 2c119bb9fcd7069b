#include "apps/support/log.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace elbo {

void log_line(std::string_view text) noexcept {
  const int saved_errno = errno;
  char line_break = '\n';
  iovec rest[] = {{const_cast<char*>(text.data()), text.size()}, {&line_break, 1}};
  int part = 0;
  while (part < 2) {
    const ssize_t written = ::writev(STDERR_FILENO, rest + part, 2 - part);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) break;
    auto count = static_cast<size_t>(written);
    for (; part < 2 && count >= rest[part].iov_len; ++part) count -= rest[part].iov_len;
    if (part == 2) break;
    rest[part].iov_base = static_cast<char*>(rest[part].iov_base) + count;
    rest[part].iov_len -= count;
  }
  errno = saved_errno;
}

Muted::Muted() noexcept : output_(::dup(STDOUT_FILENO)), errors_(::dup(STDERR_FILENO)) {
  std::fflush(stdout);
  const int nowhere = ::open("/dev/null", O_WRONLY);
  ::dup2(nowhere, STDOUT_FILENO);
  ::dup2(nowhere, STDERR_FILENO);
  ::close(nowhere);
}

Muted::~Muted() {
  std::fflush(stdout);
  ::dup2(output_, STDOUT_FILENO);
  ::dup2(errors_, STDERR_FILENO);
  ::close(output_);
  ::close(errors_);
}

void keep_standard_streams() noexcept {
  // The system gives the lowest number that is free. Opened for reading, so that writing still fails.
  for (int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(stream, F_GETFD) < 0 && ::open("/dev/null", O_RDONLY) < 0) return;
}

}  // namespace elbo
