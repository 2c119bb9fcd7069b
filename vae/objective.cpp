#include "vae/objective.h"

#include <array>
#include <cmath>
#include <limits>

namespace elbo {
namespace {

template <class Kind, size_t N>
Kind parse(const char* what, std::string_view text, const std::array<Kind, N>& kinds) {
  std::string known;
  for (Kind kind : kinds) {
    if (text == name(kind)) return kind;
    known += (known.empty() ? "" : ", ") + std::string(name(kind));
  }
  fail("[{}] unknown {} '{}'; there are {}", what, what, text, known);
}

}  // namespace

const char* name(KlWeight::Annealing annealing) {
  switch (annealing) {
    case KlWeight::Annealing::none:
      return "none";
    case KlWeight::Annealing::linear:
      return "linear";
    case KlWeight::Annealing::cyclical:
      break;
  }
  return "cyclical";
}

KlWeight::Annealing parse_annealing(std::string_view text) {
  using enum KlWeight::Annealing;
  return parse("annealing", text, std::array{none, linear, cyclical});
}

const char* name(Objective::Penalty penalty) {
  switch (penalty) {
    case Objective::Penalty::kl:
      return "kl";
    case Objective::Penalty::free_bits:
      return "free-bits";
    case Objective::Penalty::capacity:
      break;
  }
  return "capacity";
}

Objective::Penalty parse_penalty(std::string_view text) {
  using enum Objective::Penalty;
  return parse("penalty", text, std::array{kl, free_bits, capacity});
}

double KlWeight::at(const TrainingTime& time) const {
  switch (annealing) {
    case Annealing::none:
      return beta;
    case Annealing::linear:
      return beta * (epochs > 0 ? std::min(1.0, time.epochs() / epochs) : 1.0);
    case Annealing::cyclical:
      break;
  }
  // Fu et al. 2019, Eqs. 6-7, with steps counted from 0.
  const double total = static_cast<double>(time.total_steps), count = static_cast<double>(cycles);
  const double position =
      std::fmod(static_cast<double>(time.step), std::ceil(total / count)) / (total / count);
  return beta * std::min(1.0, position / rise);
}

std::string why_not_elbo(const Objective& objective, const TrainingTime& time, int64_t member) {
  if (objective.penalty == Objective::Penalty::free_bits && objective.free_nats > 0)
    return fmt::format("the objective gives each unit {:g} nats free", objective.free_nats);
  if (objective.penalty == Objective::Penalty::capacity) return "the objective holds the KL at a capacity";
  const KlWeight& weight = objective.weights[objective.weights.size() == 1 ? 0 : static_cast<size_t>(member)];
  if (const double now = weight.at(time); now != 1) {
    const std::string number = fmt::format("{:g}", now);
    return fmt::format("the KL's weight is {}, not 1", number == "1" ? fmt::format("{}", now) : number);
  }
  return "";
}

Tensor penalty_numbers(const Objective& objective, const TrainingTime& time, int64_t models) {
  const std::vector<KlWeight>& weights = objective.weights;
  const bool same = weights.size() == 1;
  const Tensor numbers =
      Tensor::empty({(same ? models : static_cast<int64_t>(weights.size())) + 1}, DType::f64);
  const std::span<double> all = numbers.span<double>();
  for (size_t m = 0; m + 1 < all.size(); ++m) all[m] = weights[same ? 0 : m].at(time);
  const double reached =
      objective.capacity_epochs > 0 ? std::min(1.0, time.epochs() / objective.capacity_epochs) : 1.0;
  all.back() = objective.capacity * reached;
  return numbers;
}

Tensor kl_weights(const Tensor& numbers, bool has_members) {
  const int64_t models = numbers.elements() - 1;
  return numbers.slice(0, models).reshape(has_members ? Shape{models} : Shape{});
}

Variable weighted_penalty(const Objective& objective, const Tensor& numbers, const Posterior& q,
                          const Variable& batch_kl) {
  const int64_t models = batch_kl.value().elements();
  if (!(numbers.shape() == Shape{models + 1}))
    fail("[objective] {} numbers for {} models; there must be one more", numbers.shape().str(), models);
  Variable penalty = batch_kl;
  if (objective.penalty == Objective::Penalty::free_bits) {
    const Variable unit_kl = mean(gaussian_kl(q.mean, q.log_variance), {-2});  // (M?, k)
    penalty = sum(clamp(unit_kl, objective.free_nats, std::numeric_limits<double>::infinity()), {-1});
  } else if (objective.penalty == Objective::Penalty::capacity) {
    penalty = abs(batch_kl - numbers.slice(models));
  }
  return penalty * kl_weights(numbers, batch_kl.rank() > 0);
}

}  // namespace elbo
