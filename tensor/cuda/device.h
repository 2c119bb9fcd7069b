// The GPU as the rest of tensor/ sees it: memory, one stream of work with a side stream, events, captured
// graphs.
//
// One of three files stands behind these declarations: device_cuda.cpp (CUDA's runtime), device_none.cpp (a
// build without CUDA) or device_emulated.cpp (the same promises kept on the host, for tests where there is no
// GPU). No other header of elbo shows CUDA's own, but kernel.h, which kernels are written with.
//
// Work is enqueued on the main stream and runs in the order in which it was enqueued, while the host goes on.
// Freed memory is handed out again at once, as its next user works later in the same stream. All calls come
// from one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace elbo::cuda {

/// Of several GPUs this process uses number `number`, counted around. Before anything asks for one.
void choose(int number);
/// Whether this process can use a GPU; the first call finds out. If not, `why_not` gives the reason in one
/// clause.
bool available();
const std::string& why_not();
/// Throws Error with that reason, unless there is a GPU.
void require_available();

/// What `elbo info` and provenance say of the GPU. Throws unless there is one.
struct Description {
  std::string name;        ///< "NVIDIA H200"
  std::string capability;  ///< "9.0"
  int multiprocessors = 0;
  size_t memory = 0, free = 0;  ///< bytes
  std::string driver, runtime;  ///< "13.0"
  bool emulated = false;
};
Description describe();
/// Differs between any two GPUs, of whatever machines.
using Identity = std::array<unsigned char, 16>;
Identity identity();
/// Multiprocessors of the GPU: how many blocks keep it busy.
int multiprocessors();

// Memory. An allocation returns null where there is no room.
void* allocate_bytes(size_t bytes);
void free_bytes(void* memory);
/// The same of what is never given back, such as memory for a library to work in: where there is no room,
/// cached blocks (memory.h) make some.
void* allocate_for_good(size_t bytes);
/// From here on in the stream, work may touch only the first `bytes` of a block of `capacity`. An emulated
/// GPU checks this under AddressSanitizer; on a real GPU use compute-sanitizer.
void set_bounds(void* memory, size_t bytes, size_t capacity);
/// Host memory that copies read and write while the host goes on.
void* allocate_pinned(size_t bytes);
void free_pinned(void* memory);

/// Copies host memory, which may change as soon as this returns. Not while a graph is captured: its replays
/// would not see what the host writes later.
void copy_to_device(void* to, const void* from, size_t bytes);
/// Copies to host memory and waits for it.
void copy_to_host(void* to, const void* from, size_t bytes);
void copy_on_device(void* to, const void* from, size_t bytes);
/// The same from and to pinned memory, which is read and written when its turn in the stream comes.
void copy_pinned_to_device(void* to, const void* from, size_t bytes);
void copy_to_pinned(void* to, const void* from, size_t bytes);
void zero_bytes(void* memory, size_t bytes);
/// Waits until everything enqueued is done, on both streams. Throws what went wrong in a kernel.
void synchronize();

/// The stream (a cudaStream_t) on which work is enqueued now.
void* stream();

/// Until the end of its scope, work goes to the side stream. This work sees everything that was enqueued
/// before, and runs beside what the main stream gets after the scope. Nothing may rely on its results before
/// `join_side_stream`; device memory that is freed in the meantime is kept until then. A join within the
/// scope waits for the work enqueued so far.
class SideStream {
 public:
  SideStream();
  ~SideStream();
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;
};
bool side_work_pending();
bool on_side_stream();
void join_side_stream();

/// A point in the main stream.
class Event {
 public:
  Event();
  ~Event();
  Event(Event&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  void record();
  bool done() const;  ///< also true for one never recorded
  void wait() const;
  /// Between two recorded and finished events, in milliseconds.
  static double milliseconds(const Event& begin, const Event& end);

 private:
  void* handle_ = nullptr;
};

/// Whether `Graph::capture` is recording work instead of running it.
bool capturing();

/// Work recorded once and run many times, with the launch cost of one kernel. Values that the host passed are
/// frozen in the graph; what changes from replay to replay must lie in device memory. Device memory that was
/// allocated during the capture belongs to the graph until the graph is destroyed.
class Graph {
 public:
  Graph() = default;
  ~Graph();
  Graph(Graph&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)), pool_(other.pool_) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(pool_, other.pool_);
    return *this;
  }

  /// Records what `work` enqueues. `work` must have run once before, so that nothing in it is done for the
  /// first time.
  template <class Work>
  static Graph capture(const Work& work) {
    Graph graph;
    graph.begin();
    try {
      work();
      graph.end();
    } catch (...) {
      graph.abandon();
      throw;
    }
    return graph;
  }
  /// Enqueues everything recorded.
  void replay() const;
  /// Kernels, copies and fills in it.
  size_t nodes() const;

 private:
  void begin();
  void end();
  void abandon();
  void* handle_ = nullptr;
  uint32_t pool_ = 0;  // of memory.cpp
};

}  // namespace elbo::cuda
