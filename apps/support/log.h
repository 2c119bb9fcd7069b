// log: what the program says along the way, on standard error.
//
//   log_line("elbo: 3 files were skipped");
//   log_line(fmt::format("stopped after {} steps", steps));
//
// A log that is closed, full or broken off must not end the work it tells of, nor spoil the handling of an
// error: what cannot be written is lost, and that is all.
#pragma once

#include <string_view>

namespace elbo {

/// Writes the text and a line break to standard error, at once. Never throws.
void log_line(std::string_view text) noexcept;

/// While it lives, nothing that this process says is heard: not on standard output, nor on standard error.
class Muted {
 public:
  Muted() noexcept;
  ~Muted();
  Muted(const Muted&) = delete;
  Muted& operator=(const Muted&) = delete;

 private:
  int output_, errors_;  // where they led before
};

/// Opens those of the three standard streams that are closed, so that no file of the program's can become one
/// of them and be written into. To be called before any file is opened. What is then written to them is
/// refused by the system, as it was when they were closed.
void keep_standard_streams() noexcept;

}  // namespace elbo
