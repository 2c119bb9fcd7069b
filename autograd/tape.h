// Tape: the list of what was computed, and the reverse walk over it that makes gradients.
//
// While a Tape is alive (one per thread), every op appends {name, inputs, rule}. An op can only use results
// that already exist, so the order of recording is a topological order, and `backward` is one loop from the
// end to the start: no sort, no recursion. Each rule runs once and is destroyed with the tensors it saved.
//
//   Tape tape;                                  // ops record only while a tape is alive
//   Variable loss = mean(square(x * w));        // w made from a Parameter
//   tape.backward(loss);                        // d loss / d w is now in w's Parameter
//
// Gradients of parameters accumulate over backward passes until an optimiser's step consumes them.
// A rule captures Tensors, never Variables: its capture list is the list of saved tensors. What it can do is
// in backward.h.
#pragma once

#include <initializer_list>
#include <memory>
#include <span>
#include <utility>

#include "autograd/backward.h"
#include "autograd/variable.h"
#include "tensor/function_ref.h"
#include "tensor/kept_vector.h"

namespace elbo {

/// Is told of a parameter whose gradient is complete while the rest of a backward pass goes on.
using GradientFunction = FunctionRef<void(const Parameter&)>;

/// Pointers, given as {&x, &y} or as a vector of them.
template <class T>
struct PointersTo : std::span<T* const> {
  using std::span<T* const>::span;
  PointersTo(std::initializer_list<T*> list) : std::span<T* const>(list.begin(), list.size()) {}
};

class Tape {
 public:
  Tape() : Tape(nullptr) {}
  /// Gradients of the parameters that `apart` has go to it (gradients_apart.h); `apart` must outlive the
  /// tape.
  explicit Tape(GradientsApart& apart) : Tape(&apart) {}
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// The tape alive on this thread, or null.
  static Tape* live();

  /// Fills the gradients of every parameter that `loss` (one element) depends on. Can be called once.
  void backward(const Variable& loss);
  /// The same for an output of any shape, given d objective / d output. On the CPU `ready` is called for each
  /// parameter that an op has read, as soon as no rule that is left adds to its gradient.
  void backward(const Variable& output, const Tensor& cotangent, const GradientFunction* ready = nullptr);

  /// Runs work(), which reads the tensors of `reads` and records nothing to differentiate: a step's
  /// statistics, say. While a tape is alive on a GPU, work goes to the side stream, beside what follows.
  /// Nothing on the GPU may rely on its results before `backward` has ended, where the streams join.
  static void beside(std::initializer_list<Tensor> reads, FunctionRef<void()> work);

  /// Number of recorded ops.
  int64_t size() const;

  /// Called by ops. Returns `output` as a result whose gradient `rule`, a callable void(Backward&), passes on
  /// to `inputs`. Records nothing when no tape is alive or no input needs a gradient.
  template <class Rule>
  static Variable record(const char* name, PointersTo<const Variable> inputs, Tensor output, Rule rule) {
    Variable result(std::move(output));
    record_outputs(name, inputs, {&result}, std::move(rule));
    return result;
  }
  /// The same for an op with several outputs, which become recorded results in place.
  template <class Rule>
  static void record_outputs(const char* name, PointersTo<const Variable> inputs,
                             PointersTo<Variable> outputs, Rule rule) {
    Tape* const tape = recording(inputs);
    if (!tape) return;
    // In memory that is kept: a repeated step asks neither the heap nor the system for it.
    tape->append(name, inputs, outputs, std::allocate_shared<Rule>(KeptMemory<Rule>(), std::move(rule)),
                 [](void* self, Backward& pass) { (*static_cast<Rule*>(self))(pass); });
  }

 private:
  friend class TapeTrace;
  using Call = void (*)(void* rule, Backward&);
  struct Buffers;

  explicit Tape(GradientsApart* apart);
  /// From here on `trace` (autograd/trace.h) follows the tapes of this thread; null: nothing does.
  static void follow(TapeTrace* trace);
  /// The live tape when any input needs a gradient, else null.
  static Tape* recording(PointersTo<const Variable> inputs);
  void append(const char* name, PointersTo<const Variable> inputs, PointersTo<Variable> outputs,
              std::shared_ptr<void> rule, Call call);
  /// Calls the rules, from the last op to the first.
  void walk(const GradientFunction* ready);
  /// Tells of the parameters that op `entry` is the first to have read.
  void tell_complete(size_t entry, const GradientFunction& ready) const;

  Buffers& buffers_;  // kept between tapes, so that a repeated step allocates nothing
  uint64_t id_;
  bool consumed_ = false;
};

}  // namespace elbo
