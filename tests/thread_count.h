// ThreadCount: runs the rest of a test's scope with so many threads, whatever the machine has.
#pragma once

#include "tensor/parallel.h"

namespace elbo {

class ThreadCount {
 public:
  explicit ThreadCount(int count) : before_(threads()) { set_threads(count); }
  ~ThreadCount() { set_threads(before_); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  int before_;
};

}  // namespace elbo
