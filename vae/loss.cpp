#include "vae/loss.h"

#include <algorithm>
#include <cmath>

namespace elbo {

void backward_of_each(Tape& tape, const Variable& costs, const GradientFunction* ready) {
  tape.backward(costs, Tensor::full(costs.shape(), 1, costs.dtype(), costs.value().device()), ready);
}

LossTerms differentiate(FunctionRef<LossValue(const LossInput&)> value, const LossInput& input) {
  Tape tape;
  const LossValue found = value(input);
  backward_of_each(tape, found.cost, input.ready);
  LossTerms terms{found.cost.value(), {}};
  for (const Variable& probe : found.probes) terms.probes.push_back(probe.value());
  return terms;
}

LossTerms differentiate(const Loss& loss, const LossInput& input) {
  LossTerms terms = loss.differentiate ? loss.differentiate(input) : differentiate(loss.value, input);
  if (terms.probes.size() != loss.probes.size())
    fail("[loss] {} probes with {} names", terms.probes.size(), loss.probes.size());
  for (const Tensor& probe : terms.probes)
    if (!(probe.shape() == terms.cost.shape()))
      fail("[loss] a probe is {}, but the costs are {}: one number for each member", probe.shape().str(),
           terms.cost.shape().str());
  return terms;
}

LossTerms differentiate(const Loss& loss, const Tensor& x, const TrainingTime& time, const RandomKey& key,
                        const BatchRows& rows, const GradientFunction* ready) {
  Tensor numbers = loss.numbers_at(time);
  if (numbers.defined()) numbers = numbers.to(x.dtype()).to(x.device());
  return differentiate(loss, {x, numbers, key, rows, ready});
}

LossTerms on_cpu(LossTerms terms) {
  terms.cost = terms.cost.to(Device::cpu);
  for (Tensor& probe : terms.probes) probe = probe.to(Device::cpu);
  return terms;
}

std::vector<int64_t> members_not_finite(const LossTerms& terms) {
  std::vector<int64_t> bad;
  for (int64_t m = 0; m < terms.cost.elements(); ++m) {
    const auto broken = [m](const Tensor& of) { return !std::isfinite(of.at(m)); };
    if (broken(terms.cost) || std::any_of(terms.probes.begin(), terms.probes.end(), broken)) bad.push_back(m);
  }
  return bad;
}

}  // namespace elbo
