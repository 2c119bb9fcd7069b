// interrupt: a signal asks a run to end well instead of killing it.
//
//   InterruptGuard guard;                   // from here on, the signals only set a flag
//   while (epoch < epochs && !interrupted()) ...
//   save_checkpoint();                      // the run ends with what it has
//
// The signals are SIGINT (Ctrl-C) and SIGTERM, of which a second kills at once; SIGHUP, of a terminal that is
// closed; SIGPIPE, of an output that nobody reads any more (| head); and SIGUSR1, which clusters send before
// a job's time is over. Uses POSIX signals; knows nothing of runs.
#pragma once

namespace elbo {

/// Catches those signals while it lives, but those that were ignored before; then restores what was there.
/// One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

/// Whether a signal has asked this process to stop since the guard was made.
bool interrupted();

/// Asks as a signal does, but says nothing: whoever calls it has its reasons.
void stop_this_process();

/// Exit status of a run that was stopped by a signal, as shells have it: 128 and the number of the first one,
/// 130 for SIGINT, 143 for SIGTERM; 0 when none came, or stop_this_process came first.
int interrupt_status();

}  // namespace elbo
