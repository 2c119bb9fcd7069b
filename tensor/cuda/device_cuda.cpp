// The GPU of CUDA builds (device.h), on CUDA's runtime.
#include "tensor/cuda/device.h"

#include <cstring>
#include <map>
#include <utility>

#include "tensor/cuda/kernel.h"
#include "tensor/memory.h"

namespace elbo::cuda {
namespace {

__global__ void probe() {}

std::string clause_of(cudaError_t error, const char* what) {
  return fmt::format("{}: {} ({})", what, cudaGetErrorString(error), cudaGetErrorName(error));
}
void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) fail("[cuda] {}", clause_of(error, what));
}

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

int chosen = 0;

struct Gpu {
  std::string why_not;  // empty: there is one
  cudaDeviceProp properties{};
  int driver = 0, runtime = 0;
  cudaStream_t main = nullptr, side = nullptr, now = nullptr;
  cudaEvent_t forked = nullptr, joined = nullptr;

  Gpu() {
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    int count = 0;
    // The error first: without a driver the count is left as it was.
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0) {
      const std::string what = error != cudaSuccess ? cudaGetErrorString(error) : "no NVIDIA GPU was found";
      why_not = driver == 0 ? fmt::format("this machine has no NVIDIA driver ({})", what)
                            : fmt::format("{}; the driver is for CUDA {}, this build for {}", what,
                                          version_text(driver), version_text(runtime));
      cudaGetLastError();
      return;
    }
    cudaFuncAttributes attributes{};
    const int number = chosen % count;
    // The code is asked for here, and not in the first training step.
    if (works(cudaSetDevice(number), "the GPU cannot be used") &&
        works(cudaGetDeviceProperties(&properties, number), "the GPU does not say what it is") &&
        works(cudaFuncGetAttributes(&attributes, probe), "this build has no code for this GPU") &&
        works(cudaStreamCreateWithFlags(&main, cudaStreamNonBlocking), "no stream") &&
        works(cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking), "no stream") &&
        works(cudaEventCreateWithFlags(&forked, cudaEventDisableTiming), "no event") &&
        works(cudaEventCreateWithFlags(&joined, cudaEventDisableTiming), "no event"))
      now = main;
  }

  /// Keeps what went wrong as one clause: whoever throws it says where.
  bool works(cudaError_t error, const char* what) {
    if (error != cudaSuccess) why_not = clause_of(error, what);
    return error == cudaSuccess;
  }
};

// Apart from the rest, so that asking for them on the way does not look for a GPU.
bool side_is_pending = false, is_capturing = false;

// Never destroyed: tensors with static lifetime may return their memory after main has ended.
Gpu& gpu() {
  static Gpu* instance = new Gpu;
  return *instance;
}

Gpu& present() {
  require_available();
  return gpu();
}

void copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, const char* what) {
  if (bytes > 0) check(cudaMemcpyAsync(to, from, bytes, kind, present().now), what);
}

struct Recorded {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  size_t nodes = 0;
  ~Recorded() {
    if (executable) cudaGraphExecDestroy(executable);
    if (graph) cudaGraphDestroy(graph);
  }
};

}  // namespace

void choose(int number) { chosen = number; }
bool available() { return gpu().why_not.empty(); }
const std::string& why_not() { return gpu().why_not; }
void require_available() {
  if (!available()) fail("[cuda] {}", why_not());
}

Description describe() {
  Gpu& g = present();
  Description d{.name = g.properties.name,
                .capability = fmt::format("{}.{}", g.properties.major, g.properties.minor),
                .multiprocessors = g.properties.multiProcessorCount,
                .memory = 0,
                .free = 0,
                .driver = version_text(g.driver),
                .runtime = version_text(g.runtime),
                .emulated = false};
  check(cudaMemGetInfo(&d.free, &d.memory), "the GPU does not say how much memory it has");
  return d;
}
Identity identity() {
  Identity identity;
  std::memcpy(identity.data(), &present().properties.uuid, identity.size());
  return identity;
}
int multiprocessors() { return present().properties.multiProcessorCount; }

void* allocate_bytes(size_t bytes) {
  present();
  // A capture forbids this to a thread by default, as it might be meant to be captured. It is not.
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  check(cudaThreadExchangeStreamCaptureMode(&mode), "capture mode");
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  cudaThreadExchangeStreamCaptureMode(&mode);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  check(error, "no memory");
  return memory;
}
void free_bytes(void* memory) {
  check(cudaStreamSynchronize(present().main), "a kernel failed");
  check(cudaFree(memory), "freeing memory");
}

void set_bounds(void*, size_t, size_t) {}

void* allocate_pinned(size_t bytes) {
  present();
  void* memory = nullptr;
  check(cudaMallocHost(&memory, bytes > 0 ? bytes : 1), "no pinned memory");
  return memory;
}
void free_pinned(void* memory) {
  cudaStreamSynchronize(gpu().main);
  cudaFreeHost(memory);
}

void copy_to_device(void* to, const void* from, size_t bytes) {
  if (capturing()) fail("[cuda] host data cannot enter a captured step; put them on the device before");
  copy(to, from, bytes, cudaMemcpyHostToDevice, "copying to the GPU");
  // Where the GPU reads the host's memory itself, nothing is staged, and the copy reads it in its turn.
  if (gpu().properties.pageableMemoryAccessUsesHostPageTables != 0)
    check(cudaStreamSynchronize(gpu().now), "a kernel failed");
}
void copy_to_host(void* to, const void* from, size_t bytes) {
  if (capturing()) fail("[cuda] results cannot be read while a step is captured");
  copy(to, from, bytes, cudaMemcpyDeviceToHost, "copying from the GPU");
  synchronize();
}
void copy_on_device(void* to, const void* from, size_t bytes) {
  copy(to, from, bytes, cudaMemcpyDeviceToDevice, "copying on the GPU");
}
void copy_pinned_to_device(void* to, const void* from, size_t bytes) {
  copy(to, from, bytes, cudaMemcpyHostToDevice, "copying to the GPU");
}
void copy_to_pinned(void* to, const void* from, size_t bytes) {
  copy(to, from, bytes, cudaMemcpyDeviceToHost, "copying from the GPU");
}
void zero_bytes(void* memory, size_t bytes) {
  if (bytes > 0) check(cudaMemsetAsync(memory, 0, bytes, present().now), "zeroing memory");
}
void synchronize() {
  if (capturing()) fail("[cuda] a captured step cannot wait for its results");
  if (!available()) return;
  join_side_stream();
  check(cudaStreamSynchronize(gpu().main), "a kernel failed");
}

void* stream() { return present().now; }

bool can_start_early(const void* kernel) {
  static auto* const known = new std::map<const void*, bool>;
  const auto [found, is_new] = known->try_emplace(kernel, false);
  if (is_new) {
    const Gpu& g = present();
    cudaFuncAttributes attributes{};
    // In graphs since CUDA 12.3. Code for older GPUs, from which the driver made this, would not wait.
    found->second = g.properties.major >= 9 && g.driver >= 12030 && g.runtime >= 12030 &&
                    cudaFuncGetAttributes(&attributes, kernel) == cudaSuccess && attributes.ptxVersion >= 90;
  }
  return found->second;
}

SideStream::SideStream() {
  Gpu& g = present();
  check(cudaEventRecord(g.forked, g.main), "forking the stream");
  check(cudaStreamWaitEvent(g.side, g.forked, 0), "forking the stream");
  g.now = g.side;
  side_is_pending = true;
}
SideStream::~SideStream() { gpu().now = gpu().main; }
bool side_work_pending() { return side_is_pending; }
bool on_side_stream() { return side_is_pending && gpu().now == gpu().side; }
void join_side_stream() {
  if (!side_is_pending) return;
  Gpu& g = gpu();
  check(cudaEventRecord(g.joined, g.side), "joining the streams");
  check(cudaStreamWaitEvent(g.main, g.joined, 0), "joining the streams");
  side_is_pending = g.now == g.side;  // within a SideStream's scope, more will follow
  release_deferred_memory();
}

Event::Event() {
  present();
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "no event");
  handle_ = event;
}
Event::~Event() {
  if (handle_) cudaEventDestroy(static_cast<cudaEvent_t>(handle_));
}
void Event::record() {
  check(cudaEventRecord(static_cast<cudaEvent_t>(handle_), gpu().main), "recording an event");
}
bool Event::done() const {
  const cudaError_t state = cudaEventQuery(static_cast<cudaEvent_t>(handle_));
  if (state != cudaErrorNotReady) check(state, "a kernel failed");
  return state == cudaSuccess;
}
void Event::wait() const {
  check(cudaEventSynchronize(static_cast<cudaEvent_t>(handle_)), "a kernel failed");
}
double Event::milliseconds(const Event& begin, const Event& end) {
  float ms = 0;
  check(cudaEventElapsedTime(&ms, static_cast<cudaEvent_t>(begin.handle_),
                             static_cast<cudaEvent_t>(end.handle_)),
        "timing");
  return static_cast<double>(ms);
}

bool capturing() { return is_capturing; }

Graph::~Graph() {
  if (!handle_) return;
  cudaStreamSynchronize(gpu().main);
  delete static_cast<Recorded*>(handle_);
  dissolve_memory_pool(pool_);
}

void Graph::begin() {
  Gpu& g = present();
  if (is_capturing) fail("[cuda] a graph is being captured already");
  synchronize();
  check(cudaStreamBeginCapture(g.main, cudaStreamCaptureModeThreadLocal), "capturing");
  is_capturing = true;
  pool_ = begin_memory_pool();
  handle_ = new Recorded;
}

void Graph::end() {
  Gpu& g = gpu();
  auto& recorded = *static_cast<Recorded*>(handle_);
  const bool unjoined = side_is_pending;
  join_side_stream();  // or the capture could not end
  is_capturing = false;
  end_memory_pool();
  check(cudaStreamEndCapture(g.main, &recorded.graph), "capturing");
  if (unjoined) fail("[cuda] a captured step must join its side stream");
  check(cudaGraphGetNodes(recorded.graph, nullptr, &recorded.nodes), "capturing");
  check(cudaGraphInstantiate(&recorded.executable, recorded.graph, 0), "instantiating a graph");
  check(cudaGraphUpload(recorded.executable, g.main), "uploading a graph");
}

void Graph::abandon() {
  Gpu& g = gpu();
  if (!is_capturing) return;
  g.now = g.main;
  side_is_pending = false;
  is_capturing = false;
  release_deferred_memory();
  end_memory_pool();
  cudaGraph_t unfinished = nullptr;
  cudaStreamEndCapture(g.main, &unfinished);
  if (unfinished) cudaGraphDestroy(unfinished);
  cudaGetLastError();
}

void Graph::replay() const {
  join_side_stream();
  check(cudaGraphLaunch(static_cast<const Recorded*>(handle_)->executable, gpu().main), "replaying a step");
}
size_t Graph::nodes() const { return static_cast<const Recorded*>(handle_)->nodes; }

}  // namespace elbo::cuda
