// The GPU of emulated builds (device.h): streams are queues of closures, a graph is a list of them, threads
// are fibers.
//
// It is strict where a GPU would be lenient by luck. Work waits in its queue until the host asks for results,
// so that reading too early shows; pinned memory is read when the copy's turn comes; a side stream runs
// before or after the main one as tests choose; device memory is out of bounds for host code; fresh device
// memory holds signalling garbage.
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "tensor/cuda/device.h"
#include "tensor/cuda/emulation.h"
#include "tensor/error.h"
#include "tensor/memory.h"
#include "tensor/sanitizers.h"

#ifdef ELBO_ASAN
#  include <sanitizer/asan_interface.h>
#  include <sanitizer/common_interface_defs.h>
#endif
#ifdef ELBO_TSAN
#  include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace elbo::cuda {
namespace emulation {

Place* current = nullptr;
dim3 block_dimensions, grid_dimensions;

namespace {

Settings settings;

/// All device memory: one stretch of address space that is open while kernels and copies run.
class DeviceMemory {
 public:
  DeviceMemory() {
    void* base = ::mmap(nullptr, kSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) fail("[emulation] no address space for device memory");
    base_ = static_cast<std::byte*>(base);
  }

  void* take(size_t bytes) {
    bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    const auto reusable = freed_.find(bytes);
    if (reusable != freed_.end()) {
      void* memory = reusable->second;
      freed_.erase(reusable);
      taken_[memory] = bytes;
      return memory;
    }
    if (used_ + bytes > kSize) return nullptr;
    std::byte* memory = base_ + used_;
    used_ += bytes;
    taken_[memory] = bytes;
    const Opened opened(*this);
#ifdef ELBO_ASAN
    ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
#endif
    std::memset(memory, 0xFF, bytes);  // NaN in every floating type
    return memory;
  }
  void give_back(void* memory) {
    const auto found = taken_.find(memory);
    if (found == taken_.end()) fail("[emulation] freed memory that was not allocated");
    freed_.emplace(found->second, memory);
    taken_.erase(found);
  }

  /// While one lives, the memory can be touched.
  class Opened {
   public:
    explicit Opened(DeviceMemory& memory) : memory_(memory) {
      if (memory_.openings_++ == 0) memory_.protect(PROT_READ | PROT_WRITE);
    }
    ~Opened() {
      if (--memory_.openings_ == 0) memory_.protect(PROT_NONE);
    }

   private:
    DeviceMemory& memory_;
  };

 private:
  static constexpr size_t kSize = size_t{4} << 30, kAlignment = 256;
  void protect(int how) const {
    const size_t page = 4096, whole = std::min(kSize, (used_ + page - 1) / page * page);
    if (whole > 0) ::mprotect(base_, whole, how);
  }
  std::byte* base_ = nullptr;
  size_t used_ = 0;
  int openings_ = 0;
  std::map<void*, size_t> taken_;
  std::multimap<size_t, void*> freed_;
};

DeviceMemory& device_memory() {
  static auto* memory = new DeviceMemory;
  return *memory;
}

/// While on, TSan does not look at what this thread or fiber does: the bookkeeping that all fibers share is
/// no race.
void look_away([[maybe_unused]] bool on) {
#ifdef ELBO_TSAN
  if (on) {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  } else {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
#endif
}

// Fibers. One runs thread after thread of a block until a thread waits at a barrier, which then keeps it;
// others take the rest. TSan would see the threads of one fiber as ordered: for it every thread has its own.

#ifdef ELBO_TSAN
constexpr bool kFiberForEachThread = true;
#else
constexpr bool kFiberForEachThread = false;
#endif

/// Where a stack was left. glibc's swapcontext asks the system for the signals' mask every time, which takes
/// longer than what most threads do. The compiler's own setjmp does not; nor does ASan clear the stack's
/// shadow before it, as before the library's longjmp. TSan follows swapcontext alone.
#if defined(__x86_64__) && !defined(ELBO_TSAN)
#  define ELBO_OWN_JUMPS
using Left = void* [5];
#else
using Left = ucontext_t;
#endif

struct Fiber {
  static constexpr size_t kStack = size_t{256} << 10;
  ucontext_t beginning{};  // of its stack
  Left left{};             // where it was left, once it has begun
  bool begun = false;
  bool idle = false;  // it has run its threads and can take others
  std::unique_ptr<std::byte[]> stack{new std::byte[kStack]};
  Place place;
  unsigned first = 0;     // the thread that it begins with
  unsigned barriers = 0;  // passed or waited at
  bool looks_away = false;
  bool awaited_turn = false;
#ifdef ELBO_TSAN
  void* tsan = __tsan_create_fiber(0);
#endif
};

struct Scheduler {
  std::vector<std::unique_ptr<Fiber>> fibers;
  Left left{};  // where the host was left
  Fiber* running = nullptr;
  const std::function<void()>* body = nullptr;
  const char* name = nullptr;   // of the kernel
  dim3 block;                   // the running one's place in its grid
  std::vector<unsigned> order;  // in which the block's threads begin
  size_t begun = 0;
  unsigned live = 0, waiting = 0;  // threads not done; at the barrier
  std::exception_ptr error;
  // TSan knows these by their addresses. Barriers take turns: a thread that is late to leave one must not
  // learn of what others did before the next.
  char start = 0, end = 0, barrier[2] = {};
#ifdef ELBO_TSAN
  void* tsan = nullptr;
#endif
#ifdef ELBO_ASAN
  const void* stack = nullptr;
  size_t stack_size = 0;
  void* fake_stack = nullptr;
#endif
};
Scheduler scheduler;

// Leave one stack and go on where the other was left, or begin it.
#ifdef ELBO_OWN_JUMPS
[[noreturn, gnu::noinline, gnu::no_sanitize_address]] void go_on(Left& left) { __builtin_longjmp(left, 1); }
[[gnu::noinline, gnu::no_sanitize_address]] void jump(Left& here, Left& there) {
  if (__builtin_setjmp(here) == 0) go_on(there);
}
[[gnu::noinline, gnu::no_sanitize_address]] void begin(Left& here, const ucontext_t& there) {
  if (__builtin_setjmp(here) == 0) ::setcontext(&there);
}
#else
[[gnu::always_inline]] inline void jump(Left& here, Left& there) { ::swapcontext(&here, &there); }
[[gnu::always_inline]] inline void begin(Left& here, Left& there) { ::swapcontext(&here, &there); }
#endif

void switch_to(Fiber& fiber) {
  scheduler.running = &fiber;
  current = &fiber.place;
#ifdef ELBO_TSAN
  __tsan_release(&scheduler.start);
  scheduler.tsan = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(fiber.tsan, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef ELBO_ASAN
  __sanitizer_start_switch_fiber(&scheduler.fake_stack, fiber.stack.get(), Fiber::kStack);
#endif
  if (std::exchange(fiber.begun, true))
    jump(scheduler.left, fiber.left);
  else
    begin(scheduler.left, fiber.beginning);
#ifdef ELBO_ASAN
  __sanitizer_finish_switch_fiber(scheduler.fake_stack, nullptr, nullptr);
#endif
}

void switch_back() {
  Fiber& fiber = *scheduler.running;
#ifdef ELBO_TSAN
  __tsan_switch_to_fiber(scheduler.tsan, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef ELBO_ASAN
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, scheduler.stack, scheduler.stack_size);
#endif
  jump(fiber.left, scheduler.left);
#ifdef ELBO_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, &scheduler.stack, &scheduler.stack_size);
#endif
}

void run_thread(Fiber& fiber, unsigned thread) {
  const dim3 block = block_dimensions;
  fiber.place = {{thread % block.x, thread / block.x % block.y, thread / (block.x * block.y)},
                 scheduler.block};
  fiber.barriers = 0;
  fiber.awaited_turn = false;
  if (fiber.looks_away) look_away(false);  // since its last block
  try {
    (*scheduler.body)();
    look_away(true);
    if (!fiber.awaited_turn) fail("[{}] the kernel does not begin with await_turn()", scheduler.name);
  } catch (...) {
    look_away(true);
    scheduler.error = std::current_exception();
  }
  fiber.looks_away = true;
  --scheduler.live;
#ifdef ELBO_TSAN
  __tsan_release(&scheduler.end);
#endif
}

void fiber_main() {
#ifdef ELBO_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &scheduler.stack, &scheduler.stack_size);
#endif
  Fiber& fiber = *scheduler.running;
  while (true) {
#ifdef ELBO_TSAN
    __tsan_acquire(&scheduler.start);
#endif
    run_thread(fiber, fiber.first);
    if (!kFiberForEachThread)
      while (!scheduler.error && scheduler.begun < scheduler.order.size())
        run_thread(fiber, scheduler.order[scheduler.begun++]);
    fiber.idle = true;
    switch_back();
  }
}

/// Makes it ready for threads. One that was left at a barrier, since another thread threw, begins anew.
/// Apart, as getcontext returns twice.
[[gnu::noinline]] void prepare(Fiber& fiber) {
  if (std::exchange(fiber.idle, false)) return;
  fiber.begun = false;
#ifdef ELBO_ASAN
  ASAN_UNPOISON_MEMORY_REGION(fiber.stack.get(), Fiber::kStack);  // of what was left there
#endif
  ::getcontext(&fiber.beginning);
  fiber.beginning.uc_stack.ss_sp = fiber.stack.get();
  fiber.beginning.uc_stack.ss_size = Fiber::kStack;
  fiber.beginning.uc_link = nullptr;
  ::makecontext(&fiber.beginning, fiber_main, 0);
}

std::vector<unsigned> turns(unsigned count) {
  std::vector<unsigned> order(count);
  std::iota(order.begin(), order.end(), 0u);
  if (settings.threads == Order::reverse) std::reverse(order.begin(), order.end());
  if (settings.threads == Order::shuffled)
    std::shuffle(order.begin(), order.end(), std::mt19937(settings.seed++));
  return order;
}

/// Lets the fiber go on until its thread waits or no thread is left to begin.
void resume(Fiber& fiber) {
  switch_to(fiber);
  if (scheduler.error) std::rethrow_exception(std::exchange(scheduler.error, nullptr));
}

/// Whatever comes next comes after all that a block's threads did, also where one threw and others were left
/// at a barrier. Block by block, as they share the memory of __shared__ variables here.
struct BlockEnds {
  ~BlockEnds() {
#ifdef ELBO_TSAN
    __tsan_acquire(&scheduler.end);
#endif
  }
};

void run_block(const char* name, dim3 block_index) {
  const BlockEnds ends;
  const unsigned threads = block_dimensions.x * block_dimensions.y * block_dimensions.z;
  scheduler.block = block_index;
  scheduler.order = turns(threads);
  scheduler.begun = 0;
  scheduler.live = threads;
  scheduler.waiting = 0;
  for (size_t i = 0; scheduler.begun < threads; ++i) {
    if (i == scheduler.fibers.size()) scheduler.fibers.push_back(std::make_unique<Fiber>());
    scheduler.fibers[i]->first = scheduler.order[scheduler.begun++];
    prepare(*scheduler.fibers[i]);
    resume(*scheduler.fibers[i]);
  }
  while (scheduler.live > 0) {
    if (scheduler.waiting != threads)
      fail("[{}] {} of {} threads wait at a barrier that the others never reach", name, scheduler.waiting,
           threads);
    scheduler.waiting = 0;
    for (unsigned i : turns(threads)) resume(*scheduler.fibers[i]);
  }
}

// Streams.

struct Queue {
  struct Task {
    std::function<void()> work;             // or, where empty, wait:
    size_t wait_queue = 0, wait_count = 0;  // until that queue has done so many tasks
    bool is_node = true;                    // of a graph; a GPU has nothing like the others
  };
  std::deque<Task> tasks;
  size_t enqueued = 0, done = 0;
};
constexpr size_t kMain = 0, kSide = 1;
Queue queues[2];
size_t now = kMain;  // the stream that work goes to
bool side_pending = false;
double clock_ms = 0;  // so that events have distinct times

struct Recording {
  std::vector<std::pair<size_t, Queue::Task>> tasks;  // with counts from the start of the recording
  size_t first[2] = {0, 0};
};
Recording* recording = nullptr;

void push(size_t queue, Queue::Task task) {
  if (recording) {
    recording->tasks.emplace_back(queue, std::move(task));
    ++recording->first[queue];
    return;
  }
  queues[queue].tasks.push_back(std::move(task));
  ++queues[queue].enqueued;
}

bool runnable(const Queue& queue) {
  if (queue.tasks.empty()) return false;
  const Queue::Task& head = queue.tasks.front();
  return head.work || queues[head.wait_queue].done >= head.wait_count;
}

void run_one() {
  const size_t first = settings.streams == Streams::main_first ? kMain : kSide;
  const size_t turn = runnable(queues[first]) ? first : 1 - first;
  if (!runnable(queues[turn])) fail("[emulation] the streams wait for each other");
  const Queue::Task task = std::move(queues[turn].tasks.front());
  queues[turn].tasks.pop_front();
  ++queues[turn].done;
  if (task.work) task.work();
}

/// Runs tasks until `finished` says so.
template <class Finished>
void run_until(Finished finished) {
  const DeviceMemory::Opened opened(device_memory());
  while (!finished()) run_one();
}

void run_all() {
  if (recording) fail("[cuda] a captured step cannot wait for its results");
  run_until([] { return queues[kMain].tasks.empty() && queues[kSide].tasks.empty(); });
}

void wait_for(size_t waiting, size_t other) {
  const size_t count = recording ? recording->first[other] : queues[other].enqueued;
  push(waiting, {nullptr, other, count, false});
}

struct EventState {
  size_t count = 0;
  double time = 0;
};

}  // namespace

void configure(const Settings& to) {
  synchronize();
  settings = to;
}

void synchronize_block() {
  look_away(true);
  Fiber& fiber = *scheduler.running;
#ifdef ELBO_TSAN
  char* const barrier = &scheduler.barrier[fiber.barriers % 2];
  __tsan_release(barrier);
  __tsan_release(&scheduler.end);  // if the others never come
#endif
  ++fiber.barriers;
  ++scheduler.waiting;
  switch_back();
#ifdef ELBO_TSAN
  __tsan_acquire(barrier);
#endif
  look_away(false);
}

void turn_was_awaited() {
  look_away(true);
  scheduler.running->awaited_turn = true;
  look_away(false);
}

double exchange(double value, int by, int warp) {
  static double values[1024];
  const int thread = static_cast<int>(current->thread.x);
  values[thread] = value;
  synchronize_block();
  const double other = thread % warp + by < warp ? values[thread + by] : value;
  synchronize_block();  // before the next exchange
  return other;
}

/// Runs body() once for every thread of the grid.
void run_grid(const char* name, dim3 grid, dim3 block, const std::function<void()>& body) {
  if (block.x * block.y * block.z > 1024 || block.x * block.y * block.z == 0 || grid.x == 0 || grid.y == 0 ||
      grid.y > 65535 || grid.z == 0 || grid.z > 65535)
    fail("[{}] the kernel could not be started: grid ({}, {}, {}), block ({}, {}, {})", name, grid.x, grid.y,
         grid.z, block.x, block.y, block.z);
  struct Bookkeeping {
    Bookkeeping() { look_away(true); }
    ~Bookkeeping() { look_away(false); }
  } const bookkeeping;
  scheduler.body = &body;
  scheduler.name = name;
  grid_dimensions = grid;
  block_dimensions = block;
  for (unsigned index : turns(grid.x * grid.y * grid.z))
    run_block(name, {index % grid.x, index / grid.x % grid.y, index / (grid.x * grid.y)});
}

void enqueue(std::function<void()> work) { push(now, {std::move(work), 0, 0, true}); }

void enqueue_grid(const char* name, dim3 grid, dim3 block, std::function<void()> body) {
  enqueue([=, body = std::move(body)] { run_grid(name, grid, block, body); });
}

}  // namespace emulation

using namespace emulation;

void choose(int) {}
bool available() { return true; }
const std::string& why_not() {
  static const std::string nothing;
  return nothing;
}
void require_available() {}
Description describe() {
  return {.name = "an emulated GPU",
          .capability = "9.0",
          .multiprocessors = multiprocessors(),
          .memory = size_t{4} << 30,
          .free = size_t{4} << 30,
          .driver = "none",
          .runtime = "emulated",
          .emulated = true};
}
Identity identity() { return {'e', 'm', 'u', 'l', 'a', 't', 'e', 'd'}; }
int multiprocessors() { return 2; }

void* allocate_bytes(size_t bytes) { return device_memory().take(bytes); }
void free_bytes(void* memory) {
  run_all();  // and nothing more: the cache of memory, which waits for this, is no place to join streams from
  device_memory().give_back(memory);
}
void set_bounds([[maybe_unused]] void* memory, [[maybe_unused]] size_t bytes,
                [[maybe_unused]] size_t capacity) {
#ifdef ELBO_ASAN
  // In its turn: work that waits in the streams may still use all of what the block was before.
  const auto watch = [=] {
    ASAN_UNPOISON_MEMORY_REGION(memory, capacity);
    ASAN_POISON_MEMORY_REGION(static_cast<std::byte*>(memory) + bytes, capacity - bytes);
  };
  push(now, {watch, 0, 0, false});
#endif
}

void* allocate_pinned(size_t bytes) { return std::malloc(std::max<size_t>(bytes, 1)); }
void free_pinned(void* memory) {
  synchronize();
  std::free(memory);
}

namespace {
void enqueue_copy(void* to, const void* from, size_t bytes) {
  enqueue([=] { std::memmove(to, from, bytes); });
}
}  // namespace

void copy_to_device(void* to, const void* from, size_t bytes) {
  if (capturing()) fail("[cuda] host data cannot enter a captured step; put them on the device before");
  const auto* const begin = static_cast<const std::byte*>(from);
  enqueue([to, staged = std::vector<std::byte>(begin, begin + bytes)] {
    std::copy(staged.begin(), staged.end(), static_cast<std::byte*>(to));
  });
}
void copy_to_host(void* to, const void* from, size_t bytes) {
  if (capturing()) fail("[cuda] results cannot be read while a step is captured");
  enqueue_copy(to, from, bytes);
  synchronize();
}
void copy_on_device(void* to, const void* from, size_t bytes) { enqueue_copy(to, from, bytes); }
void copy_pinned_to_device(void* to, const void* from, size_t bytes) { enqueue_copy(to, from, bytes); }
void copy_to_pinned(void* to, const void* from, size_t bytes) { enqueue_copy(to, from, bytes); }
void zero_bytes(void* memory, size_t bytes) {
  enqueue([=] { std::memset(memory, 0, bytes); });
}
void synchronize() {
  if (capturing()) fail("[cuda] a captured step cannot wait for its results");
  join_side_stream();
  run_all();
}

void* stream() { return &queues[now]; }

SideStream::SideStream() {
  wait_for(kSide, kMain);
  now = kSide;
  side_pending = true;
}
SideStream::~SideStream() { now = kMain; }
bool side_work_pending() { return side_pending; }
bool on_side_stream() { return now == kSide; }
void join_side_stream() {
  if (!side_pending) return;
  wait_for(kMain, kSide);
  side_pending = now == kSide;  // within a SideStream's scope, more will follow
  release_deferred_memory();
}

Event::Event() : handle_(new EventState) {}
Event::~Event() { delete static_cast<EventState*>(handle_); }
void Event::record() { *static_cast<EventState*>(handle_) = {queues[kMain].enqueued, clock_ms += 1}; }
bool Event::done() const {
  const auto passed = [&] { return queues[kMain].done >= static_cast<EventState*>(handle_)->count; };
  if (passed()) return true;
  run_until([asked = false]() mutable {
    return std::exchange(asked, true);
  });  // or a loop of queries would never end
  return passed();
}
void Event::wait() const {
  run_until([&] { return done(); });
}
double Event::milliseconds(const Event& begin, const Event& end) {
  return static_cast<EventState*>(end.handle_)->time - static_cast<EventState*>(begin.handle_)->time;
}

bool capturing() { return recording != nullptr; }

Graph::~Graph() {
  if (!handle_) return;
  synchronize();
  delete static_cast<Recording*>(handle_);
  dissolve_memory_pool(pool_);
}
void Graph::begin() {
  if (capturing()) fail("[cuda] a graph is being captured already");
  join_side_stream();
  pool_ = begin_memory_pool();
  handle_ = recording = new Recording;
}
void Graph::end() {
  const bool unjoined = side_pending;
  join_side_stream();
  recording = nullptr;
  end_memory_pool();
  if (unjoined) fail("[cuda] a captured step must join its side stream");
}
void Graph::abandon() {
  recording = nullptr;
  side_pending = false;
  now = kMain;
  end_memory_pool();
}
void Graph::replay() const {
  join_side_stream();
  const auto& recorded = *static_cast<const Recording*>(handle_);
  // The side stream's part begins after what is in the main stream, as the whole graph is one piece of work
  // there.
  wait_for(kSide, kMain);
  const size_t base[2] = {queues[kMain].enqueued, queues[kSide].enqueued};
  for (auto [queue, task] : recorded.tasks) {
    if (!task.work) task.wait_count += base[task.wait_queue];
    push(queue, std::move(task));
  }
}
size_t Graph::nodes() const {
  const auto& tasks = static_cast<const Recording*>(handle_)->tasks;
  return static_cast<size_t>(
      std::count_if(tasks.begin(), tasks.end(), [](const auto& task) { return task.second.is_node; }));
}

}  // namespace elbo::cuda
