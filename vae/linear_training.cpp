#include "vae/linear_training.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include <fmt/ranges.h>

#include "autograd/ops.h"
#include "tensor/map.h"
#include "vae/training.h"

namespace elbo {
namespace {

constexpr auto kBetweenCheckpoints = std::chrono::seconds(10);
constexpr const char* kTrace = "elbo_trace";  // in a checkpoint

/// A line for each entry: the step, and the members' ELBOs.
std::string text_of(const ElboTrace& trace) {
  std::string text;
  for (size_t i = 0; i < trace.step.size(); ++i)
    text += fmt::format("{} {}\n", trace.step[i], fmt::join(trace.elbo[i], " "));
  return text;
}

ElboTrace trace_in(const std::string& text) {
  ElboTrace trace;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    char* at = line.data();
    trace.step.push_back(std::strtoll(at, &at, 10));
    std::vector<double>& elbo = trace.elbo.emplace_back();
    while (*at == ' ') elbo.push_back(std::strtod(at, &at));
  }
  return trace;
}

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

Variable elbo_of_batch(const LinearVae& vae, ElboGradient gradient, const Tensor& x, const RandomKey& key) {
  return gradient == ElboGradient::analytic ? vae.analytic_elbo(x) : vae.stochastic_elbo(x, key);
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
  if (options.steps < 0 || options.evaluate_every < 1)
    fail("[train] cannot take {} steps and evaluate every {}", options.steps, options.evaluate_every);
  const bool from_covariance = options.gradient == ElboGradient::analytic &&
                               covariance_form_is_cheaper(x.size(0), model.dimensions, model.latent);
  const Tensor covariance =
      from_covariance ? elbo::covariance(data).to(model.dtype).to(model.device) : Tensor();
  vae.set_mean(data.mean);  // or the exact ELBO would be that of a shifted model
  const Loss loss{.probes = {"elbo"}, .value = [&](const LossInput& in) {
                    const Variable elbo = from_covariance
                                              ? vae.analytic_elbo_from_covariance(covariance)
                                              : elbo_of_batch(vae, options.gradient, in.x, in.key);
                    return LossValue{-elbo, {elbo}};
                  }};
  Training training(vae.parameters(),
                    {{.name = "full batch",
                      .loss = loss,
                      .steps = options.steps,
                      .rates = options.rates,
                      .schedule = options.schedule}},
                    whole_set(x), {.seed = options.seed, .adam = options.adam});
  ElboTrace trace;
  const auto evaluate = [&] {
    trace.step.push_back(training.steps());
    trace.elbo.push_back(exact_elbos(vae, data, training.steps()));
  };
  if (!options.checkpoint.empty() && std::filesystem::exists(options.checkpoint))
    trace = trace_in(training.load(options.checkpoint)[kTrace]);
  else
    evaluate();
  const auto save = [&] {
    if (!options.checkpoint.empty()) training.save(options.checkpoint, {{kTrace, text_of(trace)}});
  };
  auto saved_at = std::chrono::steady_clock::now();
  while (training.step()) {
    const int64_t done = training.steps();
    require_finite(training.terms().probes[0], vae.parameters(), fmt::format("at step {}", done - 1));
    if (done % options.evaluate_every == 0 || done == options.steps) evaluate();
    if (after && !after(done, trace.elbo.back())) {
      save();
      if (trace.step.back() != done) evaluate();
      break;
    }
    if (std::chrono::steady_clock::now() - saved_at < kBetweenCheckpoints) continue;
    save();
    saved_at = std::chrono::steady_clock::now();
  }
  return trace;
}

}  // namespace elbo
