// Optimisers: SGD with momentum, and Adam, which is one fused sweep over the flat arenas of a ParameterStore.
//
// `step` reads the gradients, moves the values and marks the gradients as consumed, so the next backward pass
// starts afresh: there is nothing to zero. Learning rates may differ between members.
//
//   Adam adam(store);
//   for (int step = 0; step < 1000; ++step) {
//     Tape tape;
//     tape.backward(loss(x));
//     adam.step(1e-3);
//   }
#pragma once

#include <span>
#include <string>
#include <vector>

#include "nn/parameters.h"
#include "tensor/math.h"

namespace elbo {

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

/// Adam (Kingma & Ba 2015, Algorithm 1) on one number. Its twin of plain ops is in
/// tests/nn/optimizer_test.cpp:
///   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w -= lr (m / c1) / (sqrt(v / c2) + eps),
/// with c1 = 1 - b1^t and c2 = 1 - b2^t.
template <class T>
struct AdamFormula {
  T beta1, beta2, one_minus_beta1, one_minus_beta2;
  T rate;       // lr / c1
  T root_bias;  // 1 / sqrt(c2)
  T epsilon;
  ELBO_HD AdamFormula(const AdamOptions& o, double rate_over_c1, double one_over_root_c2)
      : beta1(static_cast<T>(o.beta1)),
        beta2(static_cast<T>(o.beta2)),
        one_minus_beta1(static_cast<T>(1 - o.beta1)),
        one_minus_beta2(static_cast<T>(1 - o.beta2)),
        rate(static_cast<T>(rate_over_c1)),
        root_bias(static_cast<T>(one_over_root_c2)),
        epsilon(static_cast<T>(o.epsilon)) {}
  ELBO_HD void operator()(T& w, T& m, T& v, T g) const {
    m = beta1 * m + one_minus_beta1 * g;
    v = beta2 * v + one_minus_beta2 * (g * g);
    w -= rate * m / (math::sqrt(v) * root_bias + epsilon);
  }
};

class Adam {
 public:
  /// Moves all parameters, or those whose names begin with one of `moves`; the others are not touched. Throws
  /// when there are none of such a name.
  explicit Adam(ParameterStore& store, AdamOptions options = {}, const std::vector<std::string>& moves = {});
  /// One step with one learning rate for all, or one for each member. A member with rate 0 stays as it is,
  /// moments included, whatever its gradient holds: so a broken member can be stopped.
  void step(double learning_rate);
  void step(std::span<const double> learning_rates);
  /// The same where members have taken different numbers of steps: for member m this is step t[m], from 1. It
  /// does not count the step, and leaves the gradients for another optimiser, of other parameters.
  void step_at(std::span<const int64_t> t, std::span<const double> learning_rates);

  /// For a step that is captured once and replayed on a GPU, where rates cannot be passed by value.
  /// `step_numbers` writes the numbers that step t (from 1) needs, one more than there are rates; `apply`
  /// sweeps with such numbers, f64 (1 + members) in device memory, and does not count the step; `count` adds
  /// the steps that were replayed.
  void step_numbers(int64_t t, std::span<const double> learning_rates, std::span<double> numbers) const;
  void apply(const Tensor& numbers);
  void count(int64_t steps) { steps_ += steps; }

  int64_t steps() const { return steps_; }
  /// State for checkpoints: the first and second moments, flat like the store's values.
  const Tensor& first_moment() const { return m_; }
  const Tensor& second_moment() const { return v_; }
  void restore(int64_t steps, const Tensor& first_moment, const Tensor& second_moment);

 private:
  void sweep(std::span<const double> one_over_root_c2, std::span<const double> rates_over_c1);

  ParameterStore& store_;
  AdamOptions options_;
  std::vector<ParameterStore::Span> spans_;  // of the arena, that it moves
  Tensor m_, v_;
  std::vector<double> numbers_, roots_;  // of the latest step
  Tensor tiles_;                         // on a GPU: the stretches of the arena that its blocks sweep
  int64_t steps_ = 0;
};

/// w -= lr u with u = momentum u + g, as PyTorch's SGD; but a member with rate 0 keeps its u, as in Adam.
class Sgd {
 public:
  explicit Sgd(ParameterStore& store, double momentum = 0);
  void step(double learning_rate);
  void step(std::span<const double> learning_rates);

 private:
  ParameterStore& store_;
  double momentum_;
  Tensor velocity_;
};

/// Scales each member's gradient, of all parameters or of those whose names begin with one of `of`, so that
/// its Euclidean norm is at most max_norm. Returns the norms before, (members) of the store's type and
/// device.
Tensor clip_gradient_norm(ParameterStore& store, double max_norm, const std::vector<std::string>& of = {});
Tensor clip_gradient_norm(ParameterStore& store, double max_norm, std::span<Parameter* const> of);

/// A learning rate as a function of the step, counted from 0.
struct Schedule {
  enum class Kind { constant, step, cosine };
  Kind kind = Kind::constant;
  double base = 1e-3;
  int64_t warmup_steps = 0;   ///< the first steps, over which the rate rises linearly to `base`
  int64_t total_steps = 0;    ///< cosine: where it reaches `final_fraction`
  double final_fraction = 0;  ///< cosine: last rate / base
  int64_t step_every = 1;     ///< step: multiplies by step_factor each so many steps
  double step_factor = 0.1;
  double at(int64_t step) const;
};
Schedule::Kind parse_schedule(std::string_view name);

}  // namespace elbo
