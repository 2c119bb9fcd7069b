#include "vae/training.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <sstream>

#include "nn/checkpoint.h"
#include "nn/safetensors.h"
#include "tensor/file.h"

namespace elbo {
namespace {

// In a checkpoint.
constexpr const char* kPhase = "training.phase";
constexpr const char* kOver = "training.phase_over";
constexpr const char* kSteps = "training.steps";
constexpr const char* kStopped = "training.stopped";
constexpr std::string_view kNote = "note.";  // before the name of each

/// What is saved under a key; `without` where nothing is.
int64_t whole_number(const std::map<std::string, std::string>& saved, const char* key, int64_t without) {
  const auto found = saved.find(key);
  if (found == saved.end()) return without;
  int64_t value = -1;
  std::from_chars(found->second.data(), found->second.data() + found->second.size(), value);
  return value;
}

}  // namespace

BatchSource whole_set(const Tensor& x) {
  BatchSource whole{1, [x](int64_t) { return x; }};
  if (x.device() == Device::cuda)
    whole.on_gpu = {.rows_of = [n = x.size(-2)](int64_t) { return n; },
                    .first_of = [](int64_t) { return int64_t{0}; },
                    .make = [x](int64_t, const Tensor&) { return x; }};
  return whole;
}

BatchSource made_on_gpu(int64_t per_epoch, const GpuBatches& batches) {
  const auto batch = [per_epoch, batches](int64_t step) {
    const int64_t epoch = step / per_epoch, at = step % per_epoch;
    if (batches.begin_epoch) batches.begin_epoch(epoch);
    const Tensor place = Tensor::from<int64_t>({2}, {batches.first_of(at), epoch});
    return batches.make(batches.rows_of(at), place.to(Device::cuda));
  };
  return {per_epoch, batch, batches};
}

std::vector<int64_t> equal_lengths(int64_t total, int64_t phases, int64_t unit) {
  if (phases < 1 || unit < 1 || total % unit != 0 || total / unit < phases)
    fail("[training] {} phases of whole epochs need at least {} steps of {} to an epoch, and not {}", phases,
         phases * unit, unit, total);
  const int64_t units = total / unit;
  std::vector<int64_t> lengths;
  for (int64_t p = 0; p < phases; ++p)
    lengths.push_back((units * (p + 1) / phases - units * p / phases) * unit);
  return lengths;
}

Training::Training(ParameterStore& parameters, std::vector<Phase> phases, BatchSource batches,
                   const TrainingSettings& settings)
    : parameters_(parameters),
      phases_(std::move(phases)),
      batches_(std::move(batches)),
      settings_(settings),
      stopped_(static_cast<size_t>(std::max<int64_t>(parameters.members(), 1)), -1) {
  if (phases_.empty()) fail("[training] there must be a phase");
  for (const Phase& phase : phases_) {
    if (!phase.loss.value && !phase.loss.differentiate) fail("[training] phase '{}' has no loss", phase.name);
    if (phase.rates.size() != 1 && phase.rates.size() != stopped_.size())
      fail("[training] phase '{}' has {} learning rates for {} members; give one for all or one for each",
           phase.name, phase.rates.size(), stopped_.size());
    parameters_.trained(phase.moves);  // throws where there are none
    if (settings_.all_reduce && (phase.before || phase.beside || !phase.loss.is_mean_of_points))
      fail("[training] phase '{}' cannot be shared by processes: {}", phase.name,
           phase.loss.is_mean_of_points ? "its hooks look at one process"
                                        : "its loss is no mean of what each point costs");
  }
  begin_phase(0);
}

void Training::begin_phase(size_t phase) {
  at_ = phase;
  in_phase_ = 0;
  phase_over_ = false;
  adam_ = std::make_unique<Adam>(parameters_, settings_.adam, phases_[phase].moves);
  moved_ = parameters_.trained(phases_[phase].moves);
}

TrainingTime Training::time() const { return {in_phase_, batches_.per_epoch, phases_[at_].steps}; }

RandomKey Training::noise_at(int64_t step) const {
  return {.seed = settings_.seed, .stream = kLatentNoise, .step = static_cast<uint64_t>(step)};
}

bool Training::begin_step() {
  while (phase_over_ || in_phase_ >= phases_[at_].steps) {
    if (at_ + 1 == phases_.size()) return false;
    begin_phase(at_ + 1);
  }
  return std::any_of(stopped_.begin(), stopped_.end(), [](int64_t at) { return at < 0; });
}

bool Training::step() {
  if (!begin_step()) return false;
  const Phase& phase = phases_[at_];
  if (phase.before) phase.before(*this);
  terms_ = differentiate_batch();
  for (int64_t m : members_not_finite(terms_)) stop(m, steps_);
  if (phase.clip > 0) clip_gradient_norm(parameters_, phase.clip, moved_);
  set_rates(rates_, 0);
  if (phase.beside) phase.beside(*this);
  adam_->step(rates_);
  ++steps_;
  ++in_phase_;
  phase_over_ = phase.until && phase.until(in_phase_, terms_);
  if ((phase_over_ || in_phase_ == phase.steps) && phase.after) phase.after(*this);
  return true;
}

LossTerms Training::differentiate_batch() {
  const Loss& loss = phases_[at_].loss;
  x_ = batches_.batch(steps_);
  const int64_t own = x_.size(-2);
  const BatchRows rows = batches_.rows ? batches_.rows(steps_) : BatchRows{};
  rows_ = rows.all_of(own);
  if (!settings_.all_reduce) return on_cpu(differentiate(loss, x_, time(), noise_at(steps_), rows));
  EarlyMean mean(*settings_.all_reduce, parameters_.gradients(), static_cast<double>(own));
  if (own > 0) {
    CompleteGradients complete(parameters_);
    const auto tell = [&](const Parameter& parameter) { mean.complete_from(complete.with(parameter)); };
    const GradientFunction ready = tell;
    return over_processes(
        on_cpu(differentiate(loss, x_, time(), noise_at(steps_), rows, mean.is_early() ? &ready : nullptr)),
        mean);
  }
  const Shape models = parameters_.members() > 0 ? Shape{parameters_.members()} : Shape{};
  LossTerms none{Tensor::zeros(models, DType::f64), {}};
  for (size_t i = 0; i < loss.probes.size(); ++i) none.probes.push_back(Tensor::zeros(models, DType::f64));
  return over_processes(std::move(none), mean);
}

/// The whole batch's terms and gradients, from those of this process's rows.
LossTerms Training::over_processes(LossTerms own, EarlyMean& mean) {
  const auto each_number = [&](auto f) {
    for (int64_t m = 0; m < own.cost.elements(); ++m) f(own.cost, m);
    for (Tensor& probe : own.probes)
      for (int64_t m = 0; m < probe.elements(); ++m) f(probe, m);
  };
  std::vector<double> numbers;
  each_number([&](const Tensor& of, int64_t m) { numbers.push_back(of.at(m)); });
  parameters_.complete_gradients();
  mean.finish(numbers);
  for (Parameter* parameter : parameters_.trained()) parameter->has_gradient = true;
  own.cost = Tensor::zeros(own.cost.shape(), DType::f64);
  for (Tensor& probe : own.probes) probe = Tensor::zeros(probe.shape(), DType::f64);
  const double* next = numbers.data();
  each_number([&](const Tensor& of, int64_t m) { of.data<double>()[m] = *next++; });
  return own;
}

void Training::set_rates(std::vector<double>& rates, int64_t later) const {
  const Phase& phase = phases_[at_];
  rates.resize(stopped_.size());
  const double factor = phase.schedule.at(in_phase_ + later);
  for (size_t m = 0; m < rates.size(); ++m)
    rates[m] = stopped_[m] < 0 ? phase.rates[phase.rates.size() == 1 ? 0 : m] * factor : 0;
}

std::vector<double> Training::rates_now(int64_t later) const {
  std::vector<double> rates;
  set_rates(rates, later);
  return rates;
}

void Training::stop(int64_t member, int64_t step) {
  int64_t& at = stopped_.at(static_cast<size_t>(member));
  if (at < 0) at = step;
}

void Training::took(int64_t steps, const LossTerms& terms) {
  steps_ += steps;
  in_phase_ += steps;
  terms_ = terms;
  x_ = {};
  rows_ = 0;
  const Phase& phase = phases_[at_];
  if (in_phase_ == phase.steps && phase.after) phase.after(*this);
}

void Training::save(const std::string& path, const std::map<std::string, std::string>& extra) const {
  std::map<std::string, std::string> all = extra;
  all[kPhase] = std::to_string(at_);
  all[kOver] = phase_over_ ? "1" : "0";
  all[kSteps] = std::to_string(steps_);
  all[kStopped] = fmt::format("{}", fmt::join(stopped_, ","));
  std::vector<NamedTensor> notes;
  for (const auto& [name, note] : notes_) notes.push_back({std::string(kNote) + name, note.to(Device::cpu)});
  save_checkpoint(path, parameters_, *adam_, all, notes);
}

std::map<std::string, std::string> Training::load(const std::string& path) {
  SafetensorsFile file = read_safetensors(path);
  std::map<std::string, std::string> saved = file.metadata;
  const int64_t phase = whole_number(saved, kPhase, 0), over = whole_number(saved, kOver, 0),
                steps = whole_number(saved, kSteps, -1);
  std::vector<int64_t> stopped(stopped_.size(), -1);
  if (saved.contains(kStopped)) {
    stopped.clear();
    std::istringstream list(saved[kStopped]);
    for (std::string at; std::getline(list, at, ',');)
      stopped.push_back(std::strtoll(at.c_str(), nullptr, 10));
  }
  if (phase < 0 || phase >= static_cast<int64_t>(phases_.size()) || stopped.size() != stopped_.size())
    fail(
        "[training] {} is of another training: of phase {} and {} members, where this one has {} phases and "
        "{}",
        quote(path), phase + 1, stopped.size(), phases_.size(), stopped_.size());
  auto adam = std::make_unique<Adam>(parameters_, settings_.adam, phases_[static_cast<size_t>(phase)].moves);
  TrainingNotes notes;
  for (const NamedTensor& tensor : file.tensors)
    if (tensor.name.starts_with(kNote)) notes[tensor.name.substr(kNote.size())] = tensor.value;
  saved = load_checkpoint(std::move(file), parameters_, *adam);
  at_ = static_cast<size_t>(phase);
  adam_ = std::move(adam);
  moved_ = parameters_.trained(phases_[at_].moves);
  in_phase_ = adam_->steps();
  steps_ = steps < 0 ? in_phase_ : steps;
  phase_over_ = over != 0;
  stopped_ = stopped;
  notes_ = std::move(notes);
  for (const char* own : {kPhase, kOver, kSteps, kStopped}) saved.erase(own);
  return saved;
}

}  // namespace elbo
