#include "apps/yacoby/findings.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "autograd/ops.h"
#include "datasets/cubic_density.h"
#include "datasets/relu_density.h"
#include "tensor/copy.h"
#include "vae/importance.h"
#include "vae/two_sample.h"

namespace elbo::yacoby {
namespace {

constexpr int64_t kPool = 20000;  // points of each side that the statistic's sets are drawn from

bool has_linear_decoder(const DataKind& kind) {
  return kind.model == YacobyModel::linear_jtex || kind.model == YacobyModel::gaussian;
}

/// ln p(x) of test points under each of the chosen models, exact.
void add_exact_likelihoods(const DataKind& kind, const Vae& chosen, const ToySets& sets,
                           std::vector<Chosen>& found) {
  for (size_t s = 0; s < found.size(); ++s) {
    if (found[s].member < 0) continue;
    const auto set = static_cast<int64_t>(s);
    found[s].exact =
        mean(Variable(exact_log_density(kind, chosen, set, sets.test.slice(set))), {0}).value().item();
    found[s].log_likelihood = found[s].exact;
    found[s].effective_samples = std::nan("");
  }
}

void add_sampled_likelihoods(const Vae& chosen, const ToySets& sets, int64_t samples, uint64_t seed,
                             std::vector<Chosen>& found) {
  const std::vector<ImportanceEstimate> estimates =
      importance_log_likelihood(chosen, sets.test, {.samples = samples, .seed = seed});
  for (size_t s = 0; s < found.size(); ++s) {
    found[s].log_likelihood = estimates[s].mean;
    found[s].effective_samples = estimates[s].median_effective_samples;
    found[s].unreliable = !estimates[s].warning.empty();
  }
}

/// How far `other` (N, D) is from points that the toy of set s drew.
RepeatedKnn beside_truth(const ToySets& sets, size_t s, const Tensor& other, int64_t repetitions,
                         uint64_t seed) {
  RandomKey of_data{.seed = seed, .stream = kEvaluation}, of_other = of_data;
  of_data.member = static_cast<uint32_t>(2 * s);
  of_other.member = static_cast<uint32_t>(2 * s + 1);
  return repeated_smooth_knn(points_among(sets.toys[s].draw(kPool, Split::test), of_data),
                             points_among(other, of_other), {.repetitions = repetitions});
}

void add_knn(const Vae& chosen, const ToySets& sets, int64_t repetitions, uint64_t seed,
             std::vector<Chosen>& found) {
  const Tensor made = samples_of(chosen, kPool, {.seed = seed, .stream = kEvaluation});
  for (size_t s = 0; s < found.size(); ++s) {
    const RepeatedKnn statistic =
        beside_truth(sets, s, made.slice(static_cast<int64_t>(s)), repetitions, seed);
    found[s].knn = statistic.mean;
    found[s].knn_error = statistic.standard_error;
  }
}

}  // namespace

std::unique_ptr<Vae> alone(const Restarts& restarts, const Vae& vae, const std::vector<int64_t>& members) {
  auto chosen = restarts.model(Device::cpu, static_cast<int64_t>(members.size()));
  for (size_t i = 0; i < members.size(); ++i)
    for (const Parameter& parameter : vae.parameters().all())
      chosen->parameters()
          .at(parameter.name)
          .value.slice(static_cast<int64_t>(i))
          .copy_from(parameter.value.slice(std::max<int64_t>(members[i], 0)).to(Device::cpu));
  return chosen;
}

Tensor exact_log_density(const DataKind& kind, const Vae& vae, int64_t member, const Tensor& x) {
  const auto number = [&](const char* name) {
    const Tensor& value = vae.parameters().at(name).value;
    return (vae.has_members() ? value.slice(member) : value).to(DType::f64).to(Device::cpu);
  };
  const double noise_variance = std::exp(number("log_sigma2").at(0));
  switch (kind.model) {
    case YacobyModel::linear_jtex:
    case YacobyModel::gaussian:
      break;
    case YacobyModel::cubic_jtex: {
      // The columns of L are what becomes of the unit vectors before the cube.
      const Tensor z = Tensor::zeros({vae.models(), 2, 2}, DType::f64);
      for (int64_t m = 0; m < vae.models(); ++m)
        for (int64_t i = 0; i < 2; ++i) z.data<double>()[m * 4 + 3 * i] = 1;
      const Tensor here = (vae.has_members() ? z : z.slice(0)).to(vae.dtype()).to(vae.device());
      const Tensor cubes = vae.decode(here).mean.value().to(DType::f64).to(Device::cpu);
      const Tensor columns = Tensor::empty({2, 2}, DType::f64);
      for (int64_t i = 0; i < 4; ++i)
        columns.data<double>()[i] = std::cbrt(cubes.at((vae.has_members() ? 4 * member : 0) + i));
      return cubic_log_density(matmul_tn(columns, columns).value(), noise_variance, x);
    }
    case YacobyModel::mobius:
      return relu_log_density({number("decoder.0.weight"), number("decoder.0.bias"),
                               number("decoder.1.weight"), number("decoder.1.bias")},
                              noise_variance, x);
  }
  return log_density(linear_gaussian_of(vae, member), x);
}

Tensor samples_of(const Vae& vae, int64_t points, const RandomKey& key) {
  RandomKey of_noise = key;
  of_noise.step = 1;
  const Tensor z = normal({vae.models(), points, vae.latent()}, vae.dtype(), key, vae.models());
  const Observation x = vae.decode(z);
  const Variable noise =
      normal({vae.models(), points, vae.dimensions()}, vae.dtype(), of_noise, vae.models());
  const Variable deviation = exp(0.5 * reshape(x.log_variance, {vae.models(), 1, x.log_variance.size(-1)}));
  return (x.mean + deviation * noise).value();
}

std::vector<double> knn_of_truth(const ToySets& sets, int64_t repetitions, uint64_t seed) {
  std::vector<double> of_each;
  for (size_t s = 0; s < sets.toys.size(); ++s)
    of_each.push_back(beside_truth(sets, s, sets.toys[s].draw(2 * kPool, Split::test).slice(kPool, 2 * kPool),
                                   repetitions, seed)
                          .mean);
  return of_each;
}

Findings find_out(const DataKind& kind, std::vector<double> scores, const Restarts& restarts, const Vae& vae,
                  const RestartOptions& o, int64_t importance_samples, int64_t knn_repetitions) {
  Findings found;
  found.scores = std::move(scores);
  const ToySets& sets = restarts.sets();
  for (const int64_t member : restarts.best_of_each(found.scores)) {
    Chosen own;
    own.member = member;
    found.chosen.push_back(own);
  }
  std::vector<int64_t> members;
  for (const Chosen& own : found.chosen) members.push_back(own.member);
  const auto chosen = alone(restarts, vae, members);
  if (has_linear_decoder(kind)) {
    const auto truth = restarts.model(Device::cpu, 1);
    set_decoder(*truth, sets.toys[0].truth);
    const Tensor covariance = data_covariance(linear_gaussian_of(*truth));
    for (int64_t m = 0; m < restarts.members(); ++m) {
      const bool broke = !std::isfinite(found.scores[static_cast<size_t>(m)]);
      const OptimalLoss loss = broke ? OptimalLoss{std::nan(""), std::nan("")}
                                     : optimal_loss(linear_gaussian_of(vae, m), covariance);
      found.optima.push_back({loss.likelihood, loss.posterior});
    }
  }
  add_exact_likelihoods(kind, *chosen, sets, found.chosen);
  if (!has_linear_decoder(kind))
    add_sampled_likelihoods(*chosen, sets, importance_samples, o.run.seed, found.chosen);
  add_knn(*chosen, sets, knn_repetitions, o.run.seed, found.chosen);
  for (Chosen& own : found.chosen)
    if (own.member < 0) own.log_likelihood = own.exact = own.knn = own.knn_error = std::nan("");
  return found;
}

Json to_json(const Findings& found) {
  Json json = {
      {"scores", finite_or_null(found.scores)}, {"chosen", Json::array()}, {"optima", Json::array()}};
  for (const Chosen& own : found.chosen)
    json["chosen"].push_back({{"member", own.member},
                              {"log_likelihood", finite_or_null(own.log_likelihood)},
                              {"exact_log_likelihood", finite_or_null(own.exact)},
                              {"effective_samples", finite_or_null(own.effective_samples)},
                              {"unreliable", own.unreliable},
                              {"knn", finite_or_null(own.knn)},
                              {"knn_error", finite_or_null(own.knn_error)}});
  for (const Optimum& own : found.optima)
    json["optima"].push_back(
        {{"likelihood", finite_or_null(own.likelihood)}, {"posterior", finite_or_null(own.posterior)}});
  return json;
}

Findings findings_from(const Json& json) {
  Findings found;
  found.scores = numbers_or_nan(json.at("scores"));
  for (const Json& own : json.at("chosen"))
    found.chosen.push_back({.member = own.at("member"),
                            .log_likelihood = number_or_nan(own.at("log_likelihood")),
                            .exact = number_or_nan(own.value("exact_log_likelihood", Json(nullptr))),
                            .effective_samples = number_or_nan(own.at("effective_samples")),
                            .unreliable = own.at("unreliable"),
                            .knn = number_or_nan(own.at("knn")),
                            .knn_error = number_or_nan(own.at("knn_error"))});
  for (const Json& own : json.at("optima"))
    found.optima.push_back({number_or_nan(own.at("likelihood")), number_or_nan(own.at("posterior"))});
  return found;
}

}  // namespace elbo::yacoby
