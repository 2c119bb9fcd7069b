#include "nn/optimizer.h"

#include <algorithm>
#include <cmath>

#include "autograd/formulas.h"
#include "nn/adam_kernel.h"
#include "tensor/map_loops.h"

namespace elbo {
namespace {

struct Momentum {
  double momentum;
  template <class T>
  ELBO_HD T operator()(T velocity, T gradient) const {
    return T(momentum) * velocity + gradient;
  }
};

struct MinusScaled {
  double rate;
  template <class T>
  ELBO_HD T operator()(T value, T velocity) const {
    return value - T(rate) * velocity;
  }
};

struct ClipFactor {
  double largest;
  template <class T>
  ELBO_HD T operator()(T norm) const {
    return norm > T(largest) ? T(largest) / norm : T(1);
  }
};

/// Called before a step changes anything.
void check_rates(const ParameterStore& store, std::span<const double> rates, const char* where) {
  const int64_t members = std::max<int64_t>(store.members(), 1);
  if (rates.size() != 1 && static_cast<int64_t>(rates.size()) != members)
    fail("[{}] {} learning rates for {} members; give one for all or one for each", where, rates.size(),
         members);
}

/// Calls sweep(begin, end, which rate) for stretches of the arena: with one rate for all parameters the arena
/// is a single stretch, otherwise each span has its member's rate. Stretches with rate 0 are left out, as 0
/// times a NaN is a NaN, and moments must stay as they are.
template <class Sweep>
void for_each_stretch(const ParameterStore& store, const std::vector<ParameterStore::Span>& spans,
                      std::span<const double> rates, const Sweep& sweep) {
  if (spans.size() == store.spans().size() && rates.size() == 1) {
    if (rates[0] == 0) return;
    parallel_for(store.values().elements(), kParallelGrain,
                 [&](int64_t begin, int64_t end) { sweep(begin, end, size_t{0}); });
    return;
  }
  const auto count = static_cast<int64_t>(spans.size());
  const int64_t grain =
      std::max<int64_t>(1, kParallelGrain * count / std::max<int64_t>(store.values().elements(), 1));
  parallel_for(count, grain, [&](int64_t first, int64_t last) {
    for (int64_t s = first; s < last; ++s) {
      const ParameterStore::Span& span = spans[static_cast<size_t>(s)];
      const size_t which = rates.size() == 1 ? 0 : static_cast<size_t>(span.member);
      if (rates[which] != 0) sweep(span.begin, span.end, which);
    }
  });
}

/// Zeros shaped like the store's arena: an optimiser's memory of past gradients.
Tensor state_for(const ParameterStore& store, const char* where) {
  if (!store.values().defined())
    fail("[{}] call the store's initialise before making an optimiser for it", where);
  return Tensor::zeros(store.values().shape(), store.dtype(), store.device());
}

Tensor on_gpu(const std::vector<double>& numbers) {
  return Tensor::from<double>({static_cast<int64_t>(numbers.size())}, numbers).to(Device::cuda);
}

}  // namespace

Adam::Adam(ParameterStore& store, AdamOptions options, const std::vector<std::string>& moves)
    : store_(store),
      options_(options),
      spans_(store.spans(moves)),
      m_(state_for(store, "adam")),
      v_(state_for(store, "adam")) {
  const auto is_decay = [](double beta) { return beta >= 0 && beta < 1; };
  if (!is_decay(options.beta1) || !is_decay(options.beta2))
    fail("[adam] beta1 and beta2 must be in [0, 1), got {} and {}", options.beta1, options.beta2);
  if (!(options.epsilon > 0)) fail("[adam] epsilon must be above 0, got {}", options.epsilon);
  if constexpr (kHasGpuCode)
    if (store.device() == Device::cuda) tiles_ = cuda::adam_tiles(spans_);
}

void Adam::step(double learning_rate) { step(std::span(&learning_rate, 1)); }

void Adam::step(std::span<const double> rates) {
  check_rates(store_, rates, "adam");
  ++steps_;
  numbers_.resize(1 + rates.size());
  step_numbers(steps_, rates, numbers_);
  if (store_.device() == Device::cuda) {
    // The kernel wants a rate for each member, also where one rate is for all.
    if (rates.size() == 1)
      numbers_.resize(static_cast<size_t>(1 + std::max<int64_t>(store_.members(), 1)), numbers_[1]);
    return apply(on_gpu(numbers_));
  }
  sweep(std::span(numbers_).first(1), std::span(numbers_).subspan(1));
  store_.consume_gradients();
}

void Adam::step_at(std::span<const int64_t> t, std::span<const double> rates) {
  check_rates(store_, rates, "adam");
  if (t.size() != rates.size())
    fail("[adam] {} numbers of steps for {} learning rates; give as many", t.size(), rates.size());
  numbers_.resize(rates.size());
  roots_.resize(rates.size());
  for (size_t i = 0; i < rates.size(); ++i) {
    double own[2];
    step_numbers(t[i], rates.subspan(i, 1), own);
    roots_[i] = own[0];
    numbers_[i] = rates[i] == 0 ? 0 : own[1];  // at t = 0, before a first step, c1 is 0
  }
  if (store_.device() == Device::cuda) {
    store_.complete_gradients();
    const auto members = static_cast<size_t>(std::max<int64_t>(store_.members(), 1));
    roots_.resize(members, roots_[0]);
    roots_.resize(2 * members, numbers_[0]);
    std::copy(numbers_.begin(), numbers_.end(), roots_.begin() + static_cast<std::ptrdiff_t>(members));
    if constexpr (kHasGpuCode) cuda::adam_step(store_, options_, m_, v_, tiles_, on_gpu(roots_));
    return;
  }
  sweep(roots_, numbers_);
}

void Adam::sweep(std::span<const double> one_over_root_c2, std::span<const double> rates_over_c1) {
  store_.complete_gradients();
  visit_floating(store_.dtype(), "adam", [&](auto zero) {
    using T = decltype(zero);
    T* const w = store_.values().data<T>();
    T* const m = m_.data<T>();
    T* const v = v_.data<T>();
    const T* const g = store_.gradients().data<T>();
    for_each_stretch(store_, spans_, rates_over_c1, [&](int64_t begin, int64_t end, size_t which) {
      const double root = one_over_root_c2[one_over_root_c2.size() == 1 ? 0 : which];
      const AdamFormula<T> formula(options_, rates_over_c1[which], root);
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) formula(w[i], m[i], v[i], g[i]);
    });
  });
}

void Adam::step_numbers(int64_t t, std::span<const double> rates, std::span<double> numbers) const {
  const double c1 = 1 - std::pow(options_.beta1, static_cast<double>(t));
  const double c2 = 1 - std::pow(options_.beta2, static_cast<double>(t));
  numbers[0] = 1 / std::sqrt(c2);
  for (size_t i = 0; i < rates.size(); ++i) numbers[1 + i] = rates[i] / c1;
}

void Adam::apply(const Tensor& numbers) {
  if (store_.device() != Device::cuda) fail("[adam] apply is for parameters on a GPU; use step");
  store_.complete_gradients();
  if constexpr (kHasGpuCode) cuda::adam_step(store_, options_, m_, v_, tiles_, numbers);
  store_.consume_gradients();
}

void Adam::restore(int64_t steps, const Tensor& first_moment, const Tensor& second_moment) {
  for (const Tensor* moment : {&first_moment, &second_moment})
    if (steps < 0 || !(moment->shape() == m_.shape()) || moment->dtype() != m_.dtype())
      fail("[adam] cannot restore {} steps with moments {} {}; this store's are {} {}", steps,
           name(moment->dtype()), moment->shape().str(), name(m_.dtype()), m_.shape().str());
  m_.copy_from(first_moment);
  v_.copy_from(second_moment);
  steps_ = steps;
}

Sgd::Sgd(ParameterStore& store, double momentum)
    : store_(store), momentum_(momentum), velocity_(state_for(store, "sgd")) {
  if (!(momentum >= 0 && momentum < 1)) fail("[sgd] momentum must be in [0, 1), got {}", momentum);
}

void Sgd::step(double learning_rate) { step(std::span(&learning_rate, 1)); }

void Sgd::step(std::span<const double> rates) {
  check_rates(store_, rates, "sgd");
  store_.complete_gradients();
  for (const ParameterStore::Span& span : store_.spans()) {
    const auto own = [&](const Tensor& arena) { return arena.slice(span.begin, span.end); };
    const double rate = rates[rates.size() == 1 ? 0 : static_cast<size_t>(span.member)];
    if (rate == 0) continue;
    map_into(own(velocity_), Momentum{momentum_}, own(velocity_), own(store_.gradients()));
    map_into(own(store_.values()), MinusScaled{rate}, own(store_.values()), own(velocity_));
  }
  store_.consume_gradients();
}

Tensor clip_gradient_norm(ParameterStore& store, double max_norm, const std::vector<std::string>& of) {
  return clip_gradient_norm(store, max_norm, store.trained(of));
}

Tensor clip_gradient_norm(ParameterStore& store, double max_norm, std::span<Parameter* const> of) {
  if (!(max_norm > 0)) fail("[clip] the largest norm must be above 0, got {}", max_norm);
  store.complete_gradients();
  const int64_t members = std::max<int64_t>(store.members(), 1);
  const Tensor norms = Tensor::zeros({members}, store.dtype(), store.device());
  for (const Parameter* parameter : of)
    map_reduce_into<Sum>(norms.reshape({members, 1}), true, SquareOf{},
                         parameter->gradient.reshape({members, -1}));
  map_into(norms, formulas::Sqrt{}, norms);
  const Tensor factors = map(ClipFactor{max_norm}, norms).reshape({members, 1});
  for (const Parameter* parameter : of) {
    const Tensor gradient = parameter->gradient.reshape({members, -1});
    map_into(gradient, Product{}, gradient, factors);
  }
  return norms;
}

double Schedule::at(int64_t step) const {
  if (step < warmup_steps) return base * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  switch (kind) {
    case Kind::constant:
      break;
    case Kind::step:
      return base * std::pow(step_factor,
                             static_cast<double>((step - warmup_steps) / std::max<int64_t>(step_every, 1)));
    case Kind::cosine: {
      const double span = static_cast<double>(std::max<int64_t>(total_steps - warmup_steps, 1));
      const double done = std::min(1.0, static_cast<double>(step - warmup_steps) / span);
      return base * (final_fraction + (1 - final_fraction) * 0.5 * (1 + std::cos(math::kPi * done)));
    }
  }
  return base;
}

Schedule::Kind parse_schedule(std::string_view name) {
  if (name == "constant") return Schedule::Kind::constant;
  if (name == "step") return Schedule::Kind::step;
  if (name == "cosine") return Schedule::Kind::cosine;
  fail("[schedule] unknown learning-rate schedule '{}'; there are constant, step, cosine", name);
}

}  // namespace elbo
