#include "apps/support/log.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

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

void keep_standard_streams() noexcept {
  // The system gives the lowest number that is free. Opened for reading, so that writing still fails.
  for (int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(stream, F_GETFD) < 0 && ::open("/dev/null", O_RDONLY) < 0) return;
}

}  // namespace elbo
