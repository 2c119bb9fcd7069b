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
// A rule captures Tensors, never Variables: its capture list is the list of saved tensors.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/variable.h"
#include "tensor/cuda/device.h"
#include "tensor/tensor.h"

namespace elbo {

class Backward;
class GradientsApart;

class Tape {
 public:
  Tape() : Tape(nullptr) {}
  /// Leaves gradients of the parameters that `apart` knows there (gradients_apart.h); it must outlive the
  /// tape.
  explicit Tape(GradientsApart& apart) : Tape(&apart) {}
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// The tape alive on this thread, or null.
  static Tape* live();

  /// Fills the gradients of every parameter that `loss` (one element) depends on. Can be called once.
  void backward(const Variable& loss);
  /// The same for an output of any shape, given d objective / d output.
  void backward(const Variable& output, const Tensor& cotangent);

  /// Number of recorded ops.
  int64_t size() const;

  /// Called by ops. Returns `output` as a result whose gradient `rule`, a callable void(Backward&), passes on
  /// to `inputs`. Records nothing when no tape is alive or no input needs a gradient.
  template <class Rule>
  static Variable record(const char* name, std::initializer_list<const Variable*> inputs, Tensor output,
                         Rule rule) {
    return record(name, std::span(inputs.begin(), inputs.size()), std::move(output), std::move(rule));
  }
  template <class Rule>
  static Variable record(const char* name, std::span<const Variable* const> inputs, Tensor output,
                         Rule rule) {
    Variable first(std::move(output));
    record_outputs(name, inputs, {&first}, std::move(rule));
    return first;
  }
  /// The same for an op with several outputs, which become recorded results in place.
  template <class Rule>
  static void record_outputs(const char* name, std::span<const Variable* const> inputs,
                             std::initializer_list<Variable*> outputs, Rule rule) {
    record_outputs(name, inputs, std::span(outputs.begin(), outputs.size()), std::move(rule));
  }
  template <class Rule>
  static void record_outputs(const char* name, std::span<const Variable* const> inputs,
                             std::span<Variable* const> outputs, Rule rule) {
    Tape* tape = recording(inputs);
    if (!tape) return;
    void* memory = tape->reserve(sizeof(Rule), alignof(Rule));
    auto* stored = new (memory) Rule(std::move(rule));
    tape->append(
        name, inputs, outputs, stored, [](void* self, Backward& pass) { (*static_cast<Rule*>(self))(pass); },
        [](void* self) { std::destroy_at(static_cast<Rule*>(self)); });
  }

 private:
  friend class Backward;
  using Call = void (*)(void*, Backward&);
  using Destroy = void (*)(void*);
  struct Buffers;

  explicit Tape(GradientsApart* apart);
  /// The live tape when any input needs a gradient, else null.
  static Tape* recording(std::span<const Variable* const> inputs);
  void* reserve(size_t bytes, size_t alignment);
  void append(const char* name, std::span<const Variable* const> inputs, std::span<Variable* const> outputs,
              void* rule, Call call, Destroy destroy);

  Buffers& buffers_;  // kept between tapes, so that a repeated step allocates nothing
  uint64_t id_;
  bool consumed_ = false;
};

/// What a rule sees: the gradients of its op's outputs, and the way to add to those of its inputs.
class Backward {
 public:
  /// d objective / d output; zeros when nothing depended on that output.
  const Tensor& dy(int output = 0);
  /// Whether input i needs a gradient; a rule need not compute one that nobody wants.
  bool wants(int input) const;

  /// Adds `gradient` to input i's. Axes along which the input was broadcast are summed here.
  void add(int input, const Tensor& gradient);

  /// Adds f(in...), evaluated over the inputs' broadcast space and summed down to input i's shape, in one
  /// pass. Defined in autograd/contribute.h, for files that have formulas of their own.
  template <class F, class... In>
  void contribute(int input, F f, const In&... in);

  /// For rules that write through gemm: the tensor to write, and whether to add to what it holds.
  struct Target {
    Tensor tensor;
    bool accumulate;
  };
  Target target(int input);
  const Shape& input_shape(int input) const;

  /// Runs work(), which reads the tensors of `reads` and writes gradients of parameters only, those of
  /// `inputs`. On a GPU it goes to the side stream, beside what follows: gradients of weights are wanted at
  /// the end of the pass, those of layers at once.
  template <class Work>
  void beside(std::initializer_list<int> inputs, std::initializer_list<Tensor> reads, const Work& work) {
    if (!goes_beside(inputs, reads)) return work();
    const cuda::SideStream side;
    work();
  }

 private:
  friend class Tape;
  Backward(Tape::Buffers& buffers, size_t entry) : buffers_(buffers), entry_(entry) {}
  bool goes_beside(std::initializer_list<int> inputs, std::initializer_list<Tensor> reads);
  Tape::Buffers& buffers_;
  size_t entry_;
};

}  // namespace elbo
