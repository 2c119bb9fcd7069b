// AllReduce: sums and means over several processes that train one model, each on its own rows of every batch.
//
//   all_reduce.mean(store.gradients(), numbers, rows);     // at every process: now all have the batch's
//
// Each process gets one stretch of everybody's numbers, adds them up in the order of the processes, in
// double, and gives the sums to the others. So all have the same bits, run after run, whatever moves the
// bytes and however fast. What moves them is in a derived class; apps/training/rank_all_reduce.h has MPI's.
// Knows no models.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "tensor/tensor.h"

namespace elbo {

/// to (n), f32 or f64: the sum of weights[p] parts (p, n), added in the order of p, in double. A part of
/// weight 0 is not looked at.
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
  /// How bytes go. From host memory to host memory, and whoever waits for the others looks all the time, or
  /// is asleep between two looks, which leaves the core to those who compute; or from GPU to GPU, in their
  /// turn in the stream.
  enum class Way { awake, asleep, on_gpu };

  /// `early`: whether an EarlyMean sends early; without a word, what takes less time in the first steps.
  AllReduce(int64_t rank, int64_t count, std::optional<bool> early = std::nullopt)
      : rank_(rank), count_(count), early_(early) {}
  /// Whether this process has been asked to stop.
  virtual bool asked_to_stop() const { return false; }
  /// Whether every process has Way::on_gpu; all ask at the same time, with gradients on a GPU.
  virtual bool has_way_on_gpu() { return false; }
  /// `mine` is bounds[count] bytes. To process p go those from bounds[p] on, up to bounds[p + 1]; to `all`
  /// come everybody's from bounds[rank] on, one process after another.
  virtual void exchange(const std::byte* mine, std::span<const int64_t> bounds, std::byte* all, Way way) = 0;
  /// Of `whole`, this process has the bytes from bounds[rank] on, up to bounds[rank + 1], and gets the
  /// others.
  virtual void gather(std::byte* whole, std::span<const int64_t> bounds, Way way) = 0;

 private:
  friend class EarlyMean;
  /// Everybody's numbers, one process after another.
  std::vector<double> gathered(std::span<const double> own);
  /// The two halves of `mean`. The first returns every process's share of the weight; the second's flat is
  /// where `way` begins.
  std::vector<double> mean_of_numbers(std::span<double> numbers, double weight);
  void mean_of_tensor(const Tensor& flat, std::span<const double> weights, Way way);

  const int64_t rank_, count_;
  /// Whether an EarlyMean of so many numbers sends early, in all processes alike; and how long it then took.
  bool sends_early(int64_t n) const;
  void took(bool early, double seconds);

  std::optional<bool> early_;
  std::vector<double> seconds_[2];  // of what was tried: late, early
  bool stops_ = false;
};

/// AllReduce::mean of what is still being written, from its end to its begin, as gradients are: what will not
/// change goes to the others meanwhile. The same bits.
///
///   EarlyMean mean(all_reduce, store.gradients(), rows);     // at every process
///   mean.complete_from(1000);                                // flat from 1000 on will not change; or never
///   mean.finish(numbers);                                    // nor will the rest
class EarlyMean {
 public:
  EarlyMean(AllReduce& all_reduce, const Tensor& flat, double weight);
  /// Without `finish`, what is not complete stays where it is.
  ~EarlyMean();
  EarlyMean(const EarlyMean&) = delete;
  EarlyMean& operator=(const EarlyMean&) = delete;

  /// Whether anything is sent before `finish`. It costs time where the cores have to move the bytes, as on
  /// one machine; the first steps try both. From a GPU nothing is.
  bool is_early() const { return sender_.joinable(); }
  void complete_from(int64_t first);
  void finish(std::span<double> numbers);

 private:
  void send_pieces();

  AllReduce& all_reduce_;
  const Tensor flat_;
  const double weight_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::vector<double> weights_;  // of all processes, where pieces are sent early
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t complete_;  // flat from here on
  bool given_up_ = false;
  std::exception_ptr error_;
  std::thread sender_;
};

}  // namespace elbo
