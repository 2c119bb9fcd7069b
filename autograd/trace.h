// TapeTrace: what a training step does, op by op: for `elbo trace`, and for whoever wants to see a tape.
//
//   TapeTrace trace;                         // from here on every tape of this thread is followed
//   differentiate(loss, input);
//   for (const TapeTrace::Op& op : trace.tapes()[0].ops) fmt::print("{} {}\n", op.name, op.outputs[0].str());
//
// Only this thread's tapes: where threads share the parts of a loss, those of the others are not seen. The
// tape tells a trace of each record, rule and gradient; while none is alive that is one test of a null
// pointer for each. A trace keeps no tensor alive, so memory is what it would be without it. On a GPU every
// op is waited for, so that its time is its own.
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
    bool met = false;      ///< which was added to one that was there already, from an op further down
  };
  struct Op {
    std::string name;
    std::vector<Input> inputs;
    std::vector<Shape> outputs;
    DType dtype = DType::f32;
    Device device = Device::cpu;
    int64_t output_bytes = 0;
    /// Memory that only this rule kept alive: it came free when the rule had run. What several rules save
    /// counts for the first of them; views of parameters cost nothing, and what the caller still holds is
    /// not counted. In blocks of tensor/memory.h, which may be a quarter larger than what was asked for.
    int64_t saved_bytes = 0;
    /// From the record before, or the tape's beginning, to this one's: whatever was done in between that
    /// records nothing is in it.
    double forward_seconds = 0;
    double backward_seconds = 0;  ///< of its rule
    bool reached = false;  ///< the backward pass came by; else nothing depends on it that has a gradient
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
