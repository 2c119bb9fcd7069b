#include "apps/luecke/setting.h"

#include <algorithm>
#include <cmath>

#include "apps/experiment/parts.h"
#include "apps/support/figure_parts.h"
#include "apps/support/statistics.h"
#include "apps/training/model_folder.h"
#include "vae/deep_metrics.h"
#include "vae/luecke_file.h"
#include "vae/streaming_likelihood.h"

namespace elbo::luecke {
namespace {

constexpr int64_t kDimensions = 10, kLatent = 2;  // of all toys of the paper

struct Slice {
  std::string key;
  int64_t first, count;
};

std::vector<Slice> slices_of(const ToyRuns& runs) {
  if (runs.runs <= kRunsOfUnit) return {{runs.key, 0, runs.runs}};
  std::vector<Slice> slices;
  for (int64_t first = 0; first < runs.runs; first += kRunsOfUnit)
    slices.push_back(
        {fmt::format("{}-{}", runs.key, first), first, std::min(kRunsOfUnit, runs.runs - first)});
  return slices;
}

ToySets data_of(const ToyRuns& runs, const Slice& slice) {
  return draw_sets(runs.toys, {.sets = slice.count,
                               .first = slice.first,
                               .train = runs.points,
                               .test = runs.points,
                               .seed = runs.training.seed});
}

LueckeOptions options_of(const ToyRuns& runs, const Slice& slice, Device device) {
  return {.dimensions = kDimensions,
          .latent = kLatent,
          .fixed_sigma = runs.fixed_sigma,
          .device = device,
          .members = slice.count,
          .first_member = slice.first};
}

std::unique_ptr<Vae> model_of(const ToyRuns& runs, const Slice& slice, Device device) {
  return luecke_vae(runs.model, options_of(runs, slice, device), runs.training.seed);
}

/// Those of run 0, so many times and at the end.
Look looks_at(const ToyRuns& runs, const Vae& vae, const ToySets& data) {
  if (runs.looks == 0) return {};
  const DataMoments train = data_moments(data.train.slice(0).to(DType::f64)),
                    test = data_moments(data.test.slice(0).to(DType::f64));
  const int64_t last = runs.training.epochs, every = std::max<int64_t>(last / runs.looks, 1);
  return [&vae, train, test, every, last](int64_t epoch) -> Json {
    if (epoch % every != 0 && epoch != last) return {};
    return likelihoods_of(vae, epoch, train, test);
  };
}

Json trained(const ToyRuns& runs, const Slice& slice, Device device, const UnitPlace& place) {
  const ToySets data = data_of(runs, slice);
  const auto vae = model_of(runs, slice, device);
  const Look look = slice.first == 0 ? looks_at(runs, *vae, data) : Look{};
  Json result = train_recorded(*vae, data.train.to(device), runs.training, place, look);
  if (result.is_null()) return result;
  save_members(
      runs.model, options_of(runs, slice, device), *vae, recorded_from(result), place,
      [&](int64_t run) { return card_of_toy(data.toys[0].name, run, runs.points, runs.training.seed); });
  return result;
}

}  // namespace

void quicken_common(TrainedOptions& o, const Arguments& arguments) {
  quicken(arguments, o.quick, "--points", o.points, 1000);
  quicken(arguments, o.quick, "--batch", o.batch, 200);
  quicken(arguments, o.quick, "--samples", o.samples, 10);
  if (o.has_data && !arguments.given("--subset")) quicken(arguments, o.quick, "--limit", o.data.limit, 1000);
}

void quicken_common(ThreeModelOptions& o, const Arguments& arguments) {
  quicken_common(static_cast<TrainedOptions&>(o), arguments);
  quicken(arguments, o.quick, "--image-epochs", o.image_epochs, 400);
  quicken(arguments, o.quick, "--ring-epochs", o.ring_epochs, 800);
}

void add_points_option(Arguments& arguments, TrainedOptions& o) {
  arguments.add_number("--points", o.points, "Points of a toy data set, for training and for testing", kCount)
      .show_default();
}

void add_step_options(Arguments& arguments, TrainedOptions& o) {
  arguments.add_number("--batch", o.batch, "Points in a minibatch", kCount).show_default();
  arguments.add_number("--samples", o.samples, "Draws of z for each point", kCount).show_default();
  arguments.add_number("--lr", o.rate, "Adam's learning rate", kPositive).show_default();
}

void add_step_options(Arguments& arguments, ThreeModelOptions& o) {
  arguments.begin_group("Optimisation");
  arguments.add_number("--linear-epochs", o.linear_epochs, "Epochs of the linear VAE", kCount).show_default();
  arguments.add_number("--image-epochs", o.image_epochs, "Epochs of VAE-1", kCount).show_default();
  arguments.add_number("--ring-epochs", o.ring_epochs, "Epochs of VAE-3", kCount).show_default();
  add_step_options(arguments, static_cast<TrainedOptions&>(o));
}

std::vector<Unit> units_of(const ToyRuns& runs, const RunOptions& options) {
  std::vector<Unit> units;
  const Device device = device_of(options);
  for (const Slice& slice : slices_of(runs)) {
    units.push_back(as_ensemble(
        {.key = slice.key,
         .title = slice.count == 1 ? runs.title
                                   : fmt::format("{}, runs {} to {}", runs.title, slice.first,
                                                 slice.first + slice.count - 1),
         .cost = cost_of_training(*model_of(runs, slice, Device::cpu), runs.points, runs.training),
         .measure =
             [runs, slice, device] {
               const ToySets data = data_of(runs, slice);
               const auto vae = model_of(runs, slice, device);
               return seconds_of_training(*vae, data.train.to(device), runs.training);
             }},
        {.members = slice.count,
         .run =
             [runs, slice, device](const UnitPlace& place, const MemberRange& some) {
               ToyRuns own = runs;
               own.training.may_break = some.count < slice.count;
               return trained(own, {slice.key, slice.first + some.first, some.count}, device, place);
             },
         .join = join_recorded}));
  }
  return units;
}

Recorded recorded(const ToyRuns& runs, const Outcomes& outcomes) {
  Recorded all;
  for (const Slice& slice : slices_of(runs)) {
    if (!outcomes.has(slice.key)) continue;
    const Recorded part = recorded_from(outcomes.at(slice.key));
    if (all.bound.empty()) {
      all.first_run = slice.first;
      all.looks = part.looks;
    }
    append(all, part);
  }
  return without_broken(all);
}

std::vector<double> gaps_at_end(const ToyRuns& runs, const Outcomes& outcomes,
                                const RunDirectory& directory) {
  std::vector<double> gaps;
  for (const Slice& slice : slices_of(runs)) {
    if (!outcomes.has(slice.key)) continue;
    const Recorded record = recorded_from(outcomes.at(slice.key));
    const ToySets data = data_of(runs, slice);
    for (int64_t m = 0; m < slice.count; ++m) {
      if (!std::isfinite(record.bound.at(static_cast<size_t>(m)).back())) continue;
      const int64_t run = slice.first + m;
      const SafetensorsFile file = read_safetensors(directory.file(slice.key + "/" + model_name(false, run)));
      const auto vae = load_luecke_vae(file, Device::cpu, run);
      gaps.push_back(evaluate_deep_vae(*vae, data.train.slice(m), {.second_draw = false, .progress = {}})
                         .at(0)
                         .entropies.gap_percent);
    }
  }
  return gaps;
}

Truth truth_of(const ToyRuns& runs, int64_t run) {
  const ToySets data = data_of(runs, {"", run, 1});
  return {data.log_likelihoods(Split::train)[0], data.log_likelihoods(Split::test)[0]};
}

double gap_of_fixed_sigma(const ToyRuns& runs, int64_t run) {
  const ToySets data = data_of(runs, {"", run, 1});
  const Eigen eigen = principal_components(data_moments(data.train.slice(0).to(DType::f64)));
  return entropy_gap_of_fixed_sigma2(eigen.values, kLatent, *runs.fixed_sigma * *runs.fixed_sigma);
}

Json likelihoods_of(const Vae& vae, int64_t epoch, const DataMoments& train, const DataMoments& test) {
  const Ppca decoder = linear_decoder(vae, 0);
  return {{"epoch", epoch},
          {"log_likelihood", ppca_log_likelihood(decoder, train)},
          {"held_out", ppca_log_likelihood(decoder, test)}};
}

std::vector<Series> likelihood_curves(const Recorded& run) {
  std::vector<Series> curves{{.name = "exact log-likelihood"}, {.name = "on held-out data"}};
  for (const Json& look : run.looks)
    for (size_t i = 0; i < 2; ++i) {
      curves[i].x.push_back(number_or_nan(look.at("epoch")));
      curves[i].y.push_back(number_or_nan(look.at(i == 0 ? "log_likelihood" : "held_out")));
    }
  return curves;
}

Figure bound_figure(const std::string& title, const Recorded& run, size_t member) {
  Figure figure{.title = title, .x = {"epoch"}, .y = {"nats per data point"}};
  const std::vector<double> epochs = epochs_of(run);
  figure.series = {
      {.name = "lower bound", .x = epochs, .y = run.bound[member]},
      {.name = "three entropies", .x = epochs, .y = run.entropies[member], .style = Style::dashed}};
  // The first epochs reach far below.
  const double last = run.bound[member].back(),
               early = run.bound[member][static_cast<size_t>(run.epochs() / 8)];
  const double range = std::max(last - early, 1e-3 * std::abs(last));
  figure.y.low = last - 1.5 * range;
  figure.y.high = last + 0.5 * range;
  return figure;
}

void add_truth(Figure& figure, double truth) {
  const double margin = 0.05 * (figure.y.high - figure.y.low);
  figure.y.low = std::min(figure.y.low, truth - margin);
  figure.y.high = std::max(figure.y.high, truth + margin);
  figure.lines.push_back({.at = truth, .label = "ground truth"});
}

Figure error_figure(const std::string& title, const Recorded& runs) {
  std::vector<std::vector<double>> errors;
  for (size_t m = 0; m < runs.bound.size(); ++m) errors.push_back(relative_error(runs, m));
  Figure figure{.title = title, .x = {"epoch"}, .y = {.label = "error (% of bound)", .log = true}};
  figure.series = {quartile_band("median and quartiles", epochs_of(runs), errors)};
  return figure;
}

std::string unlike_paper(const TrainedOptions& o) {
  const TrainedOptions paper;
  const bool same = o.points == paper.points && o.batch == paper.batch && o.samples == paper.samples &&
                    o.rate == paper.rate;
  return same ? "" : "other points, batches, draws of z or rate than the paper's";
}

Claim judged(const std::string& unlike, const std::string& rule, bool holds, Claim claim) {
  claim.note = unlike.empty() ? "rule: " + rule : unlike;
  if (unlike.empty()) claim.holds = holds;
  return claim;
}

}  // namespace elbo::luecke
