// elbo ppca-elbo: Lucas et al. 2019, Fig 2. Over the latent dimension: the pPCA maximum, the ELBO that a
// trained linear VAE reaches, and the likelihood of the maximum-likelihood decoder when sigma^2 is frozen at
// another dimension's value.
#include <algorithm>
#include <cmath>
#include <functional>

#include "apps/command.h"
#include "apps/experiment/experiment.h"
#include "apps/experiment/linear_unit.h"
#include "apps/lucas/tables.h"
#include "apps/support/figure.h"
#include "apps/support/interrupt.h"
#include "apps/training/model_card.h"
#include "apps/training/model_folder.h"
#include "vae/decoder_alignment.h"
#include "vae/linear_training.h"
#include "vae/linear_vae_file.h"

namespace elbo {
namespace {

struct Options : ExperimentOptions {
  std::vector<int64_t> latent{1, 2, 5, 10, 20, 50, 100, 150, 200, 300, 400};
  int64_t frozen_at = 50;
  int64_t steps = 12000;
  double rate = 3e-3;
  template <class F>
  void each(F f) {
    f("latent", latent);
    f("frozen_at", frozen_at);
    f("steps", steps);
    f("lr", rate);
  }
};

std::string key_of(int64_t latent) { return fmt::format("k-{}", latent); }

/// The more components, the smaller sigma^2 and the slower the last nats: steps grow with k beyond 200.
int64_t steps_for(const Options& o, int64_t latent) { return o.steps * std::max<int64_t>(latent, 200) / 200; }

/// Of one full-batch step of the covariance form.
double step_flops(int64_t dimensions, int64_t latent) {
  const auto d = static_cast<double>(dimensions), k = static_cast<double>(latent);
  return 4 * d * d * k + 8 * d * k * k;
}

LinearVae model_for(const Options& o, const LinearInput& input, int64_t k) {
  return LinearVae({.dimensions = input.data.dataset.dimensions(), .latent = k, .device = device_of(o.run)},
                   o.run.seed);
}

FullBatchOptions training_for(const Options& o, int64_t k) {
  return cosine_training(steps_for(o, k), o.rate, o.run.seed);
}

/// (b): one trained linear VAE, beside the closed form.
Json trained(const Options& o, const LinearInput& input, int64_t k, const UnitPlace& place) {
  const double best = ppca_max_log_likelihood(input.eigen.values, k);
  LinearVae vae = model_for(o, input, k);
  FullBatchOptions training = training_for(o, k);
  training.checkpoint = place.directory.file(place.folder + "checkpoint.safetensors");
  train_full_batch(vae, input.x, input.moments, training, [&](int64_t step, const std::vector<double>& elbo) {
    place.progress(static_cast<double>(step) / static_cast<double>(training.steps),
                   [&] { return fmt::format("{:.2f} nats below the maximum", best - elbo[0]); });
    return !interrupted();
  });
  if (interrupted()) return {};
  const LinearVaeWeights weights = linear_vae_weights(vae);
  const LinearVaeMetrics metrics = evaluate_linear_vae(weights, input.moments);
  ModelCard card = card_of(o.data, input.data);
  card.entropies_obstacle = "";
  save_linear_vae(place.directory.file(place.folder + model_name(true, 0)), vae, 0, metadata_of(card));
  return {{"latent", k},
          {"ppca_maximum", best},
          {"elbo", metrics.elbo},
          {"gap", best - metrics.elbo},
          {"sigma2", metrics.sigma2},
          {"ppca_sigma2", ppca_mle_sigma2(input.eigen.values, k)},
          {"alignment", decoder_alignment(weights, input.eigen).worst}};
}

void present(const Options& o, const LinearInput& input, const Outcomes& outcomes, Presentation& p) {
  // (a) and (c), for every k: closed forms.
  const int64_t largest = *std::max_element(o.latent.begin(), o.latent.end());
  const double frozen = ppca_mle_sigma2(input.eigen.values, o.frozen_at);
  std::vector<double> ks, maximum, frozen_likelihood;
  int64_t peak = 1;
  for (int64_t k = 1; k <= largest; ++k) {
    ks.push_back(static_cast<double>(k));
    maximum.push_back(ppca_max_log_likelihood(input.eigen.values, k));
    Ppca model = ppca_solution(input.moments, input.eigen, k, ppca_mle_sigma2(input.eigen.values, k));
    model.sigma2 = frozen;
    frozen_likelihood.push_back(ppca_log_likelihood(model, input.moments));
    if (frozen_likelihood.back() > frozen_likelihood[static_cast<size_t>(peak - 1)]) peak = k;
  }

  Figure figure{.name = "latent",
                .title = "Linear VAE and pPCA over the latent dimension",
                .x = {"latent dimension k"},
                .y = {"nats per data point"}};
  figure.series.push_back({.name = "pPCA, maximum likelihood", .x = ks, .y = maximum});
  Series points{.name = "ELBO of the trained linear VAE", .x = {}, .y = {}, .style = Style::points};
  Table table({Table::number("k"), Table::number("pPCA maximum"), Table::number("trained ELBO"),
               Table::number("gap"), Table::number("σ²"), Table::number("pPCA σ²"),
               Table::number("worst |cosine|"), Table::verdict("within 0.5, not above")});
  Json rows = Json::array();
  double worst_gap = -INFINITY, least_gap = INFINITY, worst_alignment = 1;
  CsvFile csv = p.directory.csv(
      "metrics.csv", {"latent", "ppca_maximum", "elbo", "gap", "sigma2", "ppca_sigma2", "alignment"});
  std::vector<std::string> keys = outcomes.keys();
  std::reverse(keys.begin(), keys.end());  // from small to large
  for (const std::string& key : keys) {
    const Json& t = outcomes.at(key);
    const auto number = [&t](const char* what) { return number_or_nan(t.at(what)); };
    const double gap = number("gap"), alignment = number("alignment");
    points.x.push_back(number("latent"));
    points.y.push_back(number("elbo"));
    worst_gap = std::max(worst_gap, gap);
    least_gap = std::min(least_gap, gap);
    worst_alignment = std::min(worst_alignment, alignment);
    table.row({fmt::format("{}", number("latent")), fmt::format("{:.3f}", number("ppca_maximum")),
               fmt::format("{:.3f}", number("elbo")), fmt::format("{:.4f}", gap),
               fmt::format("{:.6f}", number("sigma2")), fmt::format("{:.6f}", number("ppca_sigma2")),
               std::isfinite(alignment) ? fmt::format("{:.5f}", alignment) : "none",
               verdict(gap <= 0.5 && gap >= -1e-6)});
    csv.row({t.at("latent").get<int64_t>(), number("ppca_maximum"), number("elbo"), gap, number("sigma2"),
             number("ppca_sigma2"), alignment});
    rows.push_back(t);
  }
  csv.save();
  figure.series.push_back(points);
  figure.series.push_back({.name = fmt::format("decoder of pPCA at k, σ² frozen at k = {}", o.frozen_at),
                           .x = ks,
                           .y = frozen_likelihood,
                           .style = Style::dashed});
  figure.lines.push_back(
      {.at = static_cast<double>(peak), .label = fmt::format("peak at k = {}", peak), .vertical = true});
  const Drawing drawing = draw(figure, p.directory.figures());

  p.result.set("rows", rows, kNatsPerPoint);
  p.result.set("worst_gap", worst_gap, kNatsPerPoint);
  p.result.set("least_gap", least_gap, kNatsPerPoint);
  p.result.set("worst_alignment", worst_alignment);
  p.result.set("frozen_peak", peak);
  p.result.set("frozen_sigma2", frozen);

  const Dataset& dataset = input.data.dataset;
  if (is_lucas_subset(dataset, input.data.preprocessing) && o.frozen_at == 50)
    p.claims.push_back(claim_of({.what = "σ² frozen at its value for k = 50: the likelihood peaks at k",
                                 .paper = 200,
                                 .here = static_cast<double>(peak),
                                 .tolerance = 25,
                                 .note = largest > 225 ? "read off Fig 2" : "k ends too early here",
                                 .comparable = largest > 225,
                                 .digits = 0}));
  p.claims.push_back({.claim = "trained linear VAEs end at the pPCA maximum",
                      .paper = "the two curves coincide",
                      .here = fmt::format("{:.4f} nats below it at most", worst_gap),
                      .holds = worst_gap < 0.5 && least_gap > -1e-6});
  Report& report = p.report.emplace(
      "A linear VAE finds probabilistic PCA",
      fmt::format("Lucas et al. 2019, Fig 2, on {} points of {}. The trained ELBO ends between {:.4f} and "
                  "{:.4f} nats below the maximum that pPCA's closed form allows. With σ² frozen at its value "
                  "for k = {}, the likelihood peaks at k = {}{}.",
                  dataset.points(), dataset.name, least_gap, worst_gap, o.frozen_at, peak,
                  peak < largest ? " and then falls: more components hurt when the noise is wrong" : ""));
  report.section("Curves");
  report.figure(drawing, "Log-likelihood and ELBO in nats per data point.");
  report.section("Trained models");
  report.table(table,
               "Each row is one linear VAE trained by full-batch Adam on the analytic ELBO. The cosine is "
               "the worst between a "
               "decoder column and its eigenvector, among eigenvalues 5% clear of their neighbours. Turning "
               "two columns whose "
               "eigenvalues have the ratio r by a small angle t costs about t² (r - 1)² / 2r nats: 0.0001 "
               "nats for r = 1.05 and "
               "t = 0.3. So an ELBO this close to the maximum can leave neighbours mixed, and that is the "
               "last thing to converge.");
  p.text = fmt::format("{}\nσ² frozen at {:.6f} (k = {}): likelihood peaks at k = {}", table.text(), frozen,
                       o.frozen_at, peak);
}

void prepare(Options& o, const Arguments& arguments) {
  quicken(arguments, o.quick, "--latent", o.latent, std::vector<int64_t>{1, 5, 20, 50, 100});
  quicken(arguments, o.quick, "--steps", o.steps, 4000);
  // The dearest first: the time left is then an honest estimate, and bad news comes early.
  std::sort(o.latent.begin(), o.latent.end(), std::greater<>());
  o.latent.erase(std::unique(o.latent.begin(), o.latent.end()), o.latent.end());
}

ExperimentPlan plan(Options& o) {
  const auto input = load_linear_input(o.data, o.run.seed);
  for (int64_t k : {o.latent.front(), o.frozen_at})
    ppca_mle_sigma2(input->eigen.values, k);  // an early word when the data do not span so many dimensions
  ExperimentPlan plan{
      .what = fmt::format("Trains {} linear VAEs for {} full-batch steps each (more for k > 200).",
                          o.latent.size(), o.steps),
      .data = std::shared_ptr<const LoadedData>(input, &input->data)};
  for (int64_t k : o.latent)
    plan.units.push_back(
        {.key = key_of(k),
         .title = fmt::format("k = {}", k),
         .cost = static_cast<double>(steps_for(o, k)) * step_flops(input->data.dataset.dimensions(), k),
         .measure =
             [o, input, k] {
               LinearVae vae = model_for(o, *input, k);
               return seconds_of_full_batch(vae, input->x, input->moments, training_for(o, k));
             },
         .run = [o, input, k](const UnitPlace& place) { return trained(o, *input, k, place); }});
  plan.present = [o, input](const Outcomes& outcomes, Presentation& p) { present(o, *input, outcomes, p); };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "Five latent dimensions up to 100, fewer steps");
  arguments.begin_group("Model");
  arguments.add_number("--latent", o->latent, "Latent dimensions to train, K[,K...]", kCount).show_default();
  arguments
      .add_number("--frozen-at", o->frozen_at, "Latent dimension whose sigma^2 the third curve keeps", kCount)
      .show_default();
  arguments.begin_group("Optimisation");
  arguments
      .add_number("--steps", o->steps,
                  "Full-batch Adam steps for each model up to k = 200, in proportion to k beyond", kCount)
      .show_default();
  arguments.add_number("--lr", o->rate, "Highest learning rate; it falls along a cosine", kPositive)
      .show_default();
  arguments.run([o, &arguments] { run_experiment<Options>({"ppca-elbo", prepare, plan}, *o, arguments); });
}

}  // namespace

const Command ppca_elbo_command{"ppca-elbo", "Trained linear VAEs against pPCA over the latent dimension",
                                "Fig 2", "20 min (--quick: 1 min)", add_options};

}  // namespace elbo
