#include "vae/captured_training.h"

#include <algorithm>
#include <cmath>

#include "vae/captured_training_kernels.h"

namespace elbo {
namespace {

Tensor on_gpu(const Shape& shape, DType dtype) { return Tensor::zeros(shape, dtype, Device::cuda); }

size_t bytes_of(int64_t doubles) { return static_cast<size_t>(doubles) * sizeof(double); }

}  // namespace

CapturedTraining::CapturedTraining(ParameterStore& parameters, Adam& adam, const Loss& loss,
                                   const Options& options, const Batch& batch)
    : parameters_(parameters),
      adam_(adam),
      loss_(loss),
      options_(options),
      batch_(batch),
      models_(std::max<int64_t>(parameters.members(), 1)),
      numbers_(loss.numbers ? loss.numbers({}).elements() : 0),
      table_(on_gpu({kMostSteps, row_length()}, DType::f64)),
      next_(on_gpu({1}, DType::i64)),
      place_(on_gpu({2}, DType::i64)),
      counter_(on_gpu({1}, DType::i64)),
      points_(on_gpu({1}, DType::f64)),
      now_(on_gpu({numbers_}, parameters.dtype())),
      rates_(on_gpu({models_ + 1}, DType::f64)),
      sums_(on_gpu({probes() + 2, models_}, DType::f64)),
      moved_(parameters.trained(options.moves)) {
  if (probes() > cuda::kMostProbes)
    fail("[train] a loss with {} probes; at most {} on a GPU", probes(), cuda::kMostProbes);
  for (double*& staged : staged_)
    staged = static_cast<double*>(cuda::allocate_pinned(bytes_of(kMostSteps * row_length())));
  sums_.slice(probes()).fill(-1);
}

CapturedTraining::~CapturedTraining() {
  for (double* staged : staged_) cuda::free_pinned(staged);
}

int64_t CapturedTraining::row_length() const { return cuda::kFixedNumbers + numbers_ + (models_ + 1); }

void CapturedTraining::run(std::span<const Step> steps) {
  if (static_cast<int64_t>(steps.size()) > kMostSteps)
    fail("[train] {} steps at once; at most {}", steps.size(), kMostSteps);
  if (steps.empty()) return;
  turn_ = 1 - turn_;
  copied_[turn_].wait();  // what it held may still be on its way
  double* to = staged_[turn_];
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& s = steps[i];
    for (int64_t number : {s.first, s.epoch, s.number, s.rows}) *to++ = static_cast<double>(number);
    if (numbers_ > 0) to = std::ranges::copy(loss_.numbers(s.time).span<double>(), to).out;
    adam_.step_numbers(adam_.steps() + static_cast<int64_t>(i) + 1, s.rates,
                       {to, static_cast<size_t>(models_ + 1)});
    to += models_ + 1;
  }
  cuda::copy_pinned_to_device(table_.bytes(), staged_[turn_],
                              bytes_of(static_cast<int64_t>(steps.size()) * row_length()));
  copied_[turn_].record();
  next_.fill(0);
  for (const Step& s : steps) {
    int64_t& taken = taken_[s.rows];
    if (options_.capture && taken == 1) graphs_[s.rows] = cuda::Graph::capture([&] { take(s.rows); });
    if (options_.capture && taken > 0)
      graphs_.at(s.rows).replay();
    else
      take(s.rows);
    ++taken;
    latest_rows_ = s.rows;
  }
  adam_.count(static_cast<int64_t>(steps.size()));
}

void CapturedTraining::take(int64_t rows) {
  if constexpr (kHasGpuCode) cuda::advance(table_, next_, place_, counter_, points_, now_, rates_);
  const Tensor x = batch_(rows, place_);
  const RandomKey noise{.seed = options_.seed,
                        .member = 0,
                        .stream = kLatentNoise,
                        .step = 0,
                        .counter = counter_.data<int64_t>(),
                        .counter_factor = 1};
  LossTerms& terms = terms_[rows];
  terms = differentiate(loss_, {x, now_, noise});
  if constexpr (kHasGpuCode) cuda::bookkeep(terms.cost, terms.probes, points_, counter_, rates_, sums_);
  if (options_.clip > 0) clip_gradient_norm(parameters_, options_.clip, moved_);
  adam_.apply(rates_);
}

CapturedTraining::Pending::Pending(int64_t probes, int64_t models, bool has_watched,
                                   const std::shared_ptr<Spare>& spare)
    : numbers_(nullptr, GiveBack{spare}), probes_(probes), models_(models), has_watched_(has_watched) {
  if (spare->buffers.empty()) {
    numbers_.reset(static_cast<double*>(cuda::allocate_pinned(bytes_of((probes + 2) * models))));
    return;
  }
  numbers_.reset(spare->buffers.back());
  spare->buffers.pop_back();
}

CapturedTraining::Pending CapturedTraining::read() {
  const bool has_watched = !options_.watched.empty();
  if (has_watched)
    sums_.slice(probes() + 1)
        .copy_from(parameters_.at(options_.watched).value.reshape({models_}).to(DType::f64));
  Pending pending(probes(), models_, has_watched, spare_);
  cuda::copy_to_pinned(pending.numbers_.get(), sums_.bytes(), bytes_of(sums_.elements()));
  pending.event_.record();
  return pending;
}

CapturedTraining::Sums CapturedTraining::Pending::wait() const {
  event_.wait();
  const auto row = [&](int64_t i) {
    const double* const begin = numbers_.get() + i * models_;
    return std::vector<double>(begin, begin + models_);
  };
  Sums sums;
  for (int64_t probe = 0; probe < probes_; ++probe) sums.probes.push_back(row(probe));
  for (double step : row(probes_)) sums.stopped.push_back(static_cast<int64_t>(step));
  if (has_watched_) sums.watched = row(probes_ + 1);
  return sums;
}

void CapturedTraining::begin_sums() { sums_.slice(0, probes()).fill(0); }

void CapturedTraining::begin_sums(const Sums& sums) {
  std::vector<double> numbers;
  for (const std::vector<double>& probe : sums.probes)
    numbers.insert(numbers.end(), probe.begin(), probe.end());
  for (int64_t step : sums.stopped) numbers.push_back(static_cast<double>(step));
  sums_.slice(0, probes() + 1).copy_from(Tensor::from<double>({probes() + 1, models_}, numbers));
}

size_t CapturedTraining::nodes() const { return graphs_.empty() ? 0 : graphs_.begin()->second.nodes(); }

}  // namespace elbo
