#include "apps/yacoby/optima_units.h"

#include <cmath>

#include "apps/experiment/training_unit.h"
#include "apps/support/figure_parts.h"
#include "apps/training/model_card.h"
#include "apps/training/model_folder.h"
#include "datasets/yacoby_toys.h"
#include "vae/elbo_loss.h"
#include "vae/training.h"
#include "vae/yacoby_file.h"

namespace elbo::yacoby {
namespace {

ToySets data_of(const OptimaOptions& o) {
  return draw_sets(
      linear_jtex_toys({.sigma2 = kSigma2, .floor = kFloor}),
      {.train = o.points, .validation = o.points, .test = 1, .seed = o.run.seed, .dtype = DType::f64});
}

std::unique_ptr<Vae> model_of(const OptimaOptions& o, const ToySets& data) {
  return yacoby_vae(YacobyModel::linear_jtex, data.toys[0].truth,
                    {.device = device_of(o.run), .members = o.members}, o.run.seed);
}

Training training_of(const OptimaOptions& o, Vae& vae, const ToySets& data) {
  return Training(vae.parameters(), {{.loss = elbo_loss(vae), .steps = o.steps, .rates = {o.rate}}},
                  whole_set(data.train.slice(0).to(device_of(o.run))), {.seed = o.run.seed});
}

/// E[x x^T] of points (N, D).
Tensor second_moments(const Tensor& x) {
  const int64_t d = x.size(1);
  const Tensor moments = Tensor::zeros({d, d}, DType::f64);
  for (int64_t n = 0; n < x.size(0); ++n)
    for (int64_t i = 0; i < d * d; ++i)
      moments.data<double>()[i] += x.at(n * d + i / d) * x.at(n * d + i % d) / static_cast<double>(x.size(0));
  return moments;
}

/// q(z|x) of every member: mean and variance (M, N, k), f64 on the CPU.
struct Encoded {
  Tensor mean, variance;
};
Encoded encoded(const Vae& vae, const Tensor& x) {
  const Posterior q = vae.encode(x.to(vae.device()));
  return {q.mean.value().to(Device::cpu), exp(q.log_variance).value().to(Device::cpu)};
}

Json measured(const OptimaOptions& o, const Vae& vae, const Training& training, const ToySets& data) {
  const Tensor train = data.train.slice(0), validation = data.validation.slice(0);
  const Encoded of_train = encoded(vae, train), of_validation = encoded(vae, validation);
  const Tensor moments = second_moments(validation);
  Json members = Json::array();
  int64_t chosen = -1;
  double least = 0;
  for (int64_t m = 0; m < vae.models(); ++m) {
    if (training.stopped(m) >= 0) {
      members.push_back(nullptr);
      continue;
    }
    const LinearGaussian model = linear_gaussian_of(vae, m);
    const LinearPosterior posterior = exact_posterior(model);
    // Minus the ELBO on validation data, without the noise of draws.
    const double loss =
        posterior_gap(posterior, validation, of_validation.mean.slice(m), of_validation.variance.slice(m)) -
        mean_log_density(model, moments);
    members.push_back(
        {{"weight", model.weight.to_vector()},
         {"encoder_gap", posterior_gap(posterior, train, of_train.mean.slice(m), of_train.variance.slice(m))},
         {"validation_loss", loss}});
    if (chosen < 0 || loss < least) {
      chosen = m;
      least = loss;
    }
  }
  const Tensor latents = draws_of(of_train.mean.slice(chosen), of_train.variance.slice(chosen), o.run.seed);
  return {{"members", members}, {"chosen", chosen}, {"latents", latents.to_vector()}};
}

/// Each as a model that knows its data; the best is the one that is chosen.
void save_restarts(const OptimaOptions& o, const Vae& vae, const YacobyTruth& truth, const Json& found,
                   const UnitPlace& place) {
  ModelCard card = card_of_toy("linear-jtex", 0, o.points, o.run.seed);
  std::vector<SavedMember> list;
  for (int64_t m = 0; m < o.members; ++m) {
    card.member = m;
    save_yacoby_vae(place.directory.file(place.folder + model_name(false, m)), YacobyModel::linear_jtex,
                    truth, vae, m, metadata_of(card));
    const Json& own = found.at("members").at(static_cast<size_t>(m));
    list.push_back({m, fmt::format("restart {}", m),
                    own.is_null() ? std::nan("") : -own.at("validation_loss").get<double>()});
  }
  write_member_list(place.directory, place.folder, list);
}

Json trained(const OptimaOptions& o, const UnitPlace& place) {
  const ToySets data = data_of(o);
  const auto vae = model_of(o, data);
  Training training = training_of(o, *vae, data);
  const auto text = [&] { return fmt::format("ELBO {:.3f} nats", elbo_in(training.terms())); };
  if (!run_training(training, o.steps, place, text)) return {};
  bool any = false;
  for (int64_t m = 0; m < o.members; ++m) any = any || training.stopped(m) < 0;
  if (!any) fail("[yacoby-optima] no restart's ELBO is finite; try a smaller --lr");
  Json found = measured(o, *vae, training, data);
  save_restarts(o, *vae, data.toys[0].truth, found, place);
  return found;
}

Json closed_form(const OptimaOptions& o) {
  const Tensor factor = linear_jtex_toy(0, 0).truth.at("factor");
  const Tensor covariance = data_covariance(true_model());
  const std::vector<double> grid = evenly(0, kLargestFloor, static_cast<int>(o.grid));
  Json likelihood = Json::array(), posterior = Json::array(), information = Json::array();
  for (const double b11 : grid)
    for (const double b22 : grid) {
      const LinearGaussian model = jtex_model(factor, {b11, b22}, kSigma2);
      const OptimalLoss loss = optimal_loss(model, covariance);
      likelihood.push_back(loss.likelihood);
      posterior.push_back(loss.posterior);
      information.push_back(mutual_information(model));
    }
  const JtexOptimum optimum = jtex_optimum(covariance, {kFloor, kFloor}, kSigma2, static_cast<int>(o.starts));
  return {{"grid", grid},
          {"likelihood", likelihood},
          {"posterior", posterior},
          {"information", information},
          {"optimum", optimum.model.weight.to_vector()},
          {"losses", optimum.losses}};
}

}  // namespace

LinearGaussian true_model() {
  return jtex_model(linear_jtex_toy(0, 0).truth.at("factor"), {kFloor, kFloor}, kSigma2);
}

Known known_of(const Tensor& weight) {
  const Tensor covariance = data_covariance(true_model());
  Known known;
  known.model = {weight, Tensor::full({2}, kSigma2 - kFloor, DType::f64)};
  known.posterior = exact_posterior(known.model);
  known.loss = optimal_loss(known.model, covariance);
  known.information = mutual_information(known.model);
  known.log_likelihood = mean_log_density(known.model, covariance);
  known.covariance = data_covariance(known.model);
  known.aggregated = aggregated_covariance(known.posterior, covariance, true);
  return known;
}

Tensor draws_of(const Tensor& mean, const Tensor& variance, uint64_t seed) {
  const Tensor z = normal(mean.shape(), DType::f64, {.seed = seed, .stream = kEvaluation});
  for (int64_t i = 0; i < z.elements(); ++i)
    z.data<double>()[i] = mean.at(i) + std::sqrt(variance.at(i)) * z.at(i);
  return z;
}

Unit closed_form_unit(const OptimaOptions& o) {
  // In the measure of trainings: what a step of theirs takes is worth some twenty of these models.
  const double models = static_cast<double>(o.grid * o.grid + 200 * o.starts);
  return {.key = kClosedForm, .title = "closed form", .cost = models / 20, .run = [o](const UnitPlace&) {
            return closed_form(o);
          }};
}

Unit trained_unit(const OptimaOptions& o) {
  return {.key = kTrained,
          .title = fmt::format("{} restarts of the VAE", o.members),
          .cost = static_cast<double>(o.steps) * static_cast<double>(o.members * o.points) / 5000,
          .measure =
              [o] {
                const ToySets data = data_of(o);
                const auto vae = model_of(o, data);
                OptimaOptions longer = o;
                ++longer.steps;  // seconds_for_steps takes a step more, to warm up
                Training training = training_of(longer, *vae, data);
                return seconds_of(training, o.steps);
              },
          .run = [o](const UnitPlace& place) { return trained(o, place); }};
}

}  // namespace elbo::yacoby
