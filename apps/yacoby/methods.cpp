#include "apps/yacoby/methods.h"

#include <fmt/ranges.h>

#include <array>
#include <cmath>

#include "vae/deep_metrics.h"
#include "vae/elbo_loss.h"
#include "vae/lagging.h"

namespace elbo::yacoby {
namespace {

struct Named {
  Method method;
  const char *name, *title;
};
constexpr std::array kMethods{Named{Method::vae, "vae", "VAE"}, Named{Method::beta, "beta", "β-VAE"},
                              Named{Method::anneal, "anneal", "β-VAE + annealing"},
                              Named{Method::lagging, "lagging", "lagging"},
                              Named{Method::libi, "libi", "LiBI"}};
constexpr int64_t kDraws = 100;  // of z for each validation point

std::vector<Setting> with_betas(Method method, const std::vector<double>& betas) {
  std::vector<Setting> grid;
  for (const double beta : betas) grid.push_back({.method = method, .beta = beta});
  return grid;
}

std::vector<int64_t> lagging_segments_of(YacobyModel model) {
  switch (model) {
    case YacobyModel::linear_jtex:
      return {40, 50, 60, 70};
    case YacobyModel::cubic_jtex:
      return {30, 40, 50, 60};
    case YacobyModel::gaussian:
      return {5, 10, 15, 20};
    case YacobyModel::mobius:
      return {60, 70, 80, 90};
  }
  return {};
}

std::vector<double> eps_hz_of(YacobyModel model) {
  if (model == YacobyModel::linear_jtex) return {1};
  if (model == YacobyModel::mobius) return {1, 10, 20};
  return {0.001, 1, 10, 20};
}

LibiOptions libi_options(const Setting& s, const Tensor& validation) {
  return {.repetitions = s.repetitions,
          .eps_hz = {s.eps_hz},
          .eps_sigma = {s.eps_sigma},
          .eps_mu = {s.eps_mu},
          .chosen_on = validation};
}

}  // namespace

Method parse_method(std::string_view text) {
  std::vector<const char*> names;
  for (const Named& each : kMethods) {
    if (text == each.name) return each.method;
    names.push_back(each.name);
  }
  fail("[--methods] there is no method {}; there are {}", text, fmt::join(names, ", "));
}

const char* name(Method method) { return kMethods.at(static_cast<size_t>(method)).name; }
const char* title(Method method) { return kMethods.at(static_cast<size_t>(method)).title; }

const std::vector<Method>& all_methods() {
  static const std::vector<Method> all{Method::vae, Method::beta, Method::anneal, Method::lagging,
                                       Method::libi};
  return all;
}

std::string key_of(const Setting& s) {
  switch (s.method) {
    case Method::vae:
      return "vae";
    case Method::beta:
    case Method::anneal:
      return fmt::format("{}-{:g}", name(s.method), s.beta);
    case Method::lagging:
      return fmt::format("lagging-{}", s.segments);
    case Method::libi:
      return fmt::format("libi-{:g}-{:g}-{:g}-{}", s.eps_hz, s.eps_sigma, s.eps_mu, s.repetitions);
  }
  return "";
}

std::string title_of(const Setting& s) {
  const char* const method = title(s.method);
  switch (s.method) {
    case Method::vae:
      return method;
    case Method::beta:
    case Method::anneal:
      return fmt::format("{}, β = {:g}", method, s.beta);
    case Method::lagging:
      return fmt::format("{}, {} segments", method, s.segments);
    case Method::libi:
      return fmt::format("{}, ε_HZ {:g}, ε_Σ {:g}, ε_μ {:g}, R = {}", method, s.eps_hz, s.eps_sigma, s.eps_mu,
                         s.repetitions);
  }
  return "";
}

std::vector<Setting> grid_of(const DataKind& kind, Method method) {
  std::vector<Setting> grid;
  switch (method) {
    case Method::vae:
      return {{.method = method}};
    case Method::beta:
      return with_betas(method, {0.5, 2, 5});
    case Method::anneal:
      return with_betas(method, {0.5, 1, 2, 5});
    case Method::lagging:
      for (const int64_t segments : lagging_segments_of(kind.model))
        grid.push_back({.method = method, .segments = segments});
      return grid;
    case Method::libi:
      for (const double eps_hz : eps_hz_of(kind.model))
        for (const double eps_sigma : {0.2, 0.5})
          for (const double eps_mu : {0.2, 0.5})
            for (const int64_t repetitions : {1, 6})
              grid.push_back({.method = method,
                              .repetitions = repetitions,
                              .eps_hz = eps_hz,
                              .eps_sigma = eps_sigma,
                              .eps_mu = eps_mu});
      return grid;
  }
  return grid;
}

void check_length(const Setting& s, int64_t steps) {
  const int64_t least = s.method == Method::libi      ? 2 * s.repetitions
                        : s.method == Method::lagging ? 2 * s.segments
                                                      : 1;
  if (steps < least)
    fail("[--epochs] {} has {} phases, so it needs at least {} steps, got {}", title_of(s), least, least,
         steps);
}

std::vector<Phase> phases_of(const Setting& s, Vae& vae, int64_t steps, double rate,
                             const Tensor& validation) {
  KlWeight weight{.beta = s.beta};
  if (s.method == Method::anneal) {
    weight.annealing = KlWeight::Annealing::linear;
    weight.epochs = static_cast<double>(steps) / 3;  // a step is an epoch
  }
  const Phase whole{.loss = elbo_loss(vae, {.weights = {weight}}), .steps = steps, .rates = {rate}};
  if (s.method == Method::lagging) return lagging_segments(whole, s.segments);
  if (s.method == Method::libi) return libi_phases(vae, libi_options(s, validation), whole);
  return {whole};
}

std::vector<double> scores_of(const Setting& s, Vae& vae, const Training& training, const Tensor& validation,
                              uint64_t seed) {
  std::vector<double> scores(static_cast<size_t>(vae.models()), std::nan(""));
  const LibiOutcome outcome = libi_outcome(training);  // of other methods it is empty
  std::vector<DeepVaeMetrics> metrics;
  if (s.method != Method::libi)
    metrics = evaluate_deep_vae(vae, validation, {.seed = seed, .samples = kDraws, .progress = {}});
  for (size_t m = 0; m < scores.size(); ++m) {
    if (training.stopped(static_cast<int64_t>(m)) >= 0) continue;
    if (!metrics.empty())
      scores[m] = metrics[m].expected_log_likelihood - s.beta * metrics[m].kl;
    else if (!outcome.kept.empty() && outcome.kept[m] > 0)
      scores[m] = -outcome.costs.at(static_cast<size_t>(outcome.kept[m] - 1)).at(m);
  }
  return scores;
}

}  // namespace elbo::yacoby
