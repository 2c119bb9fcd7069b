// Sums over processes whose gradients stay on the GPU: the bits of those on the CPU.
#include <doctest/doctest.h>

#include <limits>

#include "nn/all_reduce.h"
#include "tensor/cuda/device.h"
#include "tensor/random.h"

namespace elbo {
namespace {

Tensor numbers_of(int64_t rank, int64_t n, DType dtype) {
  return normal({n}, dtype, {.seed = 3, .member = static_cast<uint32_t>(rank), .stream = kTestInput});
}

/// The second of three processes; what the others send is known.
class OneOfThree : public AllReduce {
 public:
  explicit OneOfThree(const std::vector<Tensor>& everybody) : AllReduce(1, 3), everybody_(everybody) {}
  void wait_for_all() override {}

  int on_gpu = 0;  // calls that were of GPU memory

 protected:
  bool has_way_on_gpu() override { return true; }
  void exchange(const std::byte* mine, std::span<const int64_t> bounds, std::byte* all, Way way) override {
    REQUIRE(way == Way::on_gpu);
    ++on_gpu;
    const auto begin = static_cast<size_t>(bounds[1]), own = static_cast<size_t>(bounds[2]) - begin;
    const std::byte* const from[] = {bytes_of(0), mine, bytes_of(2)};
    for (size_t p = 0; p < 3; ++p) cuda::copy_on_device(all + p * own, from[p] + begin, own);
  }
  void gather(std::byte* whole, std::span<const int64_t> bounds, Way way) override {
    if (way != Way::on_gpu) {  // everybody's weight, 2, and whether it was asked to stop
      auto* const numbers = reinterpret_cast<double*>(whole);
      for (int p : {0, 2}) std::copy_n(numbers + 2, 2, numbers + 2 * p);
      return;
    }
    ++on_gpu;
    for (size_t p : {0, 2})
      cuda::copy_on_device(whole + bounds[p], bytes_of(p) + bounds[p],
                           static_cast<size_t>(bounds[p + 1] - bounds[p]));
  }

 private:
  const std::byte* bytes_of(size_t p) const { return static_cast<const std::byte*>(everybody_[p].bytes()); }

  const std::vector<Tensor>& everybody_;
};

}  // namespace

TEST_SUITE("gpu") {
  TEST_CASE("all-reduce: the GPU adds parts in their order, in double, as the CPU does") {
    for (int64_t n : {0, 1, 257, 70'001})
      for (DType dtype : {DType::f32, DType::f64}) {
        CAPTURE(n);
        const Tensor parts = normal({4, n}, dtype, {.seed = 8, .stream = kTestInput});
        parts.slice(2).fill(std::numeric_limits<double>::quiet_NaN());
        const std::vector<double> weights{0.3, 0.5, 0, 0.2};
        const Tensor expected = Tensor::empty({n}, dtype), found = Tensor::empty({n}, dtype, Device::cuda);
        add_in_order(parts, weights, expected);
        add_in_order(parts.to(Device::cuda), weights, found);
        CHECK(found.to(Device::cpu).to_vector() == expected.to_vector());
      }
  }

  TEST_CASE("all-reduce: what is on the GPU stays there where processes have a way between GPUs") {
    for (DType dtype : {DType::f32, DType::f64}) {
      constexpr int64_t kNumbers = 1000;
      std::vector<Tensor> everybody;
      const Tensor parts = Tensor::empty({3, kNumbers}, dtype), expected = Tensor::empty({kNumbers}, dtype);
      for (int64_t p = 0; p < 3; ++p) {
        parts.slice(p).copy_from(numbers_of(p, kNumbers, dtype));
        everybody.push_back(parts.slice(p).to(Device::cuda));
      }
      add_in_order(parts, std::vector<double>(3, 1.0 / 3), expected);
      OneOfThree all_reduce(everybody);
      const Tensor flat = everybody[1].clone();
      EarlyMean mean(all_reduce, flat, 2);
      CHECK_FALSE(mean.is_early());
      mean.finish({});
      CHECK(all_reduce.on_gpu == 2);
      // Its own stretch is the sum; those of the others have here what the others had.
      const std::vector<double> found = flat.to(Device::cpu).to_vector(), sums = expected.to_vector();
      const size_t begin = 63 / 3 * 16, end = 63 * 2 / 3 * 16;  // of 63 cache lines
      for (size_t i = 0; i < found.size(); ++i) {
        const bool is_own = begin <= i && i < end;
        CHECK(found[i] == (is_own ? sums[i] : parts.slice(i < begin ? 0 : 2).at(static_cast<int64_t>(i))));
      }
    }
  }
}

}  // namespace elbo
