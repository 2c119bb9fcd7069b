#include "nn/all_reduce.h"

#include <algorithm>

#include "tensor/batch_rows.h"
#include "tensor/parallel.h"

namespace elbo {
namespace {

constexpr int64_t kBlock = 1024;  // numbers whose sums are on the stack

/// Stretches begin on cache lines.
constexpr int64_t kAlignment = 16;

}  // namespace

void add_in_order(const Tensor& parts, std::span<const double> weights, const Tensor& to) {
  const int64_t n = to.elements();
  visit_floating(to.dtype(), "all-reduce", [&](auto zero) {
    using T = decltype(zero);
    const T* const from = parts.data<T>();
    T* const out = to.data<T>();
    parallel_for((n + kBlock - 1) / kBlock, 16, [&](int64_t begin, int64_t end) {
      double sums[kBlock];
      for (int64_t first = begin * kBlock; first < std::min(end * kBlock, n); first += kBlock) {
        const int64_t count = std::min(kBlock, n - first);
        std::fill_n(sums, count, 0.0);
        for (size_t p = 0; p < weights.size(); ++p) {
          if (weights[p] == 0) continue;
          const T* const part = from + static_cast<int64_t>(p) * n + first;
          const double weight = weights[p];
#pragma omp simd
          for (int64_t i = 0; i < count; ++i) sums[i] += weight * static_cast<double>(part[i]);
        }
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) out[first + i] = static_cast<T>(sums[i]);
      }
    });
  });
}

std::vector<double> AllReduce::gathered(std::span<const double> own) {
  std::vector<double> all(own.size() * static_cast<size_t>(count_));
  std::vector<int64_t> bounds;
  for (int64_t p = 0; p <= count_; ++p) bounds.push_back(p * static_cast<int64_t>(own.size_bytes()));
  std::copy(own.begin(), own.end(), all.begin() + rank_ * static_cast<int64_t>(own.size()));
  gather(std::as_writable_bytes(std::span(all)).data(), bounds);
  return all;
}

void AllReduce::sum(std::span<double> numbers) {
  std::vector<double> own{asked_to_stop() ? 1.0 : 0.0};
  own.insert(own.end(), numbers.begin(), numbers.end());
  const std::vector<double> all = gathered(own);
  std::fill(own.begin(), own.end(), 0.0);
  for (size_t i = 0; i < all.size(); ++i) own[i % own.size()] += all[i];
  stops_ = own[0] > 0;
  std::copy(own.begin() + 1, own.end(), numbers.begin());
}

void AllReduce::mean(const Tensor& flat, std::span<double> numbers, double weight) {
  std::vector<double> own{asked_to_stop() ? 1.0 : 0.0, weight};
  own.insert(own.end(), numbers.begin(), numbers.end());
  const std::vector<double> all = gathered(own);
  std::vector<double> weights;
  double total = 0, asked = 0;
  for (size_t p = 0; p < all.size(); p += own.size()) {
    asked += all[p];
    total += all[p + 1];
  }
  stops_ = asked > 0;
  for (size_t p = 0; p < all.size(); p += own.size()) weights.push_back(all[p + 1] / total);
  for (size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = 0;
    for (size_t p = 0; p < weights.size(); ++p)
      if (weights[p] != 0) numbers[i] += weights[p] * all[p * own.size() + 2 + i];
  }
  const int64_t n = flat.elements(), size = size_of(flat.dtype()), lines = (n + kAlignment - 1) / kAlignment;
  std::vector<int64_t> bounds;
  for (int64_t p = 0; p <= count_; ++p)
    bounds.push_back(std::min(part_begin(lines, p, count_) * kAlignment, n) * size);
  const auto r = static_cast<size_t>(rank_);
  const int64_t begin = bounds[r] / size, end = bounds[r + 1] / size;
  const Tensor here = flat.to(Device::cpu);  // itself, unless it is a GPU's
  const Tensor parts = Tensor::empty({count_, end - begin}, flat.dtype());
  exchange(static_cast<const std::byte*>(here.bytes()), bounds, static_cast<std::byte*>(parts.bytes()));
  add_in_order(parts, weights, here.slice(begin, end));
  gather(static_cast<std::byte*>(here.bytes()), bounds);
  if (flat.device() != Device::cpu) flat.copy_from(here);
}

}  // namespace elbo
