#include "nn/parameters.h"

#include <cfloat>
#include <charconv>
#include <cmath>
#include <utility>

#include "tensor/map_loops.h"

namespace elbo {
namespace {

constexpr int64_t kAlignment = 16;  // elements: parameters start on cache lines

struct Named {
  const char* name;
  Initializer::Kind kind;
  bool takes_value;
};
constexpr Named kInitializers[] = {
    {"constant", Initializer::Kind::constant, true},
    {"normal", Initializer::Kind::normal, true},
    {"uniform", Initializer::Kind::uniform, true},
    {"xavier_normal", Initializer::Kind::xavier_normal, false},
    {"xavier_uniform", Initializer::Kind::xavier_uniform, false},
    {"kaiming_normal", Initializer::Kind::kaiming_normal, false},
    {"kaiming_uniform", Initializer::Kind::kaiming_uniform, false},
};

struct AroundZero {
  double half_width;
  template <class T>
  ELBO_HD T operator()(T u) const {
    return T(half_width) * (T(2) * u - T(1));
  }
};

/// Fills one member's tensor.
void draw(const Tensor& out, const Initializer& initializer, const RandomKey& key) {
  using Kind = Initializer::Kind;
  const auto fan = [&](double given, int axis) {
    return given > 0 ? given : static_cast<double>(out.rank() >= -axis ? out.size(axis) : 1);
  };
  const double fan_in = fan(initializer.fan_in, -1), fan_out = fan(initializer.fan_out, -2);
  const auto gaussian = [&](double deviation) {
    fill_normal(out, key);
    map_into(out, Scaled{deviation}, out);
  };
  const auto flat = [&](double half_width) {
    fill_uniform(out, key);
    map_into(out, AroundZero{half_width}, out);
  };
  switch (initializer.kind) {
    case Kind::constant:
      return out.fill(initializer.value);
    case Kind::normal:
      return gaussian(initializer.value);
    case Kind::uniform:
      return flat(initializer.value);
    // Glorot & Bengio 2010, Eq. 16; He et al. 2015, Eq. 10 (the gain for ReLU).
    case Kind::xavier_normal:
      return gaussian(std::sqrt(2 / (fan_in + fan_out)));
    case Kind::xavier_uniform:
      return flat(std::sqrt(6 / (fan_in + fan_out)));
    case Kind::kaiming_normal:
      return gaussian(std::sqrt(2 / fan_in));
    case Kind::kaiming_uniform:
      return flat(std::sqrt(6 / fan_in));
  }
}

}  // namespace

Initializer parse_initializer(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  std::string known;
  for (const Named& candidate : kInitializers) {
    known +=
        std::string(known.empty() ? "" : ", ") + candidate.name + (candidate.takes_value ? ":VALUE" : "");
    if (name != candidate.name || candidate.takes_value != (colon != std::string_view::npos)) continue;
    Initializer result{candidate.kind};
    if (candidate.takes_value) {
      const std::string_view number = text.substr(colon + 1);
      const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), result.value);
      if (error != std::errc{} || end != number.data() + number.size() || !std::isfinite(result.value))
        continue;
      if (std::abs(result.value) > FLT_MAX ||
          (result.value < 0 && candidate.kind != Initializer::Kind::constant))
        fail("[initializer] '{}': {} single precision", text,
             candidate.kind == Initializer::Kind::constant ? "the value is beyond"
                                                           : "the width must be 0 or above, and within");
    }
    return result;
  }
  fail("[initializer] cannot read '{}'; there are {}", text, known);
}

ParameterStore::ParameterStore(DType dtype, int64_t members, Device device)
    : dtype_(dtype), members_(members), device_(device) {
  if (!is_floating(dtype)) fail("[parameters] parameters are f32 or f64, not {}", elbo::name(dtype));
  if (members < 0) fail("[parameters] the number of members cannot be {}", members);
}

Parameter& ParameterStore::add(const std::string& name, const Shape& shape, Initializer initializer,
                               bool trained) {
  if (values_.defined()) fail("[parameters] '{}' was declared after initialise", name);
  for (const Parameter& other : parameters_)
    if (other.name == name) fail("[parameters] there are two parameters named '{}'", name);
  Shape full;
  if (members_ > 0) full.push_back(members_);
  declared_.push_back({full.concatenated(shape), initializer});
  Parameter& added = parameters_.emplace_back();
  added.name = name;
  added.trained = trained;
  return added;
}

void ParameterStore::hold(const std::string& beginning) {
  if (values_.defined()) fail("[parameters] '{}' was to be held after initialise", beginning);
  bool found = false;
  for (Parameter& parameter : parameters_)
    if (parameter.name.starts_with(beginning)) {
      parameter.trained = false;
      found = true;
    }
  if (!found) fail("[parameters] no parameter declared so far has a name that begins with '{}'", beginning);
}

void ParameterStore::initialise(uint64_t seed, int64_t first_member) {
  if (values_.defined()) fail("[parameters] initialise was already called");
  int64_t trained = 0, fixed = 0;
  std::vector<int64_t> offsets;
  for (size_t p = 0; p < parameters_.size(); ++p) {
    int64_t& used = parameters_[p].trained ? trained : fixed;
    offsets.push_back(used);
    used += (declared_[p].shape.elements() + kAlignment - 1) / kAlignment * kAlignment;
  }
  const Tensor drawn_values = Tensor::zeros({trained}, dtype_), drawn_fixed = Tensor::zeros({fixed}, dtype_);
  const int64_t members = std::max<int64_t>(members_, 1);
  for (size_t p = 0; p < parameters_.size(); ++p) {
    const Shape& shape = declared_[p].shape;
    const int64_t each = shape.elements() / members;
    const Tensor drawn = (parameters_[p].trained ? drawn_values : drawn_fixed).view_at(offsets[p], shape);
    for (int64_t m = 0; m < members; ++m) {
      draw(members_ > 0 ? drawn.slice(m) : drawn, declared_[p].initializer,
           {.seed = seed,
            .member = static_cast<uint32_t>(first_member + m),
            .stream = kInitialisation,
            .step = p});
      if (parameters_[p].trained) spans_.push_back({offsets[p] + m * each, offsets[p] + (m + 1) * each, m});
    }
  }
  values_ = drawn_values.to(device_);
  fixed_ = drawn_fixed.to(device_);
  gradients_ = Tensor::zeros({trained}, dtype_, device_);
  for (size_t p = 0; p < parameters_.size(); ++p) {
    const Shape& shape = declared_[p].shape;
    Parameter& parameter = parameters_[p];
    parameter.value = (parameters_[p].trained ? values_ : fixed_).view_at(offsets[p], shape);
    parameter.gradient = parameters_[p].trained ? gradients_.view_at(offsets[p], shape)
                                                : Tensor::zeros(shape, dtype_, device_);
  }
}

int64_t ParameterStore::count() const {
  int64_t total = 0;
  for (const Span& span : spans_) total += span.end - span.begin;
  return total;
}

std::vector<Parameter*> ParameterStore::trained(const std::vector<std::string>& beginnings) {
  std::vector<Parameter*> chosen;
  std::vector<bool> found(beginnings.size());
  for (size_t p = 0; p < parameters_.size(); ++p) {
    if (!parameters_[p].trained) continue;
    bool wanted = beginnings.empty();
    for (size_t i = 0; i < beginnings.size(); ++i)
      if (parameters_[p].name.starts_with(beginnings[i])) wanted = found[i] = true;
    if (wanted) chosen.push_back(&parameters_[p]);
  }
  for (size_t i = 0; i < beginnings.size(); ++i)
    if (!found[i]) fail("[parameters] no trained parameter has a name that begins with '{}'", beginnings[i]);
  return chosen;
}

std::vector<ParameterStore::Span> ParameterStore::spans(const std::vector<std::string>& beginnings) {
  const std::vector<Parameter*> all = trained(), chosen = trained(beginnings);
  const size_t members = all.empty() ? 0 : spans_.size() / all.size();
  std::vector<Span> spans;
  for (size_t p = 0, next = 0; next < chosen.size(); ++p)
    if (all[p] == chosen[next]) {
      for (size_t m = 0; m < members; ++m) spans.push_back(spans_[p * members + m]);
      ++next;
    }
  return spans;
}

Parameter& ParameterStore::at(const std::string& name) {
  return const_cast<Parameter&>(std::as_const(*this).at(name));
}

const Parameter& ParameterStore::at(const std::string& name) const {
  std::string known;
  for (const Parameter& parameter : parameters_) {
    if (parameter.name == name) return parameter;
    known += (known.empty() ? "" : ", ") + parameter.name;
  }
  fail("[parameters] there is no '{}'; there are {}", name, known);
}

std::string ParameterStore::first_not_finite(int64_t member) const {
  for (const Parameter& parameter : parameters_) {
    const Tensor own = members_ > 0 ? parameter.value.slice(member) : parameter.value;
    for (double value : own.to_vector())
      if (!std::isfinite(value)) return parameter.name;
  }
  return "";
}

void ParameterStore::complete_gradients() {
  for (size_t p = 0; p < parameters_.size(); ++p)
    if (parameters_[p].trained && !parameters_[p].has_gradient) parameters_[p].gradient.fill(0);
}

void ParameterStore::consume_gradients() {
  for (Parameter& parameter : parameters_) parameter.has_gradient = false;
}

CompleteGradients::CompleteGradients(ParameterStore& store)
    : trained_(store.trained()), complete_(trained_.size()), all_from_(trained_.size()) {
  for (size_t p = 0; p < trained_.size(); ++p)
    begins_.push_back(store.spans()[p * (store.spans().size() / trained_.size())].begin);
  begins_.push_back(store.gradients().elements());
}

int64_t CompleteGradients::with(const Parameter& parameter) {
  for (size_t p = 0; p < trained_.size(); ++p) {
    if (trained_[p] != &parameter) continue;
    complete_[p] = true;
    if (!std::exchange(trained_[p]->has_gradient, true)) trained_[p]->gradient.fill(0);
  }
  while (all_from_ > 0 && complete_[all_from_ - 1]) --all_from_;
  return begins_[all_from_];
}

}  // namespace elbo
