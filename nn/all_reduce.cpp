#include "nn/all_reduce.h"

#include <algorithm>

#include "nn/all_reduce_kernel.h"
#include "tensor/batch_rows.h"
#include "tensor/parallel.h"

namespace elbo {
namespace {

constexpr int64_t kBlock = 1024;  // numbers whose sums are on the stack

/// Stretches begin on cache lines.
constexpr int64_t kAlignment = 16;

/// How often an AllReduce tries either way of an EarlyMean.
constexpr size_t kTries = 9;

/// What is sent at once of an EarlyMean: large enough that messages cost little, small enough to set out
/// soon.
constexpr int64_t kPiece = int64_t{1} << 18;

/// Of the blocks from `begin` up to `end`.
template <class T>
void add_blocks(const Tensor& parts, std::span<const double> weights, const Tensor& to, int64_t begin,
                int64_t end) {
  const int64_t n = to.elements();
  const T* const from = parts.data<T>();
  T* const out = to.data<T>();
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
}

void add(const Tensor& parts, std::span<const double> weights, const Tensor& to, int64_t grain) {
  if (to.device() == Device::cuda) {
    if constexpr (kHasGpuCode) cuda::add_in_order(parts, weights, to);
    return;
  }
  const int64_t blocks = (to.elements() + kBlock - 1) / kBlock;
  visit_floating(to.dtype(), "all-reduce", [&](auto zero) {
    parallel_for(blocks, grain, [&](int64_t begin, int64_t end) {
      add_blocks<decltype(zero)>(parts, weights, to, begin, end);
    });
  });
}

/// The weights as shares of their sum.
std::vector<double> shares_of(std::vector<double> weights) {
  double total = 0;
  for (double weight : weights) total += weight;
  for (double& weight : weights) weight /= total;
  return weights;
}

}  // namespace

void add_in_order(const Tensor& parts, std::span<const double> weights, const Tensor& to) {
  add(parts, weights, to, 16);
}

std::vector<double> AllReduce::gathered(std::span<const double> own) {
  std::vector<double> all(own.size() * static_cast<size_t>(count_));
  std::vector<int64_t> bounds;
  for (int64_t p = 0; p <= count_; ++p) bounds.push_back(p * static_cast<int64_t>(own.size_bytes()));
  std::copy(own.begin(), own.end(), all.begin() + rank_ * static_cast<int64_t>(own.size()));
  gather(std::as_writable_bytes(std::span(all)).data(), bounds, Way::awake);
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

std::vector<double> AllReduce::mean_of_numbers(std::span<double> numbers, double weight) {
  std::vector<double> own{asked_to_stop() ? 1.0 : 0.0, weight};
  own.insert(own.end(), numbers.begin(), numbers.end());
  const std::vector<double> all = gathered(own);
  std::vector<double> weights;
  stops_ = false;
  for (size_t p = 0; p < all.size(); p += own.size()) {
    stops_ |= all[p] > 0;
    weights.push_back(all[p + 1]);
  }
  weights = shares_of(std::move(weights));
  for (size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = 0;
    for (size_t p = 0; p < weights.size(); ++p)
      if (weights[p] != 0) numbers[i] += weights[p] * all[p * own.size() + 2 + i];
  }
  return weights;
}

void AllReduce::mean_of_tensor(const Tensor& flat, std::span<const double> weights, Way way) {
  const int64_t n = flat.elements(), size = size_of(flat.dtype()), lines = (n + kAlignment - 1) / kAlignment;
  std::vector<int64_t> bounds;
  for (int64_t p = 0; p <= count_; ++p)
    bounds.push_back(std::min(part_begin(lines, p, count_) * kAlignment, n) * size);
  const auto r = static_cast<size_t>(rank_);
  const int64_t begin = bounds[r] / size, end = bounds[r + 1] / size;
  const Tensor parts = Tensor::empty({count_, end - begin}, flat.dtype(), flat.device());
  exchange(static_cast<const std::byte*>(flat.bytes()), bounds, static_cast<std::byte*>(parts.bytes()), way);
  // Those who sleep have left the cores to others, who have one thread for each.
  add(parts, weights, flat.slice(begin, end), way == Way::asleep ? n : 16);
  gather(static_cast<std::byte*>(flat.bytes()), bounds, way);
}

void AllReduce::mean(const Tensor& flat, std::span<double> numbers, double weight) {
  const std::vector<double> weights = mean_of_numbers(numbers, weight);
  const bool on_gpu = flat.device() == Device::cuda;
  if (on_gpu && has_way_on_gpu()) return mean_of_tensor(flat, weights, Way::on_gpu);
  const Tensor here = flat.to(Device::cpu);  // itself, unless it is a GPU's
  mean_of_tensor(here, weights, Way::awake);
  if (on_gpu) flat.copy_from(here);
}

bool AllReduce::sends_early(int64_t n) const {
  return early_.value_or(n > kPiece && seconds_[0].size() > seconds_[1].size());
}

void AllReduce::took(bool early, double seconds) {
  if (early_) return;
  seconds_[early].push_back(seconds);
  if (seconds_[1].size() < kTries) return;
  std::vector<double> medians;
  for (std::vector<double>& all : seconds_) {
    all.erase(all.begin());  // the first steps do what is done once
    std::nth_element(all.begin(), all.begin() + kTries / 2, all.end());
    medians.push_back(all[kTries / 2]);
  }
  // Every process makes the same of everybody's.
  double sum[2] = {};
  const std::vector<double> everybody = gathered(medians);
  for (size_t i = 0; i < everybody.size(); ++i) sum[i % 2] += everybody[i];
  early_ = sum[1] < sum[0];
}

EarlyMean::EarlyMean(AllReduce& all_reduce, const Tensor& flat, double weight)
    : all_reduce_(all_reduce), flat_(flat), weight_(weight), complete_(flat.elements()) {
  if (flat.device() != Device::cpu || !all_reduce.sends_early(flat.elements())) return;
  weights_ = shares_of(all_reduce.gathered({&weight, 1}));
  sender_ = std::thread([this] {
    try {
      send_pieces();
    } catch (...) {
      error_ = std::current_exception();
    }
  });
}

EarlyMean::~EarlyMean() {
  if (!is_early()) return;
  {
    const std::lock_guard guard(mutex_);
    given_up_ = true;
  }
  changed_.notify_one();
  sender_.join();
}

void EarlyMean::send_pieces() {
  const int64_t n = flat_.elements();
  for (int64_t piece = (n + kPiece - 1) / kPiece; piece-- > 0;) {
    const int64_t begin = piece * kPiece, end = std::min(begin + kPiece, n);
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return given_up_ || complete_ <= begin; });
      if (complete_ > begin) return;
    }
    all_reduce_.mean_of_tensor(flat_.slice(begin, end), weights_, AllReduce::Way::asleep);
  }
}

void EarlyMean::complete_from(int64_t first) {
  if (!is_early()) return;
  {
    const std::lock_guard guard(mutex_);
    complete_ = std::min(complete_, first);
  }
  changed_.notify_one();
}

void EarlyMean::finish(std::span<double> numbers) {
  const bool early = is_early();
  if (early) {
    complete_from(0);
    sender_.join();
    if (error_) std::rethrow_exception(error_);
    all_reduce_.mean_of_numbers(numbers, weight_);
  } else {
    all_reduce_.mean(flat_, numbers, weight_);
  }
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin_;
  if (flat_.elements() > kPiece && flat_.device() == Device::cpu) all_reduce_.took(early, spent.count());
}

}  // namespace elbo
