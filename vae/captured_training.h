// CapturedTraining: whole training steps on a GPU, each one replay of a captured graph.
//
// A step gathers and preprocesses its batch, goes forward and backward, adds up what it measured, clips and
// sweeps, all without the host: what changes from step to step (which batch, the noise's counter, the loss's
// numbers, learning rates) stands in a table in device memory, one row for each step, which the host fills a
// chunk ahead. The first step of each batch size runs as plain launches, as every step does without
// `capture`; the next ones replay it. What is computed is the same either way. A member whose loss is not
// finite gets the rate 0 from there on, by the GPU itself.
#pragma once

#include <functional>
#include <map>

#include "nn/optimizer.h"
#include "tensor/cuda/device.h"
#include "vae/loss.h"

namespace elbo {

class CapturedTraining {
 public:
  struct Options {
    double clip = 0;                   ///< largest norm of a member's gradient; 0: no bound
    std::vector<std::string> moves{};  ///< beginnings of the names of what it is the gradient of; none: all
    uint64_t seed = 0;                 ///< of the latent noise
    std::string watched{};  ///< a parameter of one number for each model, read with the sums; empty: none
    bool capture = true;
  };
  /// Enqueues the making of a batch of so many rows B, (B, D) or (M, B, D), from place (2) i64 in device
  /// memory: where it begins in its epoch, and the epoch.
  using Batch = std::function<Tensor(int64_t rows, const Tensor& place)>;

  /// What a step does, in numbers.
  struct Step {
    int64_t number = 0;                      ///< that its noise is of, and by which a stop is known
    TrainingTime time{};                     ///< as the loss sees it
    int64_t rows = 0, first = 0, epoch = 0;  ///< of the batch
    std::vector<double> rates{};             ///< of each model
  };

  /// The parameters, and `adam` which moves them, must be on a GPU and outlive this, as must what `loss` is
  /// of.
  CapturedTraining(ParameterStore& parameters, Adam& adam, const Loss& loss, const Options& options,
                   const Batch& batch);
  ~CapturedTraining();
  CapturedTraining(const CapturedTraining&) = delete;
  CapturedTraining& operator=(const CapturedTraining&) = delete;

  static constexpr int64_t kMostSteps = 64;
  /// Enqueues steps, at most kMostSteps, and returns while they run. What their batches need beforehand, as
  /// the order of an epoch, must be there for all of them.
  void run(std::span<const Step> steps);
  /// What the latest of them measures, on the GPU, until there is a next.
  const LossTerms& terms() const { return terms_.at(latest_rows_); }

  /// What the steps since `begin_sums` add up to, of each model.
  struct Sums {
    std::vector<std::vector<double>> probes;  ///< [probe][model], over points
    std::vector<double> watched;              ///< now; empty where nothing is
    std::vector<int64_t> stopped;             ///< the step at which the loss was not finite, or -1
  };
  /// Sums on their way to the host. Those that were asked for first arrive first.
  class Pending {
   public:
    Pending(Pending&&) = default;
    Pending& operator=(Pending&&) = default;
    bool arrived() const { return event_.done(); }
    Sums wait() const;

   private:
    friend class CapturedTraining;
    /// Pinned memory for later: taking it from the system holds up the GPU.
    struct Spare {
      std::vector<double*> buffers;
      ~Spare() {
        for (double* buffer : buffers) cuda::free_pinned(buffer);
      }
    };
    struct GiveBack {
      std::shared_ptr<Spare> to;
      void operator()(double* buffer) const { to->buffers.push_back(buffer); }
    };
    Pending(int64_t probes, int64_t models, bool has_watched, const std::shared_ptr<Spare>& spare);
    std::unique_ptr<double[], GiveBack> numbers_;
    cuda::Event event_;
    int64_t probes_, models_;
    bool has_watched_;
  };
  Pending read();
  /// Starts sums afresh; `sums` are to be added to, as those of an interrupted run. Members stopped stay
  /// stopped.
  void begin_sums();
  void begin_sums(const Sums& sums);

  /// Kernels, copies and fills of a captured step; 0 before there is one.
  size_t nodes() const;

 private:
  void take(int64_t rows);  // enqueues one step
  int64_t probes() const { return static_cast<int64_t>(loss_.probes.size()); }
  int64_t row_length() const;  // numbers in a row of the table

  ParameterStore& parameters_;
  Adam& adam_;
  const Loss loss_;
  const Options options_;
  const Batch batch_;
  const int64_t models_, numbers_;  // of the loss
  // All on the GPU. What the present step reads, as `advance` took it from the table:
  Tensor table_, next_, place_, counter_, points_, now_, rates_;
  Tensor sums_;  // f64 (probes + 2, models): of each probe; the step of a stop or -1; what is watched
  std::shared_ptr<Pending::Spare> spare_ = std::make_shared<Pending::Spare>();
  double* staged_[2] = {nullptr, nullptr};  // pinned
  cuda::Event copied_[2];
  int turn_ = 0;
  std::vector<Parameter*> moved_;
  // By the batch's rows: steps so far, what the latest measured, and the graph.
  std::map<int64_t, int64_t> taken_;
  std::map<int64_t, LossTerms> terms_;
  std::map<int64_t, cuda::Graph> graphs_;
  int64_t latest_rows_ = 0;
};

}  // namespace elbo
