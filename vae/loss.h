// A loss: what a training step makes small. It is a function of a batch, the time and a noise key, to one
// cost for each member, and to probes: named means over the batch, which are recorded.
//
//   const Loss loss{.probes = {"error"},
//                   .value = [&](const LossInput& in) {
//                     const Variable error = mean(square(model(in.x) - in.x), {-2, -1});
//                     return LossValue{error, {error}};
//                   }};
//   const LossTerms terms = differentiate(loss, {x, {}, key});      // the gradients are in the parameters
//
// A loss refers to its model, which must outlive it. Makers of losses: elbo_loss.h. Knows no optimiser and no
// loop.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "autograd/tape.h"
#include "tensor/batch_rows.h"
#include "tensor/function_ref.h"
#include "tensor/kept_vector.h"

namespace elbo {

/// Where in its training a model is.
struct TrainingTime {
  int64_t step = 0, steps_per_epoch = 1, total_steps = 1;
  double epochs() const { return static_cast<double>(step) / static_cast<double>(steps_per_epoch); }
};

struct LossInput {
  Tensor x;  ///< the batch: (N, D), which every member sees, or (M, N, D)
  Tensor
      numbers;  ///< what Loss::numbers says, of the model's type, on its device; undefined where it is empty
  RandomKey key;     ///< of the step's noise
  BatchRows rows{};  ///< which of the batch's rows x has, where several processes share it
  /// On the CPU, is told of gradients that are complete before the others are; null: nobody asks. A loss may
  /// leave it alone.
  const GradientFunction* ready = nullptr;
};

struct LossValue {
  Variable cost;  ///< () or (M): of each member, which depends on that one's parameters alone
  /// Each () or (M), in the order of their names. With a tape alive they may be made beside it
  /// (Tape::beside): on a GPU they are there when it has been walked.
  KeptVector<Variable> probes;
};

/// What a step measured.
struct LossTerms {
  Tensor cost;                ///< () or (M)
  KeptVector<Tensor> probes;  ///< each () or (M), in the order of their names
};

struct Loss {
  std::vector<std::string> probes{};
  /// What the loss depends on besides the batch, such as weights that change over time: (n) f64 on the CPU.
  /// How many there are does not change. A captured step (captured_training.h) finds new ones at every
  /// replay, so whatever changes from step to step must be among them.
  std::function<Tensor(const TrainingTime&)> numbers{};
  std::function<LossValue(const LossInput&)> value{};
  /// Where it is set, it does what `differentiate` would do with `value`, in a better way.
  std::function<LossTerms(const LossInput&)> differentiate{};
  /// Whether cost and probes are means over the batch of what each point gives by itself. Then those of a
  /// batch follow from those of its parts, and processes can share it (nn/all_reduce.h).
  bool is_mean_of_points = false;

  /// Undefined where the loss has none.
  Tensor numbers_at(const TrainingTime& time) const { return numbers ? numbers(time) : Tensor(); }
};

/// Leaves the gradient of every member's cost in the parameters that it depends on.
LossTerms differentiate(const Loss& loss, const LossInput& input);
LossTerms differentiate(FunctionRef<LossValue(const LossInput&)> value, const LossInput& input);
/// The same with the numbers of a time; they get the type and the device of x.
LossTerms differentiate(const Loss& loss, const Tensor& x, const TrainingTime& time, const RandomKey& key,
                        const BatchRows& rows = {}, const GradientFunction* ready = nullptr);

/// The gradient of the members' costs, () or (M), together: none depends on another's parameters.
void backward_of_each(Tape& tape, const Variable& costs, const GradientFunction* ready = nullptr);

/// The same numbers on the CPU; those of a GPU are waited for.
LossTerms on_cpu(LossTerms terms);

/// Members whose cost, or any of whose probes, is NaN or infinite.
std::vector<int64_t> members_not_finite(const LossTerms& terms);

}  // namespace elbo
