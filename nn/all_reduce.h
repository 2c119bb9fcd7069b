// AllReduce: sums and means over several processes that train one model, each on its own rows of every batch.
//
//   all_reduce.mean(store.gradients(), numbers, rows);     // at every process: now all have the batch's
//
// Each process gets one stretch of everybody's numbers, adds them up in the order of the processes, in
// double, and gives the sums to the others. So all have the same bits, run after run, whatever moves the
// bytes and however fast. What moves them is in a derived class; apps/training/rank_all_reduce.h has MPI's.
// Knows no models.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace elbo {

/// to (n), f32 or f64 on the CPU: the sum of weights[p] parts (p, n), added in the order of p, in double. A
/// part of weight 0 is not looked at.
void add_in_order(const Tensor& parts, std::span<const double> weights, const Tensor& to);

/// Every process has one, and calls the same functions in the same order, with as many numbers.
class AllReduce {
 public:
  virtual ~AllReduce() = default;
  AllReduce(const AllReduce&) = delete;
  AllReduce& operator=(const AllReduce&) = delete;

  int64_t rank() const { return rank_; }    ///< from 0
  int64_t count() const { return count_; }  ///< of the processes

  /// Replaces flat (n), f32 or f64 on any device, and `numbers` by their means over the processes, by weight.
  /// Of a process of weight 0 nothing is looked at.
  void mean(const Tensor& flat, std::span<double> numbers, double weight);
  /// Replaces numbers by their sums.
  void sum(std::span<double> numbers);
  /// Returns when all processes have called it, which may take them long: to be called where one of them has
  /// something to do that the others wait for.
  virtual void wait_for_all() = 0;

  /// Whether one of the processes had been asked to stop at the latest of these calls: the same in all of
  /// them.
  bool stops() const { return stops_; }

 protected:
  AllReduce(int64_t rank, int64_t count) : rank_(rank), count_(count) {}
  /// Whether this process has been asked to stop.
  virtual bool asked_to_stop() const { return false; }
  /// `mine` is bounds[count] bytes. To process p go those from bounds[p] on, up to bounds[p + 1]; to `all`
  /// come everybody's from bounds[rank] on, one process after another.
  virtual void exchange(const std::byte* mine, std::span<const int64_t> bounds, std::byte* all) = 0;
  /// Of `whole`, this process has the bytes from bounds[rank] on, up to bounds[rank + 1], and gets the
  /// others.
  virtual void gather(std::byte* whole, std::span<const int64_t> bounds) = 0;

 private:
  /// Everybody's numbers, one process after another.
  std::vector<double> gathered(std::span<const double> own);

  const int64_t rank_, count_;
  bool stops_ = false;
};

}  // namespace elbo
