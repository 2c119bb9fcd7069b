#include "apps/asperti/ensemble.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/asperti/watched.h"
#include "apps/experiment/parts.h"
#include "apps/support/interrupt.h"
#include "vae/set_batches.h"

namespace elbo::asperti {
namespace {

constexpr int64_t kShown = 10, kPointsForGains = 1000;

/// Variance of mu and mean of sigma^2 over points, of the first member's units.
Json look_at(const Vae& vae, const Tensor& batch, int64_t step) {
  const Posterior q = vae.encode(batch);
  const Variable mean_of_mean = mean(q.mean, {-2});
  const auto of_first = [&](const Variable& values) {
    return rounded(values.value().reshape({vae.models(), vae.latent()}).slice(0).to_vector());
  };
  return {{"step", step},
          {"variance", of_first(mean(square(q.mean), {-2}) - square(mean_of_mean))},
          {"sigma2", of_first(mean(exp(q.log_variance), {-2}))}};
}

/// (M?, 1, k): 1 for units in use.
Variable mask_of(const Vae& vae, const std::vector<std::vector<UnitDiagnostics>>& units) {
  std::vector<double> mask;
  for (const auto& member : units)
    for (const UnitDiagnostics& unit : member) mask.push_back(in_use(unit) ? 1 : 0);
  const Shape shape = vae.has_members() ? Shape{vae.models(), 1, vae.latent()} : Shape{vae.latent()};
  return Tensor::from<double>(shape, mask).to(vae.dtype()).to(vae.device());
}

std::vector<double> first_pictures(const Vae& vae, const Tensor& pictures, int64_t member) {
  return pictures.reshape({vae.models(), -1, vae.dimensions()})
      .slice(member)
      .slice(0, std::min(kShown, pictures.size(-2)))
      .to_vector();
}

/// Draws from the prior, with and without the units that are not in use; pictures of one member are kept.
void draw_silenced(const Vae& vae, const EnsembleTraining& how, int64_t shown, Ensemble& found) {
  const Shape shape =
      vae.has_members() ? Shape{vae.models(), how.pictures, vae.latent()} : Shape{how.pictures, vae.latent()};
  const RandomKey key = for_members_of(vae, {.seed = how.seed, .stream = kUnitNoise});
  const Variable z = normal(shape, vae.dtype(), key, vae.models(), vae.device());
  const Variable whole = vae.decode(z).mean, without = vae.decode(z * mask_of(vae, found.units)).mean;
  const Variable difference = reshape(abs(whole - without), {vae.models(), how.pictures * vae.dimensions()});
  const Tensor largest = max(difference, {-1}).value(), average = mean(difference, {-1}).value();
  for (int64_t m = 0; m < vae.models(); ++m) found.silenced.push_back({largest.at(m), average.at(m)});
  found.drawn = first_pictures(vae, whole.value().to(Device::cpu), shown);
  found.drawn_without = first_pictures(vae, without.value().to(Device::cpu), shown);
}

/// Calls f(name, value) for each number of a unit: writing and reading are two such f.
template <class Unit, class F>
void each_number(Unit& unit, F f) {
  f("mean_of_mean", unit.mean_of_mean);
  f("variance", unit.variance_of_mean);
  f("sigma2", unit.mean_variance);
  f("law", unit.law);
  f("law_standard_error", unit.law_standard_error);
  f("kl", unit.kl);
  f("share_below", unit.share_below);
  f("gain", unit.gain.mean);
  f("gain_standard_error", unit.gain.standard_error);
  f("gain_of_prior", unit.gain_of_prior.mean);
  f("gain_of_prior_standard_error", unit.gain_of_prior.standard_error);
}

/// Of the members that trained to the end. Not to_json: where an argument is a Json, that name would mean the
/// library's, too.
Json json_of(const Ensemble& found, const std::vector<Json>& looks, const std::vector<bool>& broken) {
  Json members = Json::array();
  for (size_t m = 0; m < found.members(); ++m) {
    if (broken[m]) continue;
    Json units = Json::array();
    for (const UnitDiagnostics& unit : found.units[m]) {
      Json own;
      each_number(unit, [&](const char* name, double value) { own[name] = finite_or_null(value); });
      units.push_back(own);
    }
    members.push_back({{"units", units},
                       {"squared_error", finite_or_null(found.squared_error[m])},
                       {"silenced_largest", finite_or_null(found.silenced[m].largest)},
                       {"silenced_mean", finite_or_null(found.silenced[m].mean)}});
  }
  return {{"looks", looks},
          {"members", members},
          {"gain_points", found.gain_points},
          {"drawn", rounded(found.drawn)},
          {"drawn_without", rounded(found.drawn_without)}};
}

}  // namespace

bool in_use(const UnitDiagnostics& unit) { return is_in_use(unit.variance_of_mean, unit.mean_variance); }

int64_t count_in_use(const std::vector<UnitDiagnostics>& units) {
  return std::count_if(units.begin(), units.end(), in_use);
}

Json train_ensemble(const AspertiOptions& whole, const MemberRange& members, const ModelCard& card,
                    const Tensor& x, const EnsembleTraining& how, const UnitPlace& place) {
  AspertiOptions network = whole;
  network.members = members.count;
  network.first_member += members.first;
  const auto made = asperti_vae(network, how.seed);
  Vae& vae = *made;
  const BatchSource batches = shuffled_batches(x, how.batch, how.seed);
  const int64_t steps = how.epochs * batches.per_epoch;
  Training training(vae.parameters(),
                    {{.loss = asperti_loss(vae, how.part),
                      .steps = steps,
                      .rates = {how.rate},
                      .schedule = {.kind = how.schedule, .base = 1, .total_steps = steps}}},
                    batches, {.seed = how.seed});
  const std::vector<int64_t> listed = looking_steps(steps, how.looks);
  const std::set<int64_t> at(listed.begin(), listed.end());
  const Watch watch{.look = [&](int64_t step) -> Json {
                      if (!at.contains(step)) return {};
                      return look_at(vae, batches.batch(std::max<int64_t>(step - 1, 0)), step);
                    },
                    .text =
                        [&] {
                          return fmt::format("epoch {}, ELBO {:.2f} nats",
                                             training.steps() / batches.per_epoch + 1,
                                             elbo_in(training.terms()));
                        },
                    .may_break = members.count < whole.members};
  const auto looks = train_watched(training, steps, watch, place);
  if (!looks) return {};
  Ensemble found;
  const std::vector<DeepVaeMetrics> metrics = evaluate_deep_vae(
      vae, x, {.seed = how.seed, .progress = [](int64_t, int64_t) { return !interrupted(); }});
  if (metrics.empty()) return {};
  const Tensor some = x.slice(0, std::min(kPointsForGains, x.size(0)));
  const std::vector<UnitGains> gains = unit_gains(vae, some, how.seed);
  found.gain_points = some.size(0);
  for (size_t m = 0; m < metrics.size(); ++m) {
    found.units.push_back(unit_diagnostics(metrics[m], gains[m]));
    found.squared_error.push_back(metrics[m].sigma2_tuned * static_cast<double>(vae.dimensions()));
  }
  std::vector<bool> broken;
  for (int64_t m = 0; m < vae.models(); ++m) broken.push_back(training.stopped(m) >= 0);
  const auto whole_member = std::find(broken.begin(), broken.end(), false);
  draw_silenced(vae, how, whole_member == broken.end() ? 0 : whole_member - broken.begin(), found);
  save_models(network, vae, card, members_of(metrics, members.first), place);
  Json result = json_of(found, *looks, broken);
  if (watch.may_break) result[kBroke] = training.steps() < steps;
  return result;
}

/// Of all members, from those of the parts; what is of the first member alone is of the first part, and what
/// is drawn of the first that has one which ended.
Json joined(const UnitPlace& place, const std::vector<PartOutcome>& parts) {
  check_some_are_left(parts);
  Json all = parts.front().result;
  for (size_t i = 1; i < parts.size(); ++i) {
    const Json& part = parts[i].result;
    if (all.at("members").empty())
      for (const char* drawn : {"drawn", "drawn_without"}) all[drawn] = part.at(drawn);
    append(all.at("members"), part.at("members"));
  }
  all.erase(kBroke);
  join_models(place, parts);
  return all;
}

Ensemble ensemble_from(const Json& json) {
  Ensemble found;
  for (const Json& look : json.at("looks"))
    found.looks.push_back(
        {look.at("step"), numbers_or_nan(look.at("variance")), numbers_or_nan(look.at("sigma2"))});
  for (const Json& member : json.at("members")) {
    std::vector<UnitDiagnostics>& units = found.units.emplace_back();
    for (const Json& unit : member.at("units")) {
      UnitDiagnostics& own = units.emplace_back();
      own.unit = static_cast<int64_t>(units.size()) - 1;
      each_number(own, [&](const char* name, double& value) { value = number_or_nan(unit.at(name)); });
    }
    found.squared_error.push_back(number_or_nan(member.at("squared_error")));
    found.silenced.push_back(
        {number_or_nan(member.at("silenced_largest")), number_or_nan(member.at("silenced_mean"))});
  }
  if (found.units.empty()) fail("[train] every model of an ensemble broke; try a smaller learning rate");
  found.gain_points = json.at("gain_points");
  found.drawn = numbers_or_nan(json.at("drawn"));
  found.drawn_without = numbers_or_nan(json.at("drawn_without"));
  return found;
}

Unit ensemble_unit(const std::string& key, const std::string& title, const AspertiOptions& network,
                   const EnsembleTraining& how, const DataOptions& named, const PlannedData& data) {
  const double reuse = network.conv ? 40 : 1;  // a weight of a convolution meets many pixels
  const auto run = [=, load = data.load](const UnitPlace& place, const MemberRange& members) {
    const std::shared_ptr<const LoadedData> loaded = load();
    const Tensor x = loaded->all().to(DType::f32).to(network.device);
    return train_ensemble(network, members, card_of(named, *loaded), x, how, place);
  };
  return as_ensemble({.key = key,
                      .title = title,
                      .cost = reuse * training_cost(*asperti_vae(network, how.seed), data.points, how.epochs),
                      .measure =
                          [=, points = data.points] {
                            const auto vae = asperti_vae(network, how.seed);
                            const int64_t per_epoch = (points + how.batch - 1) / how.batch;
                            return seconds_of(*vae, asperti_loss(*vae, how.part),
                                              stand_in(*vae, points, how.batch), how.batch,
                                              how.epochs * per_epoch);
                          }},
                     {.members = network.members, .run = run, .join = joined});
}

}  // namespace elbo::asperti
