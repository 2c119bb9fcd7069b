#include "vae/captured_training.h"

#include <algorithm>
#include <cmath>

#include "vae/captured_training_kernels.h"

namespace elbo {
namespace {

constexpr int64_t kSums = 4;  // rows of sums_

Tensor on_gpu(const Shape& shape, DType dtype) { return Tensor::zeros(shape, dtype, Device::cuda); }

size_t bytes_of(int64_t doubles) { return static_cast<size_t>(doubles) * sizeof(double); }

}  // namespace

CapturedTraining::CapturedTraining(DeepVae& vae, Adam& adam, const Options& options, const Fill& fill)
    : vae_(vae),
      adam_(adam),
      options_(options),
      fill_(fill),
      models_(vae.models()),
      table_(on_gpu({kMostSteps, row_length()}, DType::f64)),
      next_(on_gpu({1}, DType::i64)),
      place_(on_gpu({2}, DType::i64)),
      counter_(on_gpu({1}, DType::i64)),
      points_(on_gpu({1}, DType::f64)),
      penalty_(on_gpu({models_ + 1}, vae.options().dtype)),
      rates_(on_gpu({models_ + 1}, DType::f64)),
      sums_(on_gpu({kSums, models_}, DType::f64)) {
  for (double*& staged : staged_)
    staged = static_cast<double*>(cuda::allocate_pinned(bytes_of(kMostSteps * row_length())));
  sums_.slice(2).fill(-1);
}

CapturedTraining::~CapturedTraining() {
  for (double* staged : staged_) cuda::free_pinned(staged);
}

int64_t CapturedTraining::row_length() const { return cuda::kFixedNumbers + (models_ + 1) + (models_ + 1); }

void CapturedTraining::run(std::span<const Step> steps) {
  if (static_cast<int64_t>(steps.size()) > kMostSteps)
    fail("[train] {} steps at once; at most {}", steps.size(), kMostSteps);
  if (steps.empty()) return;
  turn_ = 1 - turn_;
  copied_[turn_].wait();  // what it held may still be on its way
  double* to = staged_[turn_];
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& s = steps[i];
    for (int64_t number : {s.first, s.epoch, s.time.step, s.rows}) *to++ = static_cast<double>(number);
    for (double number : penalty_numbers(options_.objective, s.time, models_)) *to++ = number;
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
  }
  adam_.count(static_cast<int64_t>(steps.size()));
}

void CapturedTraining::take(int64_t rows) {
  cuda::advance(table_, next_, place_, counter_, points_, penalty_, rates_);
  const Tensor x = Tensor::empty({rows, vae_.options().dimensions}, vae_.options().dtype, Device::cuda);
  fill_(x, place_);
  const RandomKey noise{.seed = options_.seed,
                        .member = 0,
                        .stream = kLatentNoise,
                        .step = 0,
                        .counter = counter_.data<int64_t>(),
                        .counter_factor = 1};
  const BatchTerms terms =
      differentiate_given(vae_, x, options_.objective, penalty_, noise, options_.samples);
  cuda::bookkeep(terms.log_likelihood, terms.kl, points_, counter_, rates_, sums_);
  if (options_.clip > 0) clip_gradient_norm(vae_.parameters(), options_.clip);
  adam_.apply(rates_);
}

CapturedTraining::Pending::Pending(int64_t models, bool has_sigma2, const std::shared_ptr<Spare>& spare)
    : numbers_(nullptr, GiveBack{spare}), models_(models), has_sigma2_(has_sigma2) {
  if (spare->buffers.empty()) {
    numbers_.reset(static_cast<double*>(cuda::allocate_pinned(bytes_of(kSums * models))));
    return;
  }
  numbers_.reset(spare->buffers.back());
  spare->buffers.pop_back();
}

CapturedTraining::Pending CapturedTraining::read() {
  if (vae_.has_scalar_sigma2())
    sums_.slice(3).copy_from(vae_.parameters().at("log_sigma2").value.reshape({models_}).to(DType::f64));
  Pending pending(models_, vae_.has_scalar_sigma2(), spare_);
  cuda::copy_to_pinned(pending.numbers_.get(), sums_.bytes(), bytes_of(kSums * models_));
  pending.event_.record();
  return pending;
}

CapturedTraining::Sums CapturedTraining::Pending::wait() const {
  event_.wait();
  const auto row = [&](int64_t i) {
    return std::span(numbers_.get() + i * models_, static_cast<size_t>(models_));
  };
  Sums sums;
  sums.log_likelihood.assign(row(0).begin(), row(0).end());
  sums.kl.assign(row(1).begin(), row(1).end());
  for (double step : row(2)) sums.stopped.push_back(static_cast<int64_t>(step));
  for (double log_sigma2 : row(3)) sums.sigma2.push_back(has_sigma2_ ? std::exp(log_sigma2) : std::nan(""));
  return sums;
}

void CapturedTraining::begin_sums() { sums_.slice(0, 2).fill(0); }

void CapturedTraining::begin_sums(const Sums& sums) {
  std::vector<double> numbers = sums.log_likelihood;
  numbers.insert(numbers.end(), sums.kl.begin(), sums.kl.end());
  for (int64_t step : sums.stopped) numbers.push_back(static_cast<double>(step));
  sums_.slice(0, 3).copy_from(Tensor::from<double>({3, models_}, numbers));
}

size_t CapturedTraining::nodes() const { return graphs_.empty() ? 0 : graphs_.begin()->second.nodes(); }

}  // namespace elbo
