#include "autograd/tape.h"

#include <cstring>

#include "autograd/gradients_apart.h"
#include "tensor/map.h"

namespace elbo {

// One set per thread, emptied but not freed when a tape ends.
struct Tape::Buffers {
  struct Input {
    int slot;  // -1: not a recorded result
    Parameter* parameter;
    Shape shape;
  };
  struct Entry {
    const char* name;
    size_t first_input, inputs;
    int first_output, outputs;
    void* rule;
    Call call;
    Destroy destroy;
  };
  struct Slot {
    Tensor gradient;  // undefined: nothing has been added yet
    Shape shape;
    DType dtype;
    Device device;
  };
  static constexpr size_t kChunk = 1 << 14;

  std::vector<Entry> entries;
  std::vector<Input> inputs;
  std::vector<Slot> slots;
  std::vector<std::unique_ptr<std::byte[]>> chunks;  // rules live here and never move
  size_t chunk = 0, used = 0;
  std::vector<Tensor>
      read_beside;  // kept until the streams join: a sole owner would write over what is being read
  Tape* live = nullptr;
  GradientsApart* apart = nullptr;  // the live tape's

  static Buffers& of_this_thread() {
    static thread_local Buffers buffers;
    return buffers;
  }

  Input& input_of(size_t entry, int input) {
    const Entry& e = entries[entry];
    if (input < 0 || static_cast<size_t>(input) >= e.inputs)
      fail("[{}] the rule has no input {}", e.name, input);
    return inputs[e.first_input + static_cast<size_t>(input)];
  }

  void join_streams() {
    cuda::join_side_stream();
    read_beside.clear();
  }

  void destroy_rule(Entry& entry) {
    if (entry.rule) entry.destroy(entry.rule);
    entry.rule = nullptr;
  }
};

namespace {
std::atomic<uint64_t> next_tape_id{1};
}

Tape::Tape(GradientsApart* apart) : buffers_(Buffers::of_this_thread()), id_(next_tape_id++) {
  if (buffers_.live) fail("[tape] a tape is already alive on this thread; end it before starting another");
  buffers_.live = this;
  buffers_.apart = apart;
}

Tape::~Tape() {
  buffers_.read_beside.clear();
  for (Buffers::Entry& entry : buffers_.entries) buffers_.destroy_rule(entry);
  buffers_.entries.clear();
  buffers_.inputs.clear();
  buffers_.slots.clear();
  buffers_.chunk = buffers_.used = 0;
  buffers_.live = nullptr;
}

Tape* Tape::live() { return Buffers::of_this_thread().live; }

int64_t Tape::size() const { return static_cast<int64_t>(buffers_.entries.size()); }

Tape* Tape::recording(std::span<const Variable* const> inputs) {
  Tape* tape = live();
  if (!tape || tape->consumed_) return nullptr;
  for (const Variable* input : inputs)
    if (input->needs_gradient()) return tape;
  return nullptr;
}

void* Tape::reserve(size_t bytes, size_t alignment) {
  Buffers& b = buffers_;
  static_assert(Buffers::kChunk >= 4096);
  if (bytes + alignment > Buffers::kChunk) fail("[tape] a rule of {} bytes is too large", bytes);
  size_t start = (b.used + alignment - 1) / alignment * alignment;
  if (b.chunks.empty() || start + bytes > Buffers::kChunk) {
    b.chunk += b.chunks.empty() ? 0 : 1;
    if (b.chunk == b.chunks.size()) b.chunks.push_back(std::make_unique<std::byte[]>(Buffers::kChunk));
    start = 0;
  }
  b.used = start + bytes;
  return b.chunks[b.chunk].get() + start;
}

void Tape::append(const char* name, std::span<const Variable* const> inputs,
                  std::span<Variable* const> outputs, void* rule, Call call, Destroy destroy) {
  Buffers& b = buffers_;
  b.entries.push_back({name, b.inputs.size(), inputs.size(), static_cast<int>(b.slots.size()),
                       static_cast<int>(outputs.size()), rule, call, destroy});
  for (const Variable* input : inputs) {
    if (input->slot_ >= 0 && input->tape_id_ != id_)
      fail("[{}] an input was recorded on a tape that has ended; pass it through stop_gradient", name);
    b.inputs.push_back({input->slot_, input->parameter_, input->shape()});
  }
  for (Variable* output : outputs) {
    output->slot_ = static_cast<int>(b.slots.size());
    output->tape_id_ = id_;
    b.slots.push_back({Tensor(), output->shape(), output->dtype(), output->value().device()});
  }
}

void Tape::backward(const Variable& loss) {
  if (loss.value().elements() != 1)
    fail("[backward] the loss must be one number, got shape {}; sum or average it", loss.shape().str());
  backward(loss, Tensor::full(loss.shape(), 1.0, loss.dtype(), loss.value().device()));
}

void Tape::backward(const Variable& output, const Tensor& cotangent) {
  if (consumed_) fail("[backward] this tape was already walked; its rules are gone. Record the step again");
  if (output.slot_ < 0 || output.tape_id_ != id_)
    fail("[backward] the output does not depend on any parameter through this tape");
  if (!(cotangent.shape() == output.shape()) || cotangent.dtype() != output.dtype())
    fail("[backward] the cotangent must be {} {}, got {} {}", name(output.dtype()), output.shape().str(),
         name(cotangent.dtype()), cotangent.shape().str());
  consumed_ = true;
  buffers_.slots[static_cast<size_t>(output.slot_)].gradient = cotangent;
  for (size_t i = buffers_.entries.size(); i-- > 0;) {
    Buffers::Entry& entry = buffers_.entries[i];
    const auto first = static_cast<size_t>(entry.first_output),
               last = first + static_cast<size_t>(entry.outputs);
    bool reached = false;
    for (size_t slot = first; slot < last; ++slot) reached |= buffers_.slots[slot].gradient.defined();
    if (reached) {
      Backward pass(buffers_, i);
      entry.call(entry.rule, pass);
    }
    buffers_.destroy_rule(entry);
    for (size_t slot = first; slot < last; ++slot) buffers_.slots[slot].gradient = Tensor();
  }
  buffers_.join_streams();
}

const Tensor& Backward::dy(int output) {
  const Tape::Buffers::Entry& entry = buffers_.entries[entry_];
  if (output < 0 || output >= entry.outputs) fail("[{}] the rule has no output {}", entry.name, output);
  auto& slot = buffers_.slots[static_cast<size_t>(entry.first_output + output)];
  if (!slot.gradient.defined()) slot.gradient = Tensor::zeros(slot.shape, slot.dtype, slot.device);
  return slot.gradient;
}

bool Backward::wants(int input) const {
  const auto& in = buffers_.input_of(entry_, input);
  return in.parameter || in.slot >= 0;
}

bool Backward::goes_beside(std::initializer_list<int> inputs, std::initializer_list<Tensor> reads) {
  for (int input : inputs)
    if (wants(input) && !buffers_.input_of(entry_, input).parameter) return false;
  for (const Tensor& read : reads)
    if (read.device() != Device::cuda) return false;
  buffers_.read_beside.insert(buffers_.read_beside.end(), reads);
  return true;
}

const Shape& Backward::input_shape(int input) const { return buffers_.input_of(entry_, input).shape; }

Backward::Target Backward::target(int input) {
  const auto& in = buffers_.input_of(entry_, input);
  if (in.parameter) {
    if (GradientsApart::Entry* own = buffers_.apart ? buffers_.apart->find(in.parameter) : nullptr)
      return {own->gradient, std::exchange(own->has_gradient, true)};
    const bool accumulate = std::exchange(in.parameter->has_gradient, true);
    // What it is added to may still be in the making.
    if (accumulate && cuda::side_work_pending() && !cuda::on_side_stream()) buffers_.join_streams();
    return {in.parameter->gradient, accumulate};
  }
  auto& slot = buffers_.slots[static_cast<size_t>(in.slot)];
  if (!slot.gradient.defined()) {
    slot.gradient = Tensor::empty(slot.shape, slot.dtype, slot.device);
    return {slot.gradient, false};
  }
  // Another slot may share this gradient's storage (add passes one tensor to both inputs): write to a copy
  // then.
  if (!slot.gradient.sole_owner()) slot.gradient = slot.gradient.clone();
  return {slot.gradient, true};
}

void Backward::add(int input, const Tensor& gradient) {
  if (!wants(input)) return;
  auto& in = buffers_.input_of(entry_, input);
  const Tensor summed = gradient.shape() == in.shape ? gradient : sum_to(gradient, in.shape);
  if (!in.parameter && !buffers_.slots[static_cast<size_t>(in.slot)].gradient.defined()) {
    buffers_.slots[static_cast<size_t>(in.slot)].gradient = summed;
    return;
  }
  const Target to = target(input);
  if (to.accumulate)
    add_into(to.tensor, summed);
  else
    to.tensor.copy_from(summed);
}

}  // namespace elbo
