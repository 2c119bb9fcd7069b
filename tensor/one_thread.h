// OneThread: keeps a library with OpenMP threads of its own, as oneDNN, on the thread that calls it.
#pragma once

namespace elbo {

/// While it lives, parallel regions of others that begin on this thread have one thread. parallel_for, which
/// says how many it wants, is not concerned.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace elbo
