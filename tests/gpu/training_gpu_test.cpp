// Training of a model of one's own (tests/vae/toy_model.h) on the GPU: the CPU's numbers, and resumed ones.
#include <doctest/doctest.h>

#include "tests/temporary_directory.h"
#include "tests/vae/toy_model.h"

namespace elbo {
namespace {

using namespace toy;

TEST_SUITE("gpu") {
  TEST_CASE("training: phases of a model of one's own on the GPU are those on the CPU, resumed or not") {
    Toy on_cpu(kMembers, 0, Device::cpu), on_gpu(kMembers, 0, Device::cuda),
        stopped(kMembers, 0, Device::cuda), resumed(kMembers, 0, Device::cuda);
    const Tensor there = data_sets().to(Device::cuda);
    Training cpu(on_cpu.parameters(), phases(on_cpu, rates()), whole_set(data_sets()), {.seed = 4});
    Training gpu(on_gpu.parameters(), phases(on_gpu, rates()), whole_set(there), {.seed = 4});
    run(cpu);
    run(gpu);
    for (const char* name : kNames) {
      CAPTURE(name);
      const Numbers a = values(on_gpu, name), b = values(on_cpu, name);
      for (size_t i = 0; i < b.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-9));
    }
    const TemporaryDirectory folder;
    const std::string path = (folder.path() / "state.safetensors").string();
    Training first(stopped.parameters(), phases(stopped, rates()), whole_set(there), {.seed = 4});
    while (first.steps() < kFirst + 2) first.step();
    first.save(path);
    Training second(resumed.parameters(), phases(resumed, rates()), whole_set(there), {.seed = 4});
    second.load(path);
    run(second);
    for (const char* name : kNames) CHECK(values(resumed, name) == values(on_gpu, name));
  }
}

}  // namespace
}  // namespace elbo
