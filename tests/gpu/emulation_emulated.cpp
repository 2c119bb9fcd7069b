// The emulated GPU itself: kernels give the same in every order of threads and streams, and what would go
// wrong on a GPU goes wrong here. A fault that ends the process is tried in a child of this one.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "nn/optimizer.h"
#include "tensor/cuda/kernel.h"
#include "tensor/map_loops.h"
#include "tensor/random.h"
#include "tensor/sanitizers.h"
#include "tests/autograd/dense_layers.h"
#include "tests/error_of.h"
#include "tests/gpu/near.h"
#include "vae/elbo_loss.h"
#include "vae/luecke_models.h"
#include "vae/op_table.h"

namespace {

int races = 0;
bool race_is_planted = false;

}  // namespace

#ifdef ELBO_TSAN
// ThreadSanitizer asks this of every race that it finds: true keeps it from being reported.
namespace __tsan {
class ReportDesc;
bool OnReport(const ReportDesc*, bool suppressed) {
  ++races;
  return suppressed || race_is_planted;
}
}  // namespace __tsan
#endif

namespace elbo {
namespace {

using cuda::emulation::Order;
using cuda::emulation::Settings;
using cuda::emulation::Streams;

/// Back to the usual order at the end of a test.
struct Configured {
  explicit Configured(const Settings& settings) { cuda::emulation::configure(settings); }
  ~Configured() { cuda::emulation::configure({}); }
};

const std::vector<Settings> kSettings{{Order::forward, Streams::main_first, 1},
                                      {Order::reverse, Streams::side_first, 1},
                                      {Order::shuffled, Streams::main_first, 1},
                                      {Order::shuffled, Streams::side_first, 2}};

/// Whether a child process that does `work` ends as one without faults would.
template <class Work>
bool survives(const Work& work) {
  cuda::synchronize();
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(STDOUT_FILENO);  // what would be reported is no news
    ::close(STDERR_FILENO);
    ::signal(SIGSEGV, SIG_DFL);
    try {
      work();
      cuda::synchronize();
    } catch (...) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// The block's sum of its threads' numbers, by the first; with a barrier between, or the fault of none.
template <bool kBarrier>
__global__ void sum_kernel(float* out) {
  cuda::await_turn();
  __shared__ float shared[cuda::kThreads];
  shared[threadIdx.x] = static_cast<float>(threadIdx.x + 1);
  if (kBarrier) __syncthreads();
  if (threadIdx.x != 0) return;
  float total = 0;
  for (int i = 0; i < cuda::kThreads; ++i) total += shared[i];
  *out = total;
  for (int i = 0; i < cuda::kThreads; ++i) shared[i] = 0;
}
constexpr double kSum = cuda::kThreads * (cuda::kThreads + 1) / 2.0;

template <bool kBarrier>
double block_sum() {
  const Tensor out = Tensor::zeros({}, DType::f32, Device::cuda);
  cuda::launch("sum", sum_kernel<kBarrier>, 1, cuda::kThreads, out.data<float>());
  return out.item();
}

[[maybe_unused]] __global__ void write_kernel(float* to, int64_t elements) {
  cuda::await_turn();
  for (int64_t i = cuda::thread_index(); i < elements; i += cuda::thread_count()) to[i] = 1;
}

__global__ void hasty_kernel(float* out) {
  if (threadIdx.x == 0) *out = 1;
}

__global__ void lonely_barrier_kernel() {
  cuda::await_turn();
  if (threadIdx.x < 7) __syncthreads();
}

TEST_SUITE("emulation") {
  TEST_CASE("every op gives the CPU's value and gradient in any order of threads and streams") {
#ifdef ELBO_TSAN
    constexpr size_t kOrders = 1;  // it finds in one what another would show
#else
    const size_t kOrders = kSettings.size() - 1;
#endif
    for (size_t i = 1; i <= kOrders; ++i) {
      const Configured configured(kSettings[i]);
      const std::vector<OpRow> rows = op_table();
      // Each order has its share of the rows, the reductions and fused ops all of them.
      for (size_t r = 0; r < rows.size(); ++r) {
        const bool pointwise = r < 25;
        if (pointwise && r % kOrders != i - 1) continue;
        CAPTURE(rows[r].name);
        CHECK(passes(check_op_on_gpu(rows[r])));
      }
    }
  }

  TEST_CASE("the cost of a small VAE in one op is the same in any order of threads") {
    const auto vae = luecke_vae(
        LueckeModel::vae3,
        {.dimensions = 10, .latent = 3, .hidden = {50, 20}, .device = Device::cuda, .members = 2}, 5);
    const Tensor x = uniform({100, 10}, DType::f32, {.seed = 5}).to(Device::cuda);
    const auto found = [&] {
      const LossTerms terms =
          differentiate(elbo_loss(*vae, {}, 9), x, {}, {.seed = 9, .stream = kLatentNoise});
      std::vector<double> numbers = terms.cost.to_vector();
      for (const Tensor& probe : terms.probes)
        for (const double number : probe.to_vector()) numbers.push_back(number);
      for (const double number : vae->parameters().gradients().to_vector()) numbers.push_back(number);
      vae->parameters().consume_gradients();
      return numbers;
    };
    const std::vector<double> expected = found();
    for (size_t i = 1; i < kSettings.size(); ++i) {
      const Configured configured(kSettings[i]);
      CHECK(found() == expected);
    }
  }

  TEST_CASE("dense layers of which a block has several rounds of everything are the same in any order") {
    using namespace dense_layers_tests;
    Layers layers({64, 63, 64, 32, 32}, kActivations, 2, DType::f32, Device::cuda);
    Parameter x = input({2, 1700, 64}, DType::f32, 2, Device::cuda);
    Layers shared({32, 32, 32, 32, 32}, kActivations, 0, DType::f32, Device::cuda);
    const Tensor own_x = input({1700, 32}, DType::f32, 1, Device::cuda).value;
    const auto gradient_of_shared = [&] {  // of a weight that all layers have
      std::vector<DenseLayer> all = shared.all();
      for (DenseLayer& layer : all) layer.weight = shared.parameters[0];
      Tape tape;
      const KeptVector<Variable> y = dense_layers(own_x, all, 2);
      tape.backward(sum(y[0]) + sum(y[1]));
      for (Parameter& parameter : shared.parameters) parameter.has_gradient = false;
      return shared.parameters[0].gradient.to_vector();
    };
    const std::vector<Numbers> expected = results(dense_layers, layers, x);
    const Numbers expected_of_shared = gradient_of_shared();
    for (const Settings& settings : kSettings) {
      const Configured configured(settings);
      CHECK(results(dense_layers, layers, x) == expected);
      CHECK(gradient_of_shared() == expected_of_shared);
    }
  }

  TEST_CASE("Adam sweeps the members as on the CPU, and leaves one with rate 0 alone") {
    const auto trained = [](Device device, DType dtype) {
      ParameterStore store(dtype, 3, device);
      Parameter& odd = store.add("odd", {7}, {Initializer::Kind::normal, 1});
      Parameter& tiles =
          store.add("tiles", {64, 50}, {Initializer::Kind::normal, 1});  // more than one for each member
      store.initialise(1);
      Adam adam(store);
      for (uint64_t step = 0; step < 3; ++step) {
        for (Parameter* parameter : {&odd, &tiles}) {
          const RandomKey key{.seed = 2, .stream = kTestInput, .step = step};
          parameter->gradient.copy_from(normal(parameter->value.shape(), dtype, key));
          parameter->has_gradient = true;
        }
        adam.step(std::vector<double>{1e-2, 0, 1e-3});
      }
      return std::pair{store.values(), adam.first_moment()};
    };
    for (const Settings& settings : kSettings) {
      const Configured configured(settings);
      for (DType dtype : {DType::f32, DType::f64}) {
        const auto there = trained(Device::cuda, dtype), here = trained(Device::cpu, dtype);
        CHECK(near(there.first, here.first));
        CHECK(near(there.second, here.second));
      }
    }
  }

  TEST_CASE_TEMPLATE("one rate of 0 for all leaves everything as it is, as on the CPU", Optimizer, Adam,
                     Sgd) {
    const auto trained = [](Device device) {
      ParameterStore store(DType::f64, 3, device);
      Parameter& odd = store.add("odd", {7}, {Initializer::Kind::normal, 1});
      store.initialise(1);
      Optimizer optimizer(store);
      for (const double rate : {0.1, 0.0, 0.1}) {
        odd.gradient.fill(rate == 0 ? std::nan("") : 0.5);
        odd.has_gradient = true;
        optimizer.step(rate);
      }
      return store.values();
    };
    const Tensor there = trained(Device::cuda), here = trained(Device::cpu);
    CHECK(std::isfinite(here.at(0)));
    CHECK(near(there, here));
  }

  TEST_CASE("SGD moves as on the CPU") {
    const auto trained = [](Device device, const std::vector<double>& rates) {
      ParameterStore store(DType::f64, 3, device);
      Parameter& odd = store.add("odd", {7}, {Initializer::Kind::normal, 1});
      store.initialise(1);
      Sgd sgd(store, 0.9);
      for (uint64_t step = 0; step < 3; ++step) {
        const RandomKey key{.seed = 2, .stream = kTestInput, .step = step};
        odd.gradient.copy_from(normal(odd.value.shape(), DType::f64, key));
        odd.has_gradient = true;
        sgd.step(rates);
      }
      return store.values();
    };
    for (const std::vector<double>& rates : {std::vector<double>{0.1}, std::vector<double>{0.1, 0, 0.2}})
      CHECK(near(trained(Device::cuda, rates), trained(Device::cpu, rates)));
  }

  TEST_CASE("a missing barrier shows in some order, and under ThreadSanitizer where the order hides it") {
    const auto sum_in = [](const Settings& settings) {
      const Configured configured(settings);
      CHECK(block_sum<true>() == kSum);
      CHECK(races == 0);
      race_is_planted = true;
      const double sum = block_sum<false>();
      race_is_planted = false;
      return sum;
    };
    // The first thread, which adds up, is the last to run.
    CHECK(sum_in({Order::reverse, Streams::main_first, 1}) == kSum);
#ifdef ELBO_TSAN
    CHECK(races > 0);
    races = 0;
#endif
    CHECK(sum_in({Order::forward, Streams::main_first, 1}) != kSum);
  }

#ifdef ELBO_ASAN
  TEST_CASE("AddressSanitizer stops a kernel that writes past a tensor") {
    const Tensor out = Tensor::zeros({100}, DType::f32, Device::cuda);
    const auto write = [&](int64_t elements) {
      return survives(
          [&] { cuda::launch("write", write_kernel, 1, cuda::kThreads, out.data<float>(), elements); });
    };
    CHECK(write(100));
    CHECK_FALSE(write(101));
    CHECK_FALSE(write(128));
  }
#endif

  TEST_CASE("the host cannot touch device memory") {
    const Tensor there = Tensor::full({3}, 2, DType::f32, Device::cuda);
    CHECK(there.at(1) == 2);
    volatile float read = 0;
    CHECK_FALSE(survives([&] { read = there.data<float>()[1]; }));
    CHECK(mentions(error_of([&] { (void)there.span<float>(); }), "on the GPU"));
  }

  TEST_CASE("a barrier that some threads never reach is an error, as is a block that is too large") {
    CHECK(mentions(error_of([] {
                     cuda::launch("lonely", lonely_barrier_kernel, 1, 32);
                     cuda::synchronize();
                   }),
                   "[lonely] 7 of 32 threads wait at a barrier that the others never reach"));
    CHECK(mentions(error_of([] {
                     const Tensor out = Tensor::zeros({}, DType::f32, Device::cuda);
                     cuda::launch("hasty", hasty_kernel, 1, 32, out.data<float>());
                     cuda::synchronize();
                   }),
                   "[hasty] the kernel does not begin with await_turn()"));
    CHECK(mentions(error_of([] {
                     cuda::launch("large", lonely_barrier_kernel, 1, 2048);
                     cuda::synchronize();
                   }),
                   "[large] the kernel could not be started"));
  }

  TEST_CASE("what is given back while the side stream works is not handed out before the streams join") {
    for (const Settings& settings : kSettings) {
      const Configured configured(settings);
      Tensor x = Tensor::full({1000}, 3, DType::f32, Device::cuda);
      const Tensor y = Tensor::empty({1000}, DType::f32, Device::cuda);
      {
        const cuda::SideStream side;
        map_into(y, SquareOf{}, x);
      }
      x = Tensor();
      const Tensor other = Tensor::full({1000}, 5, DType::f32, Device::cuda);
      cuda::join_side_stream();
      CHECK(y.at(999) == 9);
      CHECK(other.at(999) == 5);
    }
  }

  TEST_CASE("work on the side stream is joined also where the host has waited in the midst of it") {
    for (const Settings& settings : kSettings) {
      const Configured configured(settings);
      const Tensor x = Tensor::full({1000}, 3, DType::f32, Device::cuda);
      const Tensor y = Tensor::zeros({1000}, DType::f32, Device::cuda), z = y.clone();
      {
        const cuda::SideStream side;
        map_into(y, SquareOf{}, x);
        CHECK(y.at(0) == 9);  // waits
        CHECK(cuda::side_work_pending());
        CHECK(cuda::on_side_stream());
        map_into(y, SquareOf{}, y);
      }
      CHECK(cuda::side_work_pending());
      cuda::join_side_stream();
      CHECK_FALSE(cuda::side_work_pending());
      map_into(z, Identity{}, y);
      CHECK(z.at(999) == 81);
    }
    { const cuda::SideStream side; }
    cuda::synchronize();
    CHECK_FALSE(cuda::side_work_pending());
  }

  TEST_CASE("a weight's gradient from the side stream and one from the main stream add up") {
    const Tensor x = normal({6, 4}, DType::f64, {.seed = 1}), w = normal({3, 4}, DType::f64, {.seed = 2});
    const auto gradient = [&](Device device) {
      Parameter weight{"w", w.to(device), Tensor::zeros(w.shape(), DType::f64, device), false};
      Parameter bias{"b", Tensor::zeros({3}, DType::f64, device), Tensor::zeros({3}, DType::f64, device),
                     false};
      Tape tape;
      const Variable both = sum(square(Variable(weight))) + sum(square(linear(x.to(device), weight, bias))) +
                            sum(square(Variable(weight)));
      tape.backward(both);
      return weight.gradient;
    };
    for (const Settings& settings : kSettings) {
      const Configured configured(settings);
      CHECK(near(gradient(Device::cuda), gradient(Device::cpu)));
    }
  }

  TEST_CASE("a captured step is replayed on what is in device memory then") {
    const Tensor x = Tensor::full({4}, 1, DType::f32, Device::cuda);
    const Tensor y = Tensor::zeros({4}, DType::f32, Device::cuda);
    const auto step = [&] {
      const Tensor square = map(SquareOf{}, x);  // memory of the graph's own
      map_into(x, Sum{}, x, square);
      map_into(y, Sum{}, y, x);
    };
    step();  // x 2, y 2
    const cuda::Graph graph = cuda::Graph::capture(step);
    CHECK(y.at(0) == 2);
    CHECK(graph.nodes() == 3);
    graph.replay();  // x 6, y 8
    // Takes and gives back memory like the graph's, between two replays.
    const Tensor other = map(SquareOf{}, Tensor::full({4}, 100, DType::f32, Device::cuda));
    graph.replay();  // x 42, y 50
    CHECK(x.at(3) == 42);
    CHECK(y.at(3) == 50);
    CHECK(other.at(0) == 10000);
  }

  TEST_CASE("what must not be in a captured step") {
    const Tensor here = Tensor::zeros({4}), there = here.to(Device::cuda);
    const auto capture = [&](auto work) { return error_of([&] { (void)cuda::Graph::capture(work); }); };
    CHECK(mentions(capture([&] { there.copy_from(here); }), "host data cannot enter a captured step"));
    CHECK(mentions(capture([&] { (void)there.at(0); }), "results cannot be read"));
    CHECK(mentions(capture([&] { cuda::synchronize(); }), "cannot wait for its results"));
    CHECK(mentions(capture([&] {
                     const cuda::SideStream side;
                     map_into(there, SquareOf{}, there);
                   }),
                   "must join its side stream"));
    CHECK(mentions(capture([&] { (void)cuda::Graph::capture([] {}); }), "being captured already"));
    // And afterwards all is well.
    CHECK_FALSE(cuda::capturing());
    CHECK(there.at(0) == 0);
  }

  TEST_CASE("pinned memory is read when the copy's turn comes") {
    auto* const pinned = static_cast<double*>(cuda::allocate_pinned(sizeof(double)));
    const Tensor there = Tensor::zeros({1}, DType::f64, Device::cuda);
    *pinned = 1;
    cuda::copy_pinned_to_device(there.bytes(), pinned, sizeof(double));
    *pinned = 2;  // too early
    CHECK(there.at(0) == 2);
    cuda::free_pinned(pinned);
  }

  TEST_CASE("memory of the GPU is counted by itself, and used again") {
    release_cached_memory();
    const MemoryCounters before = memory_counters(Device::cuda), here = memory_counters();
    for (int i = 0; i < 3; ++i) (void)Tensor::zeros({1000}, DType::f32, Device::cuda);
    const MemoryCounters after = memory_counters(Device::cuda);
    CHECK(after.requests == before.requests + 3);
    CHECK(after.system_allocations == before.system_allocations + 1);
    CHECK(after.live == before.live);
    CHECK(after.cached >= 4000);
    CHECK(memory_counters().requests == here.requests);
    CHECK(mentions(error_of([] { (void)Tensor::empty({int64_t{1} << 40}, DType::f32, Device::cuda); }),
                   "out of memory on the GPU"));
  }
}

}  // namespace
}  // namespace elbo
