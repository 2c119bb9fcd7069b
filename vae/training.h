// Training: steps that make losses small, phase after phase. It takes batches from anything that makes
// tensors, and its caller's loop records, evaluates, saves and ends as it likes.
//
//   Training training(vae.parameters(),
//                     {{.name = "all", .loss = elbo_loss(vae), .steps = 1000},
//                      {.name = "decoder", .loss = elbo_loss(vae), .steps = 500, .moves = {"decoder."}}},
//                     whole_set(x), {.seed = 7});
//   while (training.step())
//     if (training.steps() % 100 == 0) record(training.steps(), training.terms());
//
// A member whose loss is not finite is stopped: from that step on nothing moves it, and the others do not
// notice. Random numbers follow from the seed and the step, so that a training that was saved and loaded goes
// on as if nothing had happened, bit for bit. Methods that do more than that (libi.h, lagging.h) hook into
// their phases and keep what they remember in the training's notes. Knows no run directories and no data
// sets.
#pragma once

#include <map>
#include <memory>

#include "nn/all_reduce.h"
#include "nn/optimizer.h"
#include "vae/loss.h"

namespace elbo {

/// Batches that a GPU makes by itself, for captured steps (captured_steps.h).
struct GpuBatches {
  /// Points of a batch of an epoch, and what `make` is told of where it begins.
  std::function<int64_t(int64_t batch)> rows_of{}, first_of{};
  /// Enqueues what must precede an epoch's batches; does the host's part of that ahead of time. Either may be
  /// missing: then batches of different epochs need nothing between them.
  std::function<void(int64_t epoch)> begin_epoch{}, prepare{};
  /// Enqueues the making of a batch of so many rows, from place (2) i64 in device memory: `first_of` it, and
  /// its epoch.
  std::function<Tensor(int64_t rows, const Tensor& place)> make{};
};

/// Batches by the step of the training, from 0 on.
struct BatchSource {
  int64_t per_epoch = 1;
  /// x (N, D), or (M, N, D) where each member has its own data, of the model's type on its device.
  std::function<Tensor(int64_t step)> batch;
  GpuBatches on_gpu{};  ///< the same batches; without a `make` no step can be captured
  /// Where several processes share each batch: which of its rows `batch` gives, perhaps none.
  std::function<BatchRows(int64_t step)> rows{};
};
/// Every batch is all of x.
BatchSource whole_set(const Tensor& x);
/// All of them are made on the GPU.
BatchSource made_on_gpu(int64_t per_epoch, const GpuBatches& batches);

class Training;

struct Phase {
  std::string name = "training";  ///< in what is said and recorded
  Loss loss{};
  int64_t steps = 0;                ///< at most
  std::vector<double> rates{1e-3};  ///< Adam's, one for all members or one for each
  Schedule schedule{.base = 1};     ///< multiplies the rates, over the phase's own steps
  std::vector<std::string>
      moves{};      ///< names, or beginnings of names, of the parameters that it moves; none: all
  double clip = 0;  ///< largest norm of a member's gradient; 0: no bound
  /// Ends the phase after a step, of which it gets the number in the phase, from 1, and the terms.
  std::function<bool(int64_t step, const LossTerms& terms)> until{};
  /// Hooks, for methods that do more than make a loss small. Whatever they remember from one call to the next
  /// they keep in the training's notes. They are called before each step;
  std::function<void(Training&)> before{};
  /// within it, when the gradients of the phase's loss lie in all parameters and nothing has moved yet;
  std::function<void(Training&)> beside{};
  /// and once after the phase's last step, however it came to that.
  std::function<void(Training&)> after{};
};

/// What hooks remember, by name, on any device. A checkpoint holds it all, as it is.
using TrainingNotes = std::map<std::string, Tensor>;

/// Lengths of so many phases that together take `total` steps, each a whole number of `unit` steps (an
/// epoch's) and as equal as that allows. Throws where that leaves a phase without steps, or steps over.
std::vector<int64_t> equal_lengths(int64_t total, int64_t phases, int64_t unit = 1);

struct TrainingSettings {
  uint64_t seed = 0;  ///< of the noise
  AdamOptions adam{};
  /// Of the processes that share each batch, all of which take the same steps; null: this one is alone. It
  /// must outlive the training.
  AllReduce* all_reduce = nullptr;
};

class Training {
 public:
  /// Throws for a phase that moves nothing, has no loss or other numbers of rates than there are members, and
  /// for one that processes cannot share: with hooks before or beside its steps, or a loss that is no mean of
  /// points. The parameters, and what the losses refer to, must outlive this.
  Training(ParameterStore& parameters, std::vector<Phase> phases, BatchSource batches,
           const TrainingSettings& settings = {});

  /// Takes a step; false, and nothing more, where all phases have ended or every member has stopped. Each
  /// phase begins with moments of 0.
  bool step();

  /// Steps taken, over all phases; and what the latest measured, on the CPU, or of a captured step on the
  /// GPU.
  int64_t steps() const { return steps_; }
  const LossTerms& terms() const { return terms_; }
  const Tensor& x() const { return x_; }  ///< its batch, or this process's rows; of a captured step none
  int64_t rows() const { return rows_; }  ///< of the whole batch
  /// The learning rates of the present step, or of one so many steps later in the phase, one for each member:
  /// 0 where it was stopped.
  std::vector<double> rates_now(int64_t later = 0) const;
  /// The key of the noise of a step, counted from 0 over all phases.
  RandomKey noise_at(int64_t step) const;
  /// The phase that the latest step was in, or the first; and that step's number in it, from 1.
  const Phase& phase() const { return phases_.at(at_); }
  int64_t steps_in_phase() const { return in_phase_; }
  /// Of the next step, as losses see it: within its phase.
  TrainingTime time() const;

  /// The step, counted from 0 over all phases, at which a member was stopped; -1: it was not.
  int64_t stopped(int64_t member) const { return stopped_.at(static_cast<size_t>(member)); }
  void stop(int64_t member, int64_t step);

  ParameterStore& parameters() { return parameters_; }
  const TrainingSettings& settings() const { return settings_; }
  TrainingNotes& notes() { return notes_; }
  const TrainingNotes& notes() const { return notes_; }

  // For steps that something else takes with this optimiser, as captured ones are (captured_steps.h):
  /// Begins the next phase where the present one is over. Whether there is a step to take.
  bool begin_step();
  Adam& adam() { return *adam_; }
  const BatchSource& batches() const { return batches_; }
  /// Counts so many steps of the present phase, of which the latest measured `terms`. Where they end the
  /// phase its `after` is called, so who was stopped must be known; the other hooks are not.
  void took(int64_t steps, const LossTerms& terms);

  /// Writes everything that going on needs, and `extra`, replacing the file as a whole.
  void save(const std::string& path, const std::map<std::string, std::string>& extra = {}) const;
  /// Takes up what was saved by a training of the same phases; returns `extra`. A checkpoint that does not
  /// speak of phases (nn/checkpoint.h) is one of the first. Throws, changing nothing, for other files.
  std::map<std::string, std::string> load(const std::string& path);

 private:
  LossTerms differentiate_batch();
  LossTerms over_processes(LossTerms own, EarlyMean& mean);
  void begin_phase(size_t phase);
  void set_rates(std::vector<double>& rates, int64_t later) const;

  ParameterStore& parameters_;
  const std::vector<Phase> phases_;
  const BatchSource batches_;
  const TrainingSettings settings_;
  size_t at_ = 0;
  int64_t steps_ = 0, in_phase_ = 0;
  bool phase_over_ = false;
  std::vector<int64_t> stopped_;
  std::unique_ptr<Adam> adam_;
  std::vector<Parameter*> moved_;  // by the present phase
  std::vector<double> rates_;      // of the latest step
  Tensor x_;
  int64_t rows_ = 0;
  LossTerms terms_;
  TrainingNotes notes_;
};

}  // namespace elbo
