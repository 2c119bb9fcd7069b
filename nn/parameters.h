// ParameterStore: the parameters of a model, in flat arenas that an optimiser sweeps in one go.
//
// Layers declare parameters by name; `initialise` then lays them out and draws their first values. Values and
// gradients are one aligned tensor each, [parameter][member][element], so that every parameter, with its
// leading member axis, is a contiguous view. The names are those of the model file (PyTorch's state-dict
// names).
//
//   ParameterStore store;
//   Parameter& w = store.add("w", {10, 784}, {Initializer::Kind::normal, 0.01});
//   store.initialise(/*seed=*/7);
//   Variable y = matmul_nt(x, w);                             // a leaf: backward fills w.gradient
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "autograd/variable.h"
#include "tensor/random.h"

namespace elbo {

/// How a parameter starts.
struct Initializer {
  enum class Kind {
    constant,
    normal,
    uniform,
    xavier_normal,
    xavier_uniform,
    kaiming_normal,
    kaiming_uniform
  };
  Kind kind = Kind::constant;
  double value = 0;  ///< the constant; the standard deviation (normal); the half width (uniform); else unused
  double fan_in = 0, fan_out = 0;  ///< 0: read off the last two axes (out, in)
};
/// "xavier_uniform" (also called Glorot), "kaiming_normal", "normal:0.001", "constant:0", ...; an Error lists
/// them.
Initializer parse_initializer(std::string_view text);

class ParameterStore {
 public:
  /// `members` > 0 gives every parameter a leading axis of that size.
  explicit ParameterStore(DType dtype = DType::f32, int64_t members = 0, Device device = Device::cpu);
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  /// Declares a parameter of one member's `shape`. The reference stays valid; its tensors exist after
  /// `initialise`. A `trained` parameter is swept by the optimiser, others stay as they are. Throws when the
  /// name is taken.
  Parameter& add(const std::string& name, const Shape& shape, Initializer initializer, bool trained = true);
  /// Excludes from training the parameters, declared so far, whose names begin with `beginning`. Throws where
  /// there is none.
  void hold(const std::string& beginning);

  /// Lays out the arenas and draws all values, on the CPU: the numbers are the same on every device.
  /// Parameter p of member m depends on (seed, first_member + m, p) only, so that a member can be drawn
  /// alone.
  void initialise(uint64_t seed, int64_t first_member = 0);

  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  int64_t members() const { return members_; }  ///< 0: no member axis
  int64_t count() const;                        ///< trained numbers, over all members
  std::deque<Parameter>& all() { return parameters_; }
  const std::deque<Parameter>& all() const { return parameters_; }
  /// Parameters that the optimiser sweeps: all, or those whose names begin with one of `beginnings`. Throws
  /// for a beginning that no name has.
  std::vector<Parameter*> trained(const std::vector<std::string>& beginnings = {});
  /// The parameter called `name`, or an Error that lists them.
  Parameter& at(const std::string& name);
  const Parameter& at(const std::string& name) const;

  /// The first parameter with a NaN or an infinity in the part of one member; empty when there is none.
  std::string first_not_finite(int64_t member = 0) const;

  /// The trained part of the arenas, padding included (padding stays 0). Flat.
  Tensor values() const { return values_; }
  Tensor gradients() const { return gradients_; }

  /// A stretch of the flat arena that belongs to one member of one trained parameter.
  struct Span {
    int64_t begin, end;
    int64_t member;
  };
  const std::vector<Span>& spans() const { return spans_; }
  /// Spans of the parameters that `trained` gives.
  std::vector<Span> spans(const std::vector<std::string>& beginnings);

  /// Zeroes the gradient of every trained parameter that has none, so that a sweep may read the whole arena.
  void complete_gradients();
  /// Marks all gradients as consumed: the next backward pass overwrites them.
  void consume_gradients();

 private:
  struct Declared {
    Shape shape;  // with the member axis
    Initializer initializer;
  };
  DType dtype_;
  int64_t members_;
  Device device_;
  std::deque<Parameter> parameters_;
  std::deque<Declared> declared_;
  Tensor values_, gradients_, fixed_;
  std::vector<Span> spans_;
};

/// Which gradients of a backward pass are complete, while it goes on: it tells of one parameter after another
/// (Tape::backward).
class CompleteGradients {
 public:
  explicit CompleteGradients(ParameterStore& store);
  /// With this parameter's: from where on all numbers of ParameterStore::gradients() are complete. A gradient
  /// that nothing was given to becomes 0.
  int64_t with(const Parameter& parameter);

 private:
  std::vector<Parameter*> trained_;
  std::vector<int64_t> begins_;  // in the arena
  std::vector<bool> complete_;
  size_t all_from_;
};

}  // namespace elbo
