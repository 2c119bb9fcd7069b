// OneThread: runs a scope on one thread, where results that must agree do so bit for bit.
#pragma once

#include "tensor/parallel.h"

namespace elbo {

class OneThread {
 public:
  OneThread() : before_(threads()) { set_threads(1); }
  ~OneThread() { set_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace elbo
