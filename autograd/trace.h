// TapeTrace: what a training step does, op by op: for `elbo trace`, and for whoever wants to see a tape.
//
//   TapeTrace trace;                         // from here on every tape of this thread is followed
//   differentiate(loss, input);
//   for (const TapeTrace::Op& op : trace.tapes()[0].ops) fmt::print("{} {}\n", op.name, op.outputs[0].str());
//
// A trace follows the tapes of its own thread only, also where several threads share the parts of a loss. The
// tape reports each record, rule and gradient to the trace; without a trace each report is one test of a null
// pointer. A trace keeps no tensor alive and so changes no memory. On a GPU it waits for every op, so that
// the time measured is that op's.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "autograd/variable.h"

namespace elbo {

class TapeTrace {
 public:
  /// Throws where this thread has one already.
  TapeTrace();
  ~TapeTrace();
  TapeTrace(const TapeTrace&) = delete;
  TapeTrace& operator=(const TapeTrace&) = delete;

  struct Input {
    int op = -1;     ///< the op on this tape that made it; -1: none did
    int output = 0;  ///< which of that op's outputs it is
    std::string
        parameter{};  ///< the name, where it is one that is trained; a constant has neither op nor name
    Shape shape{};
    bool reached = false;  ///< the op's rule gave it a gradient
    bool met = false;      ///< which was added to the gradient that a later op had given
  };
  struct Op {
    std::string name;
    std::vector<Input> inputs;
    std::vector<Shape> outputs;
    DType dtype = DType::f32;
    Device device = Device::cpu;
    int64_t output_bytes = 0;
    /// Memory that only this rule kept alive, measured as it came free when the rule had run. A tensor that
    /// several rules save counts for the first of them; views of parameters, and what the caller still holds,
    /// count nothing. In blocks of tensor/memory.h, which may be a quarter larger than the tensor.
    int64_t saved_bytes = 0;
    /// Time from the record before, or from the tape's beginning, to this record, with everything in between
    /// that was not recorded.
    double forward_seconds = 0;
    double backward_seconds = 0;  ///< of its rule
    bool reached = false;         ///< the backward pass ran its rule; else no gradient came to its outputs
  };
  struct Recorded {
    std::vector<Op> ops;
  };
  /// Those that have ended, and the one that is alive, in the order in which they began.
  const std::vector<Recorded>& tapes() const { return tapes_; }

 private:
  friend class Tape;
  friend class Backward;

  // What a tape says of itself, in this order for each op: when it is recorded, and in the backward pass.
  void begin_tape();
  void begin_op(const char* name, Device device);
  void add_input(int result, const Parameter* parameter, const Shape& shape);
  void add_output(const Tensor& value);
  void end_op();
  void begin_rule(size_t op);
  void gave_gradient(int input, bool met);
  void end_rule();
  void begin_freeing(size_t op);
  void end_freeing();

  /// Seconds since the mark, once the device has done all; the mark is moved.
  double lap(Device device);
  Op& op() { return tapes_.back().ops[at_]; }

  struct Source {
    int op, output;
  };
  std::vector<Recorded> tapes_;
  std::vector<Source> sources_;  // of each result of the latest tape
  size_t at_ = 0;                // the op whose rule runs
  std::chrono::steady_clock::time_point mark_{};
  int64_t live_ = 0;
};

}  // namespace elbo
