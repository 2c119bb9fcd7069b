// Backward: what an op's rule sees during the backward pass: the gradients of the op's outputs, and three
// ways to give gradients to its inputs.
//
//   add          a gradient that exists as a tensor
//   contribute   a formula, evaluated into the gradient in one pass (contribute.h)
//   target       the gradient's own memory, for a product that writes or adds in place
//
//   Tape::record("twice", {&x}, y, [](Backward& pass) { pass.contribute(0, Scaled{2}, pass.dy()); });
//
// Each adds to what an earlier rule gave, or to what a Parameter holds from an earlier pass.
#pragma once

#include <initializer_list>
#include <span>
#include <vector>

#include "autograd/variable.h"
#include "tensor/function_ref.h"

namespace elbo {

class GradientsApart;
class TapeTrace;

/// The gradients of a tape's results while it is walked, and what the side stream of a GPU still reads.
struct TapeGradients {
  struct Slot {
    Tensor gradient;  // undefined: nothing has been added yet
    Shape shape;
    DType dtype;
    Device device;
  };
  std::vector<Slot> slots;
  /// Takes gradients in place of some parameters (gradients_apart.h); null: of none.
  GradientsApart* apart = nullptr;
  TapeTrace* trace = nullptr;  ///< follows the tape (trace.h), or null
  /// What the side stream reads, kept until the streams join: or `target`, finding one owner, would overwrite
  /// it.
  std::vector<Tensor> read_beside;

  /// Runs work(), which reads the tensors of `reads`; on the side stream if all are on a GPU. A traced tape
  /// measures each op alone, so there nothing runs beside it.
  void run_beside(std::initializer_list<Tensor> reads, FunctionRef<void()> work);
  void join_streams();
};

class Backward {
 public:
  /// An input of the op: a result of the same tape, a parameter, or neither, which is a constant.
  struct Input {
    int slot;  // -1: not a result of this tape
    Parameter* parameter;
    Shape shape;
  };
  /// Made by the tape: for the op called `name`, whose outputs are the slots from first_output on.
  Backward(const char* name, std::span<const Input> inputs, size_t first_output, size_t outputs,
           TapeGradients& gradients)
      : name_(name), inputs_(inputs), first_output_(first_output), outputs_(outputs), all_(gradients) {}

  /// d objective / d output; zeros when nothing depended on that output.
  const Tensor& dy(int output = 0);
  /// Whether input i needs a gradient; a rule need not compute others.
  bool wants(int input) const;
  const Shape& input_shape(int input) const { return at(input).shape; }

  /// Adds `gradient` to input i's. Axes along which the input was broadcast are summed here.
  void add(int input, const Tensor& gradient);

  /// Adds f(in...), evaluated over the inputs' broadcast space and summed down to input i's shape, in one
  /// pass. Defined in autograd/contribute.h, for files that have formulas of their own.
  template <class F, class... In>
  void contribute(int input, F f, const In&... in);
  /// The same where `in` always broadcast to input i's shape: there is nothing to sum, and half as much to
  /// compile.
  template <class F, class... In>
  void contribute_unsummed(int input, F f, const In&... in);

  /// The tensor to write, and whether to add to its numbers. Only for an input that is wanted.
  struct Target {
    Tensor tensor;
    bool accumulate;
  };
  Target target(int input);

  /// Runs work(), which reads the tensors of `reads` and writes only gradients of the parameters among
  /// `inputs`. On a GPU work goes to the side stream, beside what follows: gradients of weights are needed at
  /// the end of the pass, gradients of activations at once.
  void beside(std::initializer_list<int> inputs, std::initializer_list<Tensor> reads,
              FunctionRef<void()> work);

 private:
  const Input& at(int input) const;

  const char* name_;
  std::span<const Input> inputs_;
  size_t first_output_, outputs_;
  TapeGradients& all_;
};

}  // namespace elbo
