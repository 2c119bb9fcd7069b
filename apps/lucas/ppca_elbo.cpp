// elbo ppca-elbo: Lucas et al. 2019, Fig 2. Over the latent dimension: the pPCA maximum, the ELBO that a
// trained linear VAE reaches, and the likelihood of the maximum-likelihood decoder when sigma^2 is frozen at
// another dimension's value.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>

#include "apps/command.h"
#include "apps/experiment/experiment.h"
#include "apps/lucas/tables.h"
#include "apps/support/arguments.h"
#include "apps/support/figure.h"
#include "apps/support/interrupt.h"
#include "apps/support/progress.h"
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
};

struct Trained {
  int64_t latent;
  double maximum, elbo, sigma2, best_sigma2, alignment;
  double gap() const { return maximum - elbo; }
};

/// The more components, the smaller sigma^2 and the slower the last nats: steps grow with k beyond 200.
int64_t steps_for(const Options& o, int64_t latent) { return o.steps * std::max<int64_t>(latent, 200) / 200; }

/// Of one full-batch step of the covariance form.
double step_flops(int64_t dimensions, int64_t latent) {
  const auto d = static_cast<double>(dimensions), k = static_cast<double>(latent);
  return 4 * d * d * k + 8 * d * k * k;
}

void ppca_elbo(Options o, const Arguments& arguments) {
  apply(o.run);
  quicken(arguments, o.quick, "--latent", o.latent, std::vector<int64_t>{1, 5, 20, 50, 100});
  quicken(arguments, o.quick, "--steps", o.steps, 4000);
  // The dearest first: the time left is then an honest estimate, and bad news comes early.
  std::sort(o.latent.begin(), o.latent.end(), std::greater<>());
  const LoadedData data = load_data(o.data, o.run.seed);
  const DataMoments moments = data_moments(data.all());
  const int64_t dimensions = data.dataset.dimensions();
  double flops = 0;
  for (int64_t k : o.latent) flops += static_cast<double>(steps_for(o, k)) * step_flops(dimensions, k);
  if (o.dry_run) {
    fmt::print(
        "Trains {} linear VAEs for {} full-batch steps each (more for k > 200): {:.1f} Tflop, about {} min "
        "at 100 "
        "Gflop/s.\n",
        o.latent.size(), o.steps, flops * 1e-12, std::lround(flops / 1e11 / 60) + 1);
    return;
  }
  const Eigen eigen = principal_components(moments);
  const int64_t largest = o.latent.front();
  const double frozen = ppca_mle_sigma2(eigen.values, o.frozen_at);
  ppca_mle_sigma2(eigen.values, largest);  // an early word when the data do not span so many dimensions

  const InterruptGuard guard;  // a run that can be seen can be stopped
  RunDirectory run("ppca-elbo", o.run.out);
  Json config = to_json(o.data, o.run);
  config.update({{"latent", o.latent}, {"frozen_at", o.frozen_at}, {"steps", o.steps}, {"lr", o.rate}});
  run.write_config(config);
  Result result("ppca-elbo", config, provenance_of(o.run, data));

  // (a) and (c), for every k: closed forms.
  std::vector<double> ks, maximum, frozen_likelihood;
  int64_t peak = 1;
  for (int64_t k = 1; k <= largest; ++k) {
    ks.push_back(static_cast<double>(k));
    maximum.push_back(ppca_max_log_likelihood(eigen.values, k));
    Ppca model = ppca_solution(moments, eigen, k, ppca_mle_sigma2(eigen.values, k));
    model.sigma2 = frozen;
    frozen_likelihood.push_back(ppca_log_likelihood(model, moments));
    if (frozen_likelihood.back() > frozen_likelihood[static_cast<size_t>(peak - 1)]) peak = k;
  }

  // (b): trained.
  const Tensor x = centred(data.all(), moments.mean, DType::f32);
  CsvFile csv =
      run.csv("metrics.csv", {"latent", "ppca_maximum", "elbo", "gap", "sigma2", "ppca_sigma2", "alignment"});
  std::vector<Trained> trained;
  std::vector<SavedMember> saved;
  Progress progress(static_cast<int64_t>(flops / 1e9), "ppca-elbo", {.quiet = o.run.json});
  double done_flops = 0;
  for (int64_t k : o.latent) {
    if (interrupted()) break;
    LinearVae vae({.dimensions = dimensions, .latent = k, .device = device_of(o.run)}, o.run.seed);
    vae.set_mean(moments.mean);
    FullBatchOptions training;
    training.steps = steps_for(o, k);
    training.rates = {o.rate};
    training.schedule = {
        .kind = Schedule::Kind::cosine, .base = 1, .warmup_steps = 32, .total_steps = training.steps};
    training.adam = {.beta1 = 0.95, .beta2 = 0.98};
    training.seed = o.run.seed;
    training.evaluate_every = std::max<int64_t>(training.steps / 20, 1);
    const double own = step_flops(dimensions, k) / 1e9;
    const double best = maximum[static_cast<size_t>(k - 1)];
    train_full_batch(vae, x, moments, training, [&](int64_t step, const std::vector<double>& elbo) {
      progress.update(static_cast<int64_t>(done_flops + own * static_cast<double>(step)), [&] {
        return fmt::format("k = {}, {:.2f} nats below the maximum", k, best - elbo[0]);
      });
      return !interrupted();
    });
    if (interrupted()) break;
    done_flops += own * static_cast<double>(training.steps);
    const LinearVaeWeights weights = linear_vae_weights(vae);
    const LinearVaeMetrics metrics = evaluate_linear_vae(weights, moments);
    trained.push_back({k, best, metrics.elbo, metrics.sigma2, ppca_mle_sigma2(eigen.values, k),
                       decoder_alignment(weights, eigen).worst});
    const Trained& t = trained.back();
    saved.push_back(
        {static_cast<int64_t>(o.latent.size() - trained.size()), fmt::format("k = {}", k), t.elbo});
    save_linear_vae(run.file(model_name(false, saved.back().member)), vae, 0,
                    metadata_of(card_of(o.data, data, saved.back().member)));
    write_member_list(run, "", saved);
    csv.row({k, t.maximum, t.elbo, t.gap(), t.sigma2, t.best_sigma2, t.alignment});
  }
  csv.save();
  progress.finish();
  std::reverse(trained.begin(), trained.end());

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
  for (const Trained& t : trained) {
    points.x.push_back(static_cast<double>(t.latent));
    points.y.push_back(t.elbo);
    worst_gap = std::max(worst_gap, t.gap());
    least_gap = std::min(least_gap, t.gap());
    worst_alignment = std::min(worst_alignment, t.alignment);
    table.row({std::to_string(t.latent), fmt::format("{:.3f}", t.maximum), fmt::format("{:.3f}", t.elbo),
               fmt::format("{:.4f}", t.gap()), fmt::format("{:.6f}", t.sigma2),
               fmt::format("{:.6f}", t.best_sigma2),
               std::isfinite(t.alignment) ? fmt::format("{:.5f}", t.alignment) : "none",
               verdict(t.gap() <= 0.5 && t.gap() >= -1e-6)});
    rows.push_back({{"latent", t.latent},
                    {"ppca_maximum", t.maximum},
                    {"elbo", t.elbo},
                    {"gap", t.gap()},
                    {"sigma2", t.sigma2},
                    {"ppca_sigma2", t.best_sigma2},
                    {"alignment", t.alignment}});
  }
  figure.series.push_back(points);
  figure.series.push_back({.name = fmt::format("decoder of pPCA at k, σ² frozen at k = {}", o.frozen_at),
                           .x = ks,
                           .y = frozen_likelihood,
                           .style = Style::dashed});
  figure.lines.push_back(
      {.at = static_cast<double>(peak), .label = fmt::format("peak at k = {}", peak), .vertical = true});
  const Drawing drawing = draw(figure, run.figures());

  result.set("rows", rows, kNatsPerPoint);
  result.set("worst_gap", worst_gap, kNatsPerPoint);
  result.set("least_gap", least_gap, kNatsPerPoint);
  result.set("worst_alignment", worst_alignment);
  result.set("frozen_peak", peak);
  result.set("frozen_sigma2", frozen);
  result.set("complete", trained.size() == o.latent.size());

  const bool beside = is_lucas_subset(data.dataset, data.preprocessing) && o.frozen_at == 50;
  Report report(
      "A linear VAE finds probabilistic PCA",
      fmt::format("Lucas et al. 2019, Fig 2, on {} points of {}. The trained ELBO ends between {:.4f} and "
                  "{:.4f} nats "
                  "below the maximum that pPCA's closed form allows. With σ² frozen at its value for k = {}, "
                  "the likelihood peaks at k = {}{}{}.",
                  data.dataset.points(), data.dataset.name, least_gap, worst_gap, o.frozen_at, peak,
                  beside ? " (paper: about 200)" : "",
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
  conclude(run, result, report, config, o.run,
           fmt::format("{}\nσ² frozen at {:.6f} (k = {}): likelihood peaks at k = {}", table.text(), frozen,
                       o.frozen_at, peak));
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "Five latent dimensions up to 100, fewer steps");
  arguments.add_number("--latent", o->latent, "Latent dimensions to train, K[,K...]", kCount).show_default();
  arguments
      .add_number("--frozen-at", o->frozen_at, "Latent dimension whose sigma^2 the third curve keeps", kCount)
      .show_default();
  arguments
      .add_number("--steps", o->steps,
                  "Full-batch Adam steps for each model up to k = 200, in proportion to k beyond", kCount)
      .show_default();
  arguments.add_number("--lr", o->rate, "Highest learning rate; it falls along a cosine", kPositive)
      .show_default();
  arguments.run([o, &arguments] { ppca_elbo(*o, arguments); });
}

}  // namespace

const Command ppca_elbo_command{"ppca-elbo", "Trained linear VAEs against pPCA over the latent dimension",
                                "Fig 2", "20 min (--quick: 1 min)", add_options};

}  // namespace elbo
