// interrupt: Ctrl-C asks a run to end well instead of killing it.
//
//   InterruptGuard guard;                   // from here on, SIGINT and SIGTERM only set a flag
//   while (epoch < epochs && !interrupted()) ...
//   save_checkpoint();                      // the run ends with what it has
//
// A second signal kills at once. Uses POSIX signals; knows nothing of runs.
#pragma once

namespace elbo {

/// Catches SIGINT and SIGTERM while it lives, then restores what was there. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

/// Whether a signal has asked this process to stop since the guard was made.
bool interrupted();

/// Exit status of a run that was stopped by the signal, as shells have it: 130 for SIGINT, 143 for SIGTERM; 0
/// when none came.
int interrupt_status();

}  // namespace elbo
