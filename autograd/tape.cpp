#include "autograd/tape.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "autograd/gradients_apart.h"
#include "autograd/trace.h"

namespace elbo {

// One set per thread, emptied but not freed when a tape ends.
struct Tape::Buffers {
  struct Entry {
    const char* name;
    size_t first_input, inputs, first_output, outputs;
    std::shared_ptr<void> rule;
    Call call;
  };
  std::vector<Entry> entries;
  std::vector<Backward::Input> inputs;
  TapeGradients gradients;
  Tape* live = nullptr;

  static Buffers& of_this_thread() {
    static thread_local Buffers buffers;
    return buffers;
  }
};

namespace {
std::atomic<uint64_t> next_tape_id{1};
}

Tape::Tape(GradientsApart* apart) : buffers_(Buffers::of_this_thread()), id_(next_tape_id++) {
  if (buffers_.live) fail("[tape] a tape is already alive on this thread; end it before starting another");
  buffers_.live = this;
  buffers_.gradients.apart = apart;
  if (buffers_.gradients.trace) buffers_.gradients.trace->begin_tape();
}

Tape::~Tape() {
  buffers_.gradients.read_beside.clear();
  buffers_.entries.clear();
  buffers_.inputs.clear();
  buffers_.gradients.slots.clear();
  buffers_.live = nullptr;
}

void Tape::follow(TapeTrace* trace) {
  Buffers& buffers = Buffers::of_this_thread();
  if (trace && buffers.gradients.trace)
    fail("[trace] this thread's tapes are traced already; end that trace first");
  if (trace && buffers.live) fail("[trace] a tape is alive; a trace must begin before it and end after it");
  buffers.gradients.trace = trace;
}

Tape* Tape::live() { return Buffers::of_this_thread().live; }

void Tape::beside(std::initializer_list<Tensor> reads, FunctionRef<void()> work) {
  Tape* const tape = live();
  if (!tape || tape->consumed_) return work();
  tape->buffers_.gradients.run_beside(reads, work);
}

int64_t Tape::size() const { return static_cast<int64_t>(buffers_.entries.size()); }

Tape* Tape::recording(PointersTo<const Variable> inputs) {
  Tape* tape = live();
  if (!tape || tape->consumed_) return nullptr;
  for (const Variable* input : inputs)
    if (input->needs_gradient()) return tape;
  return nullptr;
}

void Tape::append(const char* name, PointersTo<const Variable> inputs, PointersTo<Variable> outputs,
                  std::shared_ptr<void> rule, Call call) {
  Buffers& b = buffers_;
  std::vector<TapeGradients::Slot>& slots = b.gradients.slots;
  for (const Variable* input : inputs)
    if (input->slot_ >= 0 && input->tape_id_ != id_)
      fail("[{}] an input was recorded on a tape that has ended; pass it through stop_gradient", name);
  b.entries.push_back(
      {name, b.inputs.size(), inputs.size(), slots.size(), outputs.size(), std::move(rule), call});
  for (const Variable* input : inputs) b.inputs.push_back({input->slot_, input->parameter_, input->shape()});
  for (Variable* output : outputs) {
    output->slot_ = static_cast<int>(slots.size());
    output->tape_id_ = id_;
    slots.push_back({Tensor(), output->shape(), output->dtype(), output->value().device()});
  }
  TapeTrace* const trace = b.gradients.trace;
  if (!trace) return;
  trace->begin_op(name, outputs[0]->value().device());
  for (const Variable* input : inputs) trace->add_input(input->slot_, input->parameter_, input->shape());
  for (const Variable* output : outputs) trace->add_output(output->value());
  trace->end_op();
}

void Tape::backward(const Variable& loss) {
  if (loss.value().elements() != 1)
    fail("[backward] the loss must be one number, got shape {}; sum or average it", loss.shape().str());
  backward(loss, Tensor::full(loss.shape(), 1.0, loss.dtype(), loss.value().device()));
}

void Tape::backward(const Variable& output, const Tensor& cotangent, const GradientFunction* ready) {
  if (consumed_) fail("[backward] this tape was already walked; its rules are gone. Record the step again");
  if (output.slot_ < 0 || output.tape_id_ != id_)
    fail("[backward] the output does not depend on any parameter through this tape");
  if (!(cotangent.shape() == output.shape()) || cotangent.dtype() != output.dtype())
    fail("[backward] the cotangent must be {} {}, got {} {}", name(output.dtype()), output.shape().str(),
         name(cotangent.dtype()), cotangent.shape().str());
  consumed_ = true;
  buffers_.gradients.slots[static_cast<size_t>(output.slot_)].gradient = cotangent;
  try {
    walk(ready);
  } catch (...) {
    // What was written is a part, which the next pass must not add to.
    for (const Backward::Input& input : buffers_.inputs) {
      if (!input.parameter) continue;
      GradientsApart* const apart = buffers_.gradients.apart;
      GradientsApart::Entry* const own = apart ? apart->find(input.parameter) : nullptr;
      (own ? own->has_gradient : input.parameter->has_gradient) = false;
    }
    throw;
  }
}

void Tape::tell_complete(size_t entry, const GradientFunction& ready) const {
  const std::span all(buffers_.inputs);
  const size_t first = buffers_.entries[entry].first_input, end = first + buffers_.entries[entry].inputs;
  for (size_t i = first; i < end; ++i) {
    const auto is_same = [&](const Backward::Input& other) { return other.parameter == all[i].parameter; };
    if (all[i].parameter && std::none_of(all.begin(), all.begin() + static_cast<ptrdiff_t>(i), is_same))
      ready(*all[i].parameter);
  }
}

void Tape::walk(const GradientFunction* ready) {
  TapeGradients& gradients = buffers_.gradients;
  for (size_t i = buffers_.entries.size(); i-- > 0;) {
    Buffers::Entry& entry = buffers_.entries[i];
    const auto outputs = std::span(gradients.slots).subspan(entry.first_output, entry.outputs);
    bool reached = false;
    for (const TapeGradients::Slot& slot : outputs) reached |= slot.gradient.defined();
    if (reached) {
      Backward pass(entry.name, std::span(buffers_.inputs).subspan(entry.first_input, entry.inputs),
                    entry.first_output, entry.outputs, gradients);
      if (gradients.trace) gradients.trace->begin_rule(i);
      entry.call(entry.rule.get(), pass);
      if (gradients.trace) gradients.trace->end_rule();
    }
    if (gradients.trace) {
      const std::weak_ptr<void> rules_own = entry.rule;  // its memory is no tensor's: freed later
      gradients.trace->begin_freeing(i);
      entry.rule.reset();
      gradients.trace->end_freeing();
    }
    entry.rule.reset();
    for (TapeGradients::Slot& slot : outputs) slot.gradient = Tensor();
    if (ready) tell_complete(i, *ready);
  }
  gradients.join_streams();
}

}  // namespace elbo
