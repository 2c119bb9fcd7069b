// elbo train: trains one VAE on minibatches and writes a run directory. The main job.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <sstream>

#include "apps/command.h"
#include "apps/experiment.h"
#include "apps/linear_report.h"
#include "apps/support/figure.h"
#include "apps/support/interrupt.h"
#include "apps/support/progress.h"
#include "autograd/ops.h"
#include "autograd/tape.h"
#include "datasets/batch_loader.h"
#include "nn/checkpoint.h"
#include "tensor/file.h"
#include "tensor/map.h"
#include "vae/linear_training.h"

namespace elbo {
namespace {

constexpr double kSecondsBetweenCheckpoints = 30;

struct Options {
  std::string model = "linear";
  DataOptions data;
  RunOptions run;
  int64_t latent = 50, epochs = 30, batch = 1000;
  double sigma2 = 1, rate = 3e-3;
  bool learn_sigma2 = true;
  std::string schedule = "cosine", gradient = "stochastic", initializer = "normal:0.001";
  double clip = 0;
  std::string resume;
};

Json to_json(const Options& o) {
  Json config = to_json(o.data, o.run);
  config.update({{"model", o.model},
                 {"latent", o.latent},
                 {"sigma2", o.sigma2},
                 {"learn_sigma2", o.learn_sigma2},
                 {"epochs", o.epochs},
                 {"batch", o.batch},
                 {"lr", o.rate},
                 {"schedule", o.schedule},
                 {"gradient", o.gradient},
                 {"init", o.initializer},
                 {"clip", o.clip}});
  return config;
}

/// The options a run was started with; only how far it goes may change when it is resumed.
void restore(Options& o, const Json& config) {
  const auto keep = [&](const char* name, auto& value) { config.at(name).get_to(value); };
  keep("data", o.data.data);
  keep("preprocess", o.data.preprocess);
  keep("alpha", o.data.alpha);
  keep("limit", o.data.limit);
  keep("subset", o.data.subset);
  keep("seed", o.run.seed);
  keep("model", o.model);
  keep("latent", o.latent);
  keep("sigma2", o.sigma2);
  keep("learn_sigma2", o.learn_sigma2);
  keep("epochs", o.epochs);
  keep("batch", o.batch);
  keep("lr", o.rate);
  keep("schedule", o.schedule);
  keep("gradient", o.gradient);
  keep("init", o.initializer);
  keep("clip", o.clip);
}

struct History {
  std::vector<double> epoch, elbo;
};

/// The epochs up to `last` that an interrupted run has recorded.
History read_history(const std::string& metrics, int64_t last) {
  History history;
  std::istringstream rows(read_file(metrics));
  double epoch = 0, elbo = 0;
  for (std::string row; std::getline(rows, row);)
    if (std::sscanf(row.c_str(), "%lf,%lf", &epoch, &elbo) == 2 && epoch <= static_cast<double>(last)) {
      history.epoch.push_back(epoch);
      history.elbo.push_back(elbo);
    }
  return history;
}

Report make_report(const Options& o, const LoadedData& data, const LinearVaeFindings& f, const Drawing& curve,
                   const Drawing& units) {
  Report report(
      "A linear VAE beside its closed form",
      fmt::format(
          "A linear VAE with {} latent dimensions, trained for {} epochs on {} points of {} by the {} "
          "gradient. Its ELBO is {:.3f} nats per data point{}.",
          o.latent, o.epochs, data.dataset.points(), data.dataset.name, o.gradient, f.metrics.elbo,
          f.has_maximum ? fmt::format("; the most that probabilistic PCA allows is {:.3f}", f.maximum) : ""));
  report.section("Result");
  report.table(comparison(f),
               "The trained model beside the maximum of probabilistic PCA on the same data, which no linear "
               "VAE can exceed.");
  report.section("Training");
  report.figure(curve, "Exact ELBO after each epoch, nats per data point summed over dimensions.");
  report.figure(units, "KL of each latent unit from the prior, sorted. Units near zero have collapsed.");
  return report;
}

void train(Options o) {
  const bool resuming = !o.resume.empty();
  if (resuming) {
    if (!o.run.out.empty()) fail("[--resume] continues in its own directory; leave --out away");
    o.run.out = o.resume;
    restore(o, read_run_config(o.resume, "train"));
  }
  apply(o.run);
  if (o.model != "linear") fail("[--model] unknown model '{}'; there is linear", o.model);
  if (o.epochs < 1 || o.batch < 1) fail("[train] --epochs and --batch must be at least 1");
  if (!(o.rate > 0) || !std::isfinite(o.rate))
    fail("[--lr] the learning rate must be positive, got {}", o.rate);
  const ElboGradient gradient = parse_elbo_gradient(o.gradient);
  const LoadedData data = load_data(o.data, o.run.seed);
  const DataMoments moments = data_moments(data.x);
  LinearVae vae({.dimensions = data.dataset.dimensions(),
                 .latent = o.latent,
                 .sigma2 = o.sigma2,
                 .learn_sigma2 = o.learn_sigma2,
                 .weights = parse_initializer(o.initializer)},
                o.run.seed);
  vae.set_mean(moments.mean);
  Adam adam(vae.parameters());
  BatchLoader loader(data.dataset, data.preprocessing, {.batch = o.batch, .seed = o.run.seed});
  const int64_t per_epoch = loader.batches_per_epoch(), total = o.epochs * per_epoch;
  const Schedule schedule{.kind = parse_schedule(o.schedule),
                          .base = o.rate,
                          .warmup_steps = std::min<int64_t>(32, total / 10),
                          .total_steps = total,
                          .step_every = std::max<int64_t>(total / 3, 1)};

  RunDirectory run("train", o.run.out,
                   resuming ? RunDirectory::Existing::resume : RunDirectory::Existing::refuse);
  const std::string checkpoint = run.file("checkpoint/state.safetensors");
  if (resuming)
    load_checkpoint(checkpoint, vae.parameters(), adam);
  else
    run.write_config(to_json(o));
  const int64_t begun = adam.steps();
  loader.seek({begun / per_epoch, begun % per_epoch});
  Result result("train", to_json(o), provenance_of(o.run, data));
  const std::vector<std::string> columns{"epoch",  "elbo",          "log_likelihood", "kl",
                                         "sigma2", "learning_rate", "seconds"};
  CsvFile csv = resuming ? run.csv("metrics.csv", columns, static_cast<double>(begun / per_epoch))
                         : run.csv("metrics.csv", columns);

  const InterruptGuard guard;
  const Tensor mean = moments.mean.to(DType::f32);
  Tensor centred_batch = Tensor::empty({std::min(o.batch, data.dataset.points()), data.dataset.dimensions()});
  Progress progress(total, "train", {.quiet = o.run.json, .begun = begun});
  const auto seconds = [start = std::chrono::steady_clock::now()] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const auto save = [&] { save_checkpoint(checkpoint, vae.parameters(), adam, {}); };
  double saved_at = 0;
  History history;
  if (resuming) history = read_history(run.file("metrics.csv"), begun / per_epoch);
  for (int64_t step = begun; step < total && !interrupted(); ++step) {
    const BatchLoader::Batch batch = loader.next();
    const Tensor x = centred_batch.slice(0, batch.x.size(0));
    map_into(x, Difference{}, batch.x, mean);
    {
      Tape tape;
      const Variable elbo =
          gradient == ElboGradient::analytic
              ? vae.analytic_elbo(x)
              : vae.stochastic_elbo(
                    x, {.seed = o.run.seed, .stream = kLatentNoise, .step = static_cast<uint64_t>(step)});
      require_finite(elbo.value(), vae.parameters(),
                     fmt::format("in epoch {}, step {}", step / per_epoch + 1, step));
      tape.backward(-elbo);
    }
    if (o.clip > 0) clip_gradient_norm(vae.parameters(), o.clip);
    adam.step(schedule.at(step));
    if ((step + 1) % per_epoch == 0) {
      const LinearVaeMetrics m = evaluate_linear_vae(linear_vae_weights(vae), moments);
      history.epoch.push_back(static_cast<double>((step + 1) / per_epoch));
      history.elbo.push_back(m.elbo);
      csv.row(
          {(step + 1) / per_epoch, m.elbo, m.log_likelihood, m.kl, m.sigma2, schedule.at(step), seconds()});
      if (seconds() - saved_at > kSecondsBetweenCheckpoints) {
        save();
        saved_at = seconds();
      }
    }
    progress.update(step + 1, [&] {
      return history.elbo.empty()
                 ? std::string()
                 : fmt::format("epoch {:.0f}, ELBO {:.2f} nats", history.epoch.back(), history.elbo.back());
    });
  }
  save();
  csv.save();
  progress.finish();
  if (adam.steps() < total) {
    fmt::print(stderr, "stopped after {} of {} steps; continue with: elbo train --resume {}\n", adam.steps(),
               total, run.path());
    return;
  }

  const LinearVaeWeights weights = linear_vae_weights(vae);
  const LinearVaeFindings findings = find_out(weights, data, moments);
  write_safetensors(run.file("model.safetensors"), model_tensors(vae.parameters()), {{"model", "linear"}});
  set_metrics(result, findings);

  Figure curve{.name = "elbo", .title = "ELBO during training", .x = {"epoch"}, .y = {"nats per data point"}};
  curve.series.push_back({.name = "exact ELBO", .x = history.epoch, .y = history.elbo});
  if (findings.has_maximum) curve.lines.push_back({.at = findings.maximum, .label = "pPCA maximum"});
  Figure units{.name = "kl_per_unit", .title = "KL of each unit", .x = {"unit, sorted"}, .y = {"nats"}};
  std::vector<double> sorted = findings.metrics.kl_per_dim, rank;
  std::sort(sorted.rbegin(), sorted.rend());
  for (size_t i = 0; i < sorted.size(); ++i) rank.push_back(static_cast<double>(i + 1));
  units.series.push_back({.x = rank, .y = sorted, .style = Style::steps});
  Report report = make_report(o, data, findings, draw(curve, run.figures()), draw(units, run.figures()));
  conclude(run, result, report, to_json(o), o.run, comparison(findings).text());
}

void add_options(CLI::App& app) {
  auto o = std::make_shared<Options>();
  app.add_option("--model", o->model, "linear")->capture_default_str();
  add_data_options(app, o->data);
  add_run_options(app, o->run, true);
  app.add_option("--latent", o->latent, "Latent dimension k")->capture_default_str();
  app.add_option("--sigma2", o->sigma2, "Observation noise to start from, or to keep")->capture_default_str();
  app.add_flag("--learn-sigma2,!--fix-sigma2", o->learn_sigma2, "Learn sigma^2 (default), or keep it fixed");
  app.add_option("--epochs", o->epochs, "Passes over the data")->capture_default_str();
  app.add_option("--batch", o->batch, "Points in a minibatch")->capture_default_str();
  app.add_option("--lr", o->rate, "Adam's learning rate, the highest of its schedule")->capture_default_str();
  app.add_option("--schedule", o->schedule, "Learning rate over time: constant, step or cosine")
      ->capture_default_str();
  app.add_option("--gradient", o->gradient, "stochastic (reparameterised) or analytic")
      ->capture_default_str();
  app.add_option("--init", o->initializer, "normal:S, xavier_uniform, kaiming_normal, ...")
      ->capture_default_str();
  app.add_option("--clip", o->clip, "Bound on the gradient's norm; 0 means none")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--resume", o->resume, "Continue the interrupted run in this directory");
  app.callback([o] { train(*o); });
}

}  // namespace

const Command train_command{"train", "Train a VAE and write a run directory", "", "2 min on MNIST",
                            add_options};

}  // namespace elbo
