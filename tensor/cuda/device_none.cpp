// A build without CUDA (device.h): there is no GPU, and errors say why.
#include "tensor/cuda/device.h"

#include "tensor/cuda/conv.h"
#include "tensor/cuda/gemm.h"
#include "tensor/error.h"

namespace elbo::cuda {

void choose(int) {}
bool available() { return false; }
const std::string& why_not() {
  static const std::string reason =
      "this build of elbo has no CUDA backend (ELBO_CUDA=OFF, or CUDA was not found)";
  return reason;
}
void require_available() { fail("[cuda] {}", why_not()); }
Description describe() { require_available(), __builtin_unreachable(); }
Identity identity() { require_available(), __builtin_unreachable(); }
const char* blas_name() { require_available(), __builtin_unreachable(); }
const char* cudnn_name() { require_available(), __builtin_unreachable(); }

void* allocate_bytes(size_t) { require_available(), __builtin_unreachable(); }
void free_bytes(void*) {}
void set_bounds(void*, size_t, size_t) {}
void* allocate_pinned(size_t) { require_available(), __builtin_unreachable(); }
void free_pinned(void*) {}
void copy_to_device(void*, const void*, size_t) { require_available(); }
void copy_to_host(void*, const void*, size_t) { require_available(); }
void copy_on_device(void*, const void*, size_t) { require_available(); }
void copy_pinned_to_device(void*, const void*, size_t) { require_available(); }
void copy_to_pinned(void*, const void*, size_t) { require_available(); }
void synchronize() {}

SideStream::SideStream() { require_available(); }
SideStream::~SideStream() {}
bool side_work_pending() { return false; }
bool on_side_stream() { return false; }
void join_side_stream() {}

Event::Event() { require_available(); }
Event::~Event() {}
void Event::record() {}
bool Event::done() const { return true; }
void Event::wait() const {}
double Event::milliseconds(const Event&, const Event&) { return 0; }

bool capturing() { return false; }
Graph::~Graph() {}
void Graph::begin() { require_available(); }
void Graph::end() {}
void Graph::abandon() {}
void Graph::replay() const {}
size_t Graph::nodes() const { return 0; }

}  // namespace elbo::cuda
