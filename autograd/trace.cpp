#include "autograd/trace.h"

#include "autograd/tape.h"
#include "tensor/cuda/device.h"

namespace elbo {
namespace {

int64_t live_bytes(Device device) { return static_cast<int64_t>(memory_counters(device).live); }

}  // namespace

TapeTrace::TapeTrace() { Tape::follow(this); }

TapeTrace::~TapeTrace() { Tape::follow(nullptr); }

double TapeTrace::lap(Device device) {
  if (device == Device::cuda) cuda::synchronize();
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - mark_).count();
  mark_ = now;
  return seconds;
}

void TapeTrace::begin_tape() {
  tapes_.emplace_back();
  sources_.clear();
  mark_ = std::chrono::steady_clock::now();
}

void TapeTrace::begin_op(const char* name, Device device) {
  Op& op = tapes_.back().ops.emplace_back();
  op.name = name;
  op.device = device;
  op.forward_seconds = lap(device);
}

void TapeTrace::add_input(int result, const Parameter* parameter, const Shape& shape) {
  Input input{.shape = shape};
  if (parameter) input.parameter = parameter->name.empty() ? "a leaf" : parameter->name;
  if (result >= 0) {
    const Source& source = sources_[static_cast<size_t>(result)];
    input.op = source.op;
    input.output = source.output;
  }
  tapes_.back().ops.back().inputs.push_back(std::move(input));
}

void TapeTrace::add_output(const Tensor& value) {
  std::vector<Op>& ops = tapes_.back().ops;
  Op& op = ops.back();
  sources_.push_back({static_cast<int>(ops.size()) - 1, static_cast<int>(op.outputs.size())});
  op.outputs.push_back(value.shape());
  op.output_bytes += value.byte_count();
  op.dtype = value.dtype();
}

void TapeTrace::end_op() { mark_ = std::chrono::steady_clock::now(); }

void TapeTrace::begin_rule(size_t index) {
  at_ = index;
  mark_ = std::chrono::steady_clock::now();
}

void TapeTrace::gave_gradient(int input, bool met) {
  Input& in = op().inputs[static_cast<size_t>(input)];
  in.reached = true;
  in.met = in.met || met;
}

void TapeTrace::end_rule() {
  op().reached = true;
  op().backward_seconds = lap(op().device);
}

void TapeTrace::begin_freeing(size_t index) {
  at_ = index;
  live_ = live_bytes(op().device);
}

void TapeTrace::end_freeing() { op().saved_bytes = live_ - live_bytes(op().device); }

}  // namespace elbo
