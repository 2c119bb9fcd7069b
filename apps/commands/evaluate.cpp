// elbo evaluate: all metrics of a trained model on a data set.
#include <algorithm>
#include <cmath>

#include "apps/command.h"
#include "apps/reports/aggregate_report.h"
#include "apps/reports/deep_report.h"
#include "apps/reports/linear_report.h"
#include "apps/reports/unit_report.h"
#include "apps/support/arguments.h"
#include "apps/support/statistics.h"
#include "apps/training/saved_model.h"
#include "tensor/copy.h"
#include "tensor/file.h"
#include "vae/disentanglement.h"
#include "vae/importance.h"
#include "vae/latent_quadrature.h"

namespace elbo {
namespace {

constexpr int64_t kMostAggregatePoints = 5000;  // their kernel takes 800 MB

struct Options : SavedModelOptions {
  int64_t importance_samples = 50, importance_points = 1000;
  double importance_inflation = 1;
  int64_t aggregate_points = 1000;
};

/// A model that broke in training is found out here.
void require_finite(double elbo, const SavedModel& model) {
  if (!std::isfinite(elbo))
    fail("[evaluate] the ELBO of {} is not finite: the model broke in training, or these are not its data",
         quote(model.path));
}

/// Some of the points, chosen at random: their numbers, or all.
Tensor choose_points(const SavedModel& model, int64_t most) {
  const int64_t points = model.data.dataset.points();
  return permutation(points, {.seed = model.seed, .stream = kEvaluation}).slice(0, std::min(most, points));
}
Points those_points(const SavedModel& model, const Tensor& chosen) {
  return {chosen.size(0), [&model, chosen](int64_t begin, int64_t end) {
            return model.data.rows(chosen.slice(begin, end).span<int64_t>());
          }};
}

/// How well units tell the factors that the data were made from, on points at random.
void evaluate_factors(const SavedModel& model, Result& result, Table& table) {
  const Factors& factors = model.data.dataset.factors;
  if (factors.names.empty()) return;
  const Tensor chosen = choose_points(model, kGapPoints);
  const Points some = those_points(model, chosen);
  const Disentanglement found =
      disentanglement(encode_all(*model.vae, some).mean, gather_rows(factors.indices, chosen));
  const auto row = [&](const std::string& what, double value) {
    std::vector<std::string> cells{what, fmt::format("{:.3f}", value)};
    cells.resize(table.columns().size());
    table.row(cells);
  };
  Json gaps = Json::object();
  for (size_t f = 0; f < factors.names.size(); ++f) {
    const double gap = found.gap_per_factor[f];
    gaps[factors.names[f]] = finite_or_null(gap);
    if (!std::isfinite(gap)) continue;
    const int64_t best = found.best_unit(static_cast<int64_t>(f));
    row(fmt::format("{}: gap, by unit {}, which tells {:.2f} of {:.2f} nats", factors.names[f], best,
                    found.information.slice(static_cast<int64_t>(f)).at(best), found.entropy[f]),
        gap);
  }
  if (std::isfinite(found.gap)) row("mutual information gap, their mean", found.gap);
  result.set("mig", finite_or_null(found.gap),
             "mean over factors of (I_1 - I_2) / H, 20 bins of posterior means");
  result.set("mig_per_factor", gaps);
  result.set("mig_points", some.count());
}

/// How far q(z) of points at random is from the prior, and samples of the model from data.
void evaluate_aggregate(const Options& o, const SavedModel& model, Result& result, Table& table) {
  const Tensor chosen = choose_points(model, o.aggregate_points);
  if (chosen.size(0) < 2) return;
  const AggregateFindings found =
      look_at_aggregate(*model.vae, those_points(model, chosen), {.seed = model.seed});
  set_metrics(result, found);
  add_rows(table, found);
}

/// Why the ELBO need not be the sum of the entropies, as far as the file says; empty where it must.
std::string entropies_obstacle(const SavedModel& model) {
  if (!model.card || !model.card->entropies_obstacle)
    return "the file does not say how the model was trained";
  const bool same_numbers =
      model.on_its_own_data() && to_json(model.card->preprocessing) == to_json(model.data.preprocessing);
  if (!model.card->entropies_obstacle->empty() || same_numbers) return *model.card->entropies_obstacle;
  return "these are not the points that the model was trained on";
}

void evaluate_linear(const Options& o, const SavedModel& model, Result& result, Table& table) {
  const DataMoments moments = data_moments(model.data.all());
  const LinearVaeFindings findings =
      find_out(*model.linear, model.data, moments, principal_components(moments), entropies_obstacle(model));
  require_finite(findings.metrics.elbo, model);
  set_metrics(result, findings);
  set_data_units(result, model.data, {{"elbo", findings.metrics.elbo}});
  table = comparison(findings);
  evaluate_factors(model, result, table);
  evaluate_aggregate(o, model, result, table);
}

/// The metrics that training reports, and two that cost more: on the first points only. Returns the note that
/// goes below the table.
std::string evaluate_deep(const Options& o, const SavedModel& model, Result& result, Table& table) {
  const Points x = points_of(model.data);
  DeepVaeMetrics metrics = evaluate_deep_vae(*model.vae, x, {.seed = model.seed, .progress = {}})[0];
  if (std::string& obstacle = metrics.entropies.obstacle; obstacle.empty())
    obstacle = entropies_obstacle(model);
  require_finite(metrics.elbo, model);
  const double to_paper = paper_units_constant(model.data.dataset, model.data.preprocessing);
  set_metrics(result, metrics, to_paper);
  set_data_units(result, model.data, {{"elbo", metrics.elbo}});
  table = metrics_table(metrics, to_paper);
  evaluate_factors(model, result, table);
  evaluate_aggregate(o, model, result, table);
  const Points some = points_of(model.data, o.importance_points);
  const int64_t points = some.count();
  const std::string note = precision_note(metrics.samples) + "\n" +
                           evaluate_units(*model.vae, metrics, model.data, model.seed, result);
  if (points == 0 || o.importance_samples == 0) return note;
  const MeanOfPoints single = importance_weighted_bound(*model.vae, some, 1, model.seed)[0];
  const ImportanceEstimate bound = importance_log_likelihood(
      *model.vae, some,
      {.samples = o.importance_samples, .inflation = o.importance_inflation, .seed = model.seed})[0];
  const double information = mutual_information(*model.vae, some, model.seed)[0];
  result.set("importance_weighted_bound", bound.mean, kNatsPerPoint);
  result.set("importance_weighted_bound_standard_error", bound.standard_error, kNatsPerPoint);
  result.set("importance_samples", o.importance_samples);
  result.set("importance_points", points);
  result.set("importance_inflation", o.importance_inflation,
             "variances of what the samples are drawn from, in those of q(z|x)");
  result.set("importance_effective_samples",
             {{"median", finite_or_null(bound.median_effective_samples)},
              {"least", finite_or_null(bound.least_effective_samples)}},
             "(sum w)^2 / sum w^2 of a point's weights, over the points");
  result.set("importance_poorly_sampled", bound.poorly_sampled,
             "points with fewer than 10 effective samples");
  result.set("importance_warning", bound.warning, "empty, or why the bound is no estimate of ln p(x)");
  result.set("mutual_information", information, "nats; at most the logarithm of importance_points");
  table.row(
      {fmt::format("ELBO of the first {} points", points), with_error(single.mean, single.standard_error)});
  table.row({fmt::format("their bound with {} importance samples", o.importance_samples),
             with_error(bound.mean, bound.standard_error)});
  table.row({"  effective samples of a point: median, fewest",
             fmt::format("{:.1f}, {:.1f}", bound.median_effective_samples, bound.least_effective_samples)});
  table.row({fmt::format("I(x; z) among them (at most {:.2f})", std::log(static_cast<double>(points))),
             fmt::format("{:.3f}", information)});
  if (model.vae->latent() == 1) {
    const QuadratureEstimate exact = quadrature_log_likelihood(*model.vae, some)[0];
    result.set("log_likelihood", exact.mean,
               "nats per data point, of importance_points; by quadrature over the latent dimension");
    result.set("log_likelihood_standard_error", exact.standard_error, kNatsPerPoint);
    result.set("log_likelihood_quadrature_error", finite_or_null(exact.error),
               "nats, of the worst point: what twice the nodes changed");
    table.row(
        {"their ln p(x), by quadrature",
         with_error(exact.mean, exact.standard_error) +
             (exact.error < 1e-3 ? "" : fmt::format(", of a point wrong by up to {:.2g}", exact.error))});
  }
  if (bound.warning.empty()) return note;
  return note + "As an estimate of ln p(x) the bound is " + bound.warning + ".\n";
}

/// Whether points that the user named are of the set that the model's were, divided in another way, so that
/// it may have been trained on them.
bool may_have_been_trained_on(const SavedModel& model) {
  const Dataset& data = model.data.dataset;
  const ModelCard& card = *model.card;
  // A source's own test points are not divided, and no part of what models are trained on.
  const bool own_split = data.divided.empty() && data.split != Split::train && data.split != Split::all;
  const DatasetKind* const kind = find_kind(card.data);
  const bool generated = kind && kind->generates();
  const bool same_name =
      are_same_source(model.named.data, card.data) && (!generated || model.seed == card.seed) && !own_split;
  const bool same_points = (data.divided.empty() ? data.fingerprint : data.divided) ==
                           (card.divided.empty() ? card.fingerprint : card.divided);
  const bool held_out = card.division.any() && model.named.division == card.division &&
                        data.split != Split::train && data.split != Split::all;
  return (same_name || same_points) && !held_out;
}

/// How the model knows the data, for people.
std::string acquaintance(const SavedModel& model) {
  if (!model.card) return "";
  if (model.on_its_own_data()) return ", which it was trained on";
  const Split split = model.data.dataset.split;
  if (model.own_source && split == Split::all) return ", and it was trained on some of them";
  const bool same_choice = model.named.limit == model.card->limit &&
                           model.named.subset == model.card->subset &&
                           (model.named.subset == 0 || model.seed == model.card->seed);
  if (model.own_source && split == Split::train && !same_choice) return "";  // some of them, or some more
  if (!model.own_source && may_have_been_trained_on(model))
    return ", and it was trained on points of the same set";
  return ", which it was not trained on";
}

void evaluate(Options o) {
  if (o.aggregate_points == 1)
    fail("[--aggregate-points] one point has no pairs; give 2 or more, or 0 for none");
  apply(o.run);
  const SavedModel model = open_saved_model(o, DataNeed::points, device_of(o.run));
  if (model.linear) apply_on_cpu(o.run);
  o.run.seed = model.seed;
  Json config = to_json(model.named, o.run);
  config["model"] = model.path;
  config["model_card"] = model.card ? to_json(*model.card) : Json(nullptr);
  Result result("evaluate", config, provenance_of(o.run, model.data));
  Table table({""});
  std::string note;
  if (model.linear)
    evaluate_linear(o, model, result, table);
  else
    note = evaluate_deep(o, model, result, table);
  if (o.run.json)
    fmt::print("{}", json_text(result.to_json()));
  else
    fmt::print("{} on the {} of {} ({} points, {}){}\n\n{}{}", model.path, words(model.data.dataset.split),
               model.data.dataset.name, model.data.dataset.points(), name(model.data.preprocessing.kind),
               acquaintance(model), table.text(), note);
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_saved_model_options(arguments, *o);
  add_factor_option(arguments, *o);
  arguments
      .add_number("--importance-samples", o->importance_samples,
                  "Deep VAE: samples of the importance-weighted bound; 0: none", kCountOrNone)
      .show_default();
  arguments
      .add_number("--importance-points", o->importance_points,
                  "Points that the importance-weighted bound and I(x; z) are of", kCountOrNone)
      .show_default();
  arguments
      .add_number("--importance-inflation", o->importance_inflation,
                  "Its samples come from q(z|x) with the variances times this", kPositive)
      .show_default();
  arguments
      .add_number("--aggregate-points", o->aggregate_points,
                  "Points at random whose q(z) is set beside the prior, all pairs of them; 0: none",
                  Bounds{0, kMostAggregatePoints})
      .show_default();
  arguments.run([o] { evaluate(*o); });
}

}  // namespace

const Command evaluate_command{"evaluate", "All metrics of a trained model on a data set", "", "5 s on MNIST",
                               add_options};

}  // namespace elbo
