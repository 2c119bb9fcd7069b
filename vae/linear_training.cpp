#include "vae/linear_training.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "tensor/map.h"

namespace elbo {
namespace {

std::vector<double> exact_elbos(LinearVae& vae, const DataMoments& data, int64_t step) {
  std::vector<double> elbos;
  for (int64_t m = 0; m < std::max<int64_t>(vae.options().members, 1); ++m) {
    require_in_range(vae, m, step);
    elbos.push_back(evaluate_linear_vae(linear_vae_weights(vae, m), data).elbo);
    if (!std::isfinite(elbos.back()))
      fail("[train] the exact ELBO is not finite after step {}, member {}; try a smaller learning rate", step,
           m);
  }
  return elbos;
}

}  // namespace

const char* name(ElboGradient gradient) {
  return gradient == ElboGradient::analytic ? "analytic" : "stochastic";
}

ElboGradient parse_elbo_gradient(std::string_view text) {
  if (text == "analytic") return ElboGradient::analytic;
  if (text == "stochastic") return ElboGradient::stochastic;
  fail("[gradient] unknown gradient '{}'; there are analytic, stochastic", text);
}

Tensor centred(const Tensor& x, const Tensor& mean, DType dtype) {
  // In f64, and rounded when the offset is gone.
  constexpr int64_t kRows = 1024;
  const Tensor result = Tensor::empty(x.shape(), dtype), middle = mean.to(DType::f64);
  for (int64_t begin = 0; begin < x.size(0); begin += kRows) {
    const int64_t end = std::min(begin + kRows, x.size(0));
    result.slice(begin, end)
        .copy_from(map(Difference{}, x.slice(begin, end).to(DType::f64), middle).to(dtype));
  }
  return result;
}

void require_finite(const Tensor& objective, ParameterStore& store, const std::string& where) {
  for (int64_t m = 0; m < objective.elements(); ++m) {
    if (std::isfinite(objective.at(m))) continue;
    const std::string culprit = store.first_not_finite(m);
    // fabs: a NaN has a sign, which says nothing.
    fail("[train] the objective is {} {}, member {}: {}; try a smaller learning rate",
         std::isnan(objective.at(m)) ? std::fabs(objective.at(m)) : objective.at(m), where, m,
         culprit.empty() ? "all parameters are finite" : "the first tensor that is not finite is " + culprit);
  }
}

void require_in_range(LinearVae& vae, int64_t member, int64_t step) {
  const double sigma2 = std::exp(linear_vae_weights(vae, member).log_sigma2);
  std::string culprit = vae.parameters().first_not_finite(member);
  if (culprit.empty() && (sigma2 == 0 || std::isinf(sigma2))) culprit = "exp(log_sigma2)";
  if (!culprit.empty())
    fail("[train] {} left the range of numbers after step {}, member {}; try a smaller learning rate",
         culprit, step, member);
}

ElboTrace train_full_batch(LinearVae& vae, const Tensor& centred, const DataMoments& data,
                           const FullBatchOptions& options,
                           const std::function<bool(int64_t, const std::vector<double>&)>& after) {
  const LinearVaeOptions& model = vae.options();
  const Tensor x = centred.to(model.device);
  const auto members = static_cast<size_t>(std::max<int64_t>(model.members, 1));
  if (options.rates.size() != 1 && options.rates.size() != members)
    fail("[train] {} learning rates for {} members; give one for all or one for each", options.rates.size(),
         members);
  if (options.steps < 0 || options.evaluate_every < 1)
    fail("[train] cannot take {} steps and evaluate every {}", options.steps, options.evaluate_every);
  const bool from_covariance = options.gradient == ElboGradient::analytic &&
                               covariance_form_is_cheaper(x.size(0), model.dimensions, model.latent);
  const Tensor covariance =
      from_covariance ? elbo::covariance(data).to(model.dtype).to(model.device) : Tensor();
  vae.set_mean(data.mean);  // or the exact ELBO would be that of a shifted model
  Adam adam(vae.parameters(), options.adam);
  ElboTrace trace;
  std::vector<double> latest, rates(options.rates.size());
  const auto evaluate = [&](int64_t step) {
    latest = exact_elbos(vae, data, step);
    trace.step.push_back(step);
    trace.elbo.push_back(latest);
  };
  evaluate(0);
  for (int64_t step = 0; step < options.steps; ++step) {
    {
      Tape tape;
      const RandomKey noise{
          .seed = options.seed, .stream = kLatentNoise, .step = static_cast<uint64_t>(step)};
      const Variable elbo = options.gradient == ElboGradient::stochastic ? vae.stochastic_elbo(x, noise)
                            : from_covariance ? vae.analytic_elbo_from_covariance(covariance)
                                              : vae.analytic_elbo(x);
      require_finite(elbo.value(), vae.parameters(), fmt::format("at step {}", step));
      tape.backward(-sum(elbo));
    }
    for (size_t m = 0; m < rates.size(); ++m) rates[m] = options.rates[m] * options.schedule.at(step);
    adam.step(rates);
    const int64_t done = step + 1;
    if (done % options.evaluate_every == 0 || done == options.steps) evaluate(done);
    if (after && !after(done, latest)) {
      if (trace.step.back() != done) evaluate(done);
      break;
    }
  }
  return trace;
}

}  // namespace elbo
