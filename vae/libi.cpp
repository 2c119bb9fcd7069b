#include "vae/libi.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/ops.h"
#include "vae/henze_zirkler.h"

namespace elbo {
namespace {

// Notes of a training.
constexpr const char* kCosts = "libi.costs";      // (R, M) f64
constexpr const char* kRepetition = "libi.kept";  // (M) i64
constexpr const char* kParameter = "libi.kept.";  // before a parameter's name: as it was kept

constexpr double kTangentFrom = 5;

/// exp(t), and above kTangentFrom its tangent there.
Variable bounded_exp(const Variable& t) {
  return exp(clamp(t, -std::numeric_limits<double>::infinity(), kTangentFrom)) +
         std::exp(kTangentFrom) * relu(t - kTangentFrom);
}

void check_epsilons(const char* name, const std::vector<double>& values, double above, const Vae& vae) {
  if (values.size() != 1 && static_cast<int64_t>(values.size()) != vae.models())
    fail("[libi] {} {} for {} members; give one for all or one for each", values.size(), name, vae.models());
  for (double value : values)
    if (!(value > above) || !std::isfinite(value))
      fail("[libi] {} must be {}, got {}", name, above < 0 ? "at least 0" : "above 0", value);
}

void check(const LibiOptions& o, const Vae& vae) {
  if (o.repetitions < 1) fail("[libi] there must be at least one repetition, got {}", o.repetitions);
  check_epsilons("eps_hz", o.eps_hz, -std::numeric_limits<double>::denorm_min(), vae);
  check_epsilons("eps_sigma", o.eps_sigma, 0, vae);
  check_epsilons("eps_mu", o.eps_mu, 0, vae);
}

/// One of each member, () or (M).
Tensor for_members(const Vae& vae, const std::vector<double>& values) {
  std::vector<double> each = values;
  each.resize(static_cast<size_t>(vae.models()), values[0]);
  const Tensor numbers = Tensor::from<double>({vae.models()}, each);
  return (vae.has_members() ? numbers : numbers.reshape({})).to(vae.dtype()).to(vae.device());
}

Tensor identity(const Vae& vae) {
  const Tensor one = Tensor::zeros({vae.latent(), vae.latent()}, DType::f64);
  for (int64_t i = 0; i < vae.latent(); ++i) one.data<double>()[i * vae.latent() + i] = 1;
  return one.to(vae.dtype()).to(vae.device());
}

struct Epsilons {
  Tensor hz, sigma, mu, identity;
};

LossValue value_of(const Vae& vae, const Epsilons& eps, const Tensor& x, Mode mode) {
  if (x.size(-2) <= vae.latent())
    fail("[libi] {} points have no covariance in {} latent dimensions; a batch needs more points", x.size(-2),
         vae.latent());
  const Posterior q = vae.encode(x, mode);
  const Variable log_likelihood = mean(vae.log_likelihood(x, vae.decode(q.mean, mode)), {-1});
  const Variable code = vae.in_prior_units(q).mean;  // (M?, N, k)
  const Variable centre = mean(code, {-2}, true), off = code - centre;
  const Variable covariance = matmul_tn(off, off) / static_cast<double>(x.size(-2));
  const Variable hz = henze_zirkler(code), of_covariance = sum(square(covariance - eps.identity), {-2, -1}),
                 of_mean = sum(square(centre), {-2, -1});
  const Variable cost = eps.hz * bounded_exp(hz) + bounded_exp(of_covariance / eps.sigma) +
                        bounded_exp(of_mean / eps.mu) - log_likelihood;
  return {cost, {log_likelihood, hz, of_covariance, of_mean}};
}

Epsilons epsilons_of(const Vae& vae, const LibiOptions& o) {
  return {for_members(vae, o.eps_hz), for_members(vae, o.eps_sigma), for_members(vae, o.eps_mu),
          identity(vae)};
}

/// The part of a parameter that is a member's.
Tensor own(const Vae& vae, const Tensor& value, int64_t member) {
  return vae.has_members() ? value.slice(member) : value;
}

/// A note that begins as `fresh` is.
Tensor note(Training& training, const char* name, const std::function<Tensor()>& fresh) {
  Tensor& at = training.notes()[name];
  if (!at.defined()) at = fresh();
  return at;
}

class Repetitions {
 public:
  Repetitions(Vae& vae, const LibiOptions& options)
      : vae_(vae),
        count_(options.repetitions),
        eps_(epsilons_of(vae, options)),
        chosen_on_(options.chosen_on.to(vae.dtype()).to(vae.device())) {}

  void after_step_1(Training& training, int64_t repetition) const {
    const Tensor cost = value_of(vae_, eps_, chosen_on_, Mode::evaluate).cost.value().to(Device::cpu);
    for (int64_t m = 0; m < vae_.models(); ++m)
      costs(training).data<double>()[repetition * vae_.models() + m] = cost.at(m);
  }

  void after_step_2(Training& training, int64_t repetition) const {
    int64_t* const kept = repetitions(training).data<int64_t>();
    const double* const cost = costs(training).data<double>();
    for (int64_t m = 0; m < vae_.models(); ++m) {
      const double now = cost[repetition * vae_.models() + m];
      const bool lower = kept[m] == 0 || now < cost[(kept[m] - 1) * vae_.models() + m];
      if (training.stopped(m) >= 0 || !std::isfinite(now) || !lower) continue;
      kept[m] = repetition + 1;
      for (const Parameter& parameter : training.parameters().all())
        own(vae_, copy_of(training, parameter), m).copy_from(own(vae_, parameter.value, m));
    }
    if (repetition + 1 < count_) return;
    for (int64_t m = 0; m < vae_.models(); ++m)
      if (training.stopped(m) < 0 && kept[m] > 0)
        for (const Parameter& parameter : training.parameters().all())
          own(vae_, parameter.value, m).copy_from(own(vae_, copy_of(training, parameter), m));
  }

 private:
  Tensor costs(Training& training) const {
    return note(training, kCosts, [&] {
      return Tensor::full({count_, vae_.models()}, std::nan(""), DType::f64);
    });
  }
  Tensor repetitions(Training& training) const {
    return note(training, kRepetition, [&] { return Tensor::zeros({vae_.models()}, DType::i64); });
  }
  /// What was kept of a parameter lies on the CPU after a checkpoint was loaded.
  static Tensor copy_of(Training& training, const Parameter& parameter) {
    Tensor& copy = training.notes()[kParameter + parameter.name];
    copy = copy.defined() ? copy.to(parameter.value.device()) : parameter.value.clone();
    return copy;
  }

  Vae& vae_;
  int64_t count_;
  Epsilons eps_;
  Tensor chosen_on_;
};

}  // namespace

Loss libi_loss(Vae& vae, const LibiOptions& options) {
  check(options, vae);
  return {.probes = {kLogLikelihoodOfCode, kHenzeZirkler, kCovarianceDistance, kMeanDistance},
          .value = [&vae, eps = epsilons_of(vae, options)](const LossInput& in) {
            return value_of(vae, eps, in.x, Mode::train);
          }};
}

std::vector<Phase> libi_phases(Vae& vae, const LibiOptions& options, const Phase& whole, int64_t unit) {
  check(options, vae);
  if (options.repetitions > 1 && !options.chosen_on.defined())
    fail("[libi] {} repetitions need points to be compared on", options.repetitions);
  const std::vector<int64_t> lengths = equal_lengths(whole.steps, 2 * options.repetitions, unit);
  const Loss generative = libi_loss(vae, options);
  std::shared_ptr<const Repetitions> several;
  if (options.chosen_on.defined()) several = std::make_shared<Repetitions>(vae, options);
  std::vector<Phase> phases;
  for (int64_t r = 0; r < options.repetitions; ++r) {
    Phase first = whole, second = whole;
    first.name = fmt::format("generative {}", r + 1);
    first.loss = generative;
    first.steps = lengths[static_cast<size_t>(2 * r)];
    second.name = fmt::format("inference {}", r + 1);
    second.steps = lengths[static_cast<size_t>(2 * r + 1)];
    second.moves = {"encoder."};
    if (several) {
      first.after = [several, r](Training& training) { several->after_step_1(training, r); };
      second.after = [several, r](Training& training) { several->after_step_2(training, r); };
    }
    phases.push_back(std::move(first));
    phases.push_back(std::move(second));
  }
  return phases;
}

LibiOutcome libi_outcome(const Training& training) {
  LibiOutcome outcome;
  const TrainingNotes& notes = training.notes();
  if (const auto found = notes.find(kRepetition); found != notes.end())
    for (int64_t repetition : found->second.span<int64_t>()) outcome.kept.push_back(repetition);
  if (const auto found = notes.find(kCosts); found != notes.end())
    for (int64_t r = 0; r < found->second.size(0); ++r)
      outcome.costs.push_back(found->second.slice(r).to_vector());
  return outcome;
}

}  // namespace elbo
