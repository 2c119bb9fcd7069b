// elbo train --model linear: one linear VAE on minibatches, beside the optimum that is known in closed form.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "apps/commands/linear_sweeps.h"
#include "apps/commands/linear_validation.h"
#include "apps/commands/train.h"
#include "apps/experiment/experiment.h"
#include "apps/reports/entropy_report.h"
#include "apps/reports/linear_report.h"
#include "apps/reports/validation_report.h"
#include "apps/support/figure.h"
#include "apps/support/interrupt.h"
#include "apps/support/log.h"
#include "apps/support/progress.h"
#include "apps/support/text.h"
#include "apps/training/model_card.h"
#include "apps/training/resume.h"
#include "autograd/ops.h"
#include "autograd/tape.h"
#include "datasets/batch_loader.h"
#include "nn/checkpoint.h"
#include "tensor/file.h"
#include "vae/linear_training.h"
#include "vae/linear_vae_file.h"

namespace elbo {
namespace {

/// `text` of the checkpoint.
int64_t sweeps_in(const std::string& text, const std::string& checkpoint) {
  if (const std::string fault = fault_of_number(text, true, kCountOrNone); !fault.empty())
    fail("[--resume] {} counts its sweeps of polishing wrongly: {}", quote(checkpoint), fault);
  return std::stoll(text);
}

struct History {
  std::vector<double> epoch, elbo, entropies;
};

constexpr const char* kSweeps = "polish.sweeps";  // in a checkpoint
constexpr const char* kValidation = "validation";
constexpr double kWorthPolishing = 0.1;  // nats below the maximum

/// Before any work: a maximum to go to.
void check_polish(const TrainOptions& o, const Eigen& eigen) {
  const int64_t rank = numerical_rank(eigen.values);
  if (o.polish > 0 && o.training.learn_sigma2 && rank < eigen.values.elements() && o.training.latent >= rank)
    fail(
        "[--polish] the data span only {} dimensions, so with {} latent ones sigma^2 goes to 0 and the ELBO "
        "has no maximum; {}use --fix-sigma2",
        rank, o.training.latent, rank > 1 ? fmt::format("take fewer than {} latent ones, or ", rank) : "");
}

Report make_report(const TrainOptions& o, const LoadedData& data, const LinearVaeFindings& f) {
  return Report(
      "A linear VAE beside its closed form",
      fmt::format(
          "A linear VAE with {} latent dimensions, trained for {} epochs on {} points of {} by the {} "
          "gradient{}. Its ELBO is {:.3f} nats per data point{}.",
          o.training.latent, o.training.epochs, data.dataset.points(), data.dataset.name, o.gradient,
          o.polish > 0 ? fmt::format(" and polished in {} sweeps", o.polish) : "", f.metrics.elbo,
          f.has_maximum ? fmt::format("; the most that probabilistic PCA allows is {:.3f}", f.maximum) : ""));
}

/// Nats below the maximum, over epochs and, where Adam's curve ends, sweeps.
Drawing draw_gap(const History& history, const std::vector<double>& after, const Sweeps& sweeps,
                 double maximum, const std::string& directory) {
  const auto below = [&](const std::vector<double>& elbos) {
    std::vector<double> gaps;
    for (double elbo : elbos) gaps.push_back(elbo < maximum ? maximum - elbo : NAN);
    return gaps;
  };
  Figure figure{.name = "gap",
                .title = "Distance from the maximum",
                .x = {sweeps.sweep.empty() ? "epoch" : "epoch, then sweep"},
                .y = {.label = "nats per data point", .log = true}};
  figure.series.push_back({.name = "Adam", .x = history.epoch, .y = below(history.elbo)});
  if (!sweeps.sweep.empty())
    figure.series.push_back({.name = "closed-form steps", .x = after, .y = below(sweeps.elbo)});
  return draw(figure, directory);
}

}  // namespace

void train_linear(const TrainOptions& asked) {
  TrainOptions o = asked;
  const TrainingOptions& t = o.training;
  const bool resuming = !o.resume.empty();
  const double rate = t.rates.at(0);
  const ElboGradient gradient = parse_elbo_gradient(o.gradient);
  const LoadedData data = load_data(o.data, o.run.seed);
  o.data.preprocess = name(data.preprocessing.kind);
  check(t.validation, t.epochs);
  if (const std::string warning = range_warning(data, true); !warning.empty()) log_line("elbo: " + warning);
  std::optional<LinearHeldOut> held_out;
  if (t.validation.every > 0) held_out = linear_held_out(o.data, data);
  const std::optional<LoadedData> held_out_data = held_out ? std::optional(held_out->data) : std::nullopt;
  if (resuming) check_same_data(data, o.resume, held_out_data);
  const DataMoments moments = data_moments(data.all());
  const Eigen eigen = principal_components(moments);
  check_polish(o, eigen);
  LinearVae vae(linear_vae_of(o, data.dataset.dimensions()), o.run.seed);
  vae.set_mean(moments.mean);
  Adam adam(vae.parameters());
  // The mean is taken off before batches become f32.
  const Preprocessing centred =
      followed_by(data.preprocessing, moments.mean, Tensor::full(moments.mean.shape(), 1, DType::f64));
  BatchLoader loader(data.dataset, centred, {.batch = t.batch, .seed = o.run.seed});
  const int64_t per_epoch = loader.batches_per_epoch(), total = t.epochs * per_epoch;
  const Schedule schedule{.kind = parse_schedule(t.schedule),
                          .base = rate,
                          // Where the length may change (--resume --epochs), nothing may depend on it.
                          .warmup_steps = t.schedule == "constant" && o.warmup >= 0
                                              ? o.warmup
                                              : std::min<int64_t>(32, total / 10),
                          .total_steps = total,
                          .step_every = std::max<int64_t>(total / 3, 1)};

  const InterruptGuard guard;  // a run that can be seen can be stopped
  RunDirectory run("train", o.run.out,
                   resuming ? RunDirectory::Existing::resume : RunDirectory::Existing::refuse);
  const std::string checkpoint = run.file("checkpoint/state.safetensors");
  const bool continues = resuming && std::filesystem::exists(checkpoint);
  std::optional<Validation> validation;
  if (held_out) validation.emplace(t.validation, vae.parameters(), run);
  int64_t sweeps_done = 0;
  if (continues) {
    const auto extra = load_checkpoint(checkpoint, vae.parameters(), adam);
    if (const auto found = extra.find(kSweeps); found != extra.end())
      sweeps_done = sweeps_in(found->second, checkpoint);
    const auto state = extra.find(kValidation);
    if (validation) validation->resume(state == extra.end() ? "" : state->second);
  } else if (validation) {
    validation->begin();
  }
  const int64_t begun = adam.steps();
  if (begun > total)
    fail("[--epochs] the run has done {} epochs already, more than {}", begun / per_epoch, t.epochs);
  const auto trained = [&] { return adam.steps() == total || (validation && validation->ended(0)); };
  if (sweeps_done > 0 && !trained())
    fail("[--epochs] this run was polished after {} epochs, from where Adam cannot go on", begun / per_epoch);
  run.write_config(to_json(o),
                   data_record(data, held_out_data));  // a resumed run may have been given more to do
  loader.seek({begun / per_epoch, begun % per_epoch});
  Result result("train", to_json(o), provenance_of(o.run, data));
  const std::vector<std::string> columns{"epoch", "elbo",   "entropy_sum",   "log_likelihood",
                                         "kl",    "sigma2", "learning_rate", "seconds"};
  CsvFile csv = continues ? run.csv("metrics.csv", columns, static_cast<double>(begun / per_epoch))
                          : run.csv("metrics.csv", columns);

  Progress progress(total, "train", {.quiet = o.run.json, .begun = begun});
  const auto seconds = [start = std::chrono::steady_clock::now()] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  double saved_at = 0;
  const auto save = [&] {
    csv.save();
    std::map<std::string, std::string> extra{{kSweeps, std::to_string(sweeps_done)}};
    if (validation) extra[kValidation] = validation->save(adam.steps());
    save_checkpoint(checkpoint, vae.parameters(), adam, extra);
    if (validation) validation->saved();
    saved_at = seconds();
  };
  History history;
  if (continues) {
    const auto known = read_columns(run.file("metrics.csv"), 3, static_cast<double>(begun / per_epoch));
    history = {known[0], known[1], known[2]};
  } else {
    save();  // from here on the run can always be resumed
  }
  const auto validate = [&](int64_t epoch) {
    if (validation && validation->due(epoch))
      validation->take_in(epoch, {evaluate_held_out(linear_vae_weights(vae), *held_out)}, seconds());
  };
  // A run may have been interrupted before it was at this.
  if (begun > 0 && begun % per_epoch == 0) validate(begun / per_epoch);
  for (int64_t step = begun; !trained() && !interrupted(); ++step) {
    const Tensor x = loader.next().x.to(vae.options().device);
    {
      Tape tape;
      const Variable elbo =
          elbo_of_batch(vae, gradient, x,
                        {.seed = o.run.seed, .stream = kLatentNoise, .step = static_cast<uint64_t>(step)});
      require_finite(elbo.value(), vae.parameters(),
                     fmt::format("in epoch {}, step {}", step / per_epoch + 1, step));
      tape.backward(-elbo);
    }
    if (t.clip > 0) clip_gradient_norm(vae.parameters(), t.clip);
    adam.step(schedule.at(step));
    if ((step + 1) % per_epoch == 0) {
      require_in_range(vae, 0, step + 1);
      const LinearVaeMetrics m = evaluate_linear_vae(linear_vae_weights(vae), moments);
      history.epoch.push_back(static_cast<double>((step + 1) / per_epoch));
      history.elbo.push_back(m.elbo);
      history.entropies.push_back(m.entropies.sum);
      csv.row({(step + 1) / per_epoch, m.elbo, m.entropies.sum, m.log_likelihood, m.kl, m.sigma2,
               schedule.at(step), seconds()});
      validate((step + 1) / per_epoch);
    }
    if (seconds() - saved_at > kSecondsBetweenCheckpoints) save();
    progress.update(step + 1, [&] {
      return history.elbo.empty() ? std::string()
                                  : fmt::format("epoch {:.0f}, ELBO {:.2f} nats{}", history.epoch.back(),
                                                history.elbo.back(), validation ? validation->text() : "");
    });
  }
  save();
  progress.finish();
  Sweeps sweeps;
  if (trained() && o.polish > 0)
    sweeps = polish_in_run(vae, moments, eigen, run,
                           {.sweeps = o.polish,
                            .begun = sweeps_done,
                            .learn_sigma2 = t.learn_sigma2,
                            .quiet = o.run.json,
                            .checkpoint = [&](int64_t done) {
                              sweeps_done = done;
                              save();
                            }});
  if (!trained() || sweeps_done < o.polish) {
    log_line(fmt::format("stopped after {} of {} steps{}; continue with: elbo train --resume {}",
                         adam.steps(), total,
                         o.polish > 0 ? fmt::format(" and {} of {} sweeps", sweeps_done, o.polish) : "",
                         shell_word(run.path())));
    return;
  }

  const LinearVaeWeights weights = linear_vae_weights(vae);
  const LinearVaeFindings findings =
      find_out(weights, data, moments, eigen, t.learn_sigma2 ? "" : kSigma2IsFixed);
  if (!std::isfinite(findings.metrics.elbo))
    fail("[train] the ELBO after the last step is not finite; try a smaller learning rate");
  ModelCard card = card_of(o.data, data);
  card.entropies_obstacle = findings.metrics.entropies.obstacle;
  save_linear_vae(run.file("model.safetensors"), vae, 0, metadata_of(card));
  set_metrics(result, findings);
  set_data_units(result, data, {{"elbo", findings.metrics.elbo}});
  std::optional<ValidationFindings> held;
  double validation_elbo_at_the_end = 0;
  if (validation) {
    save_best_linear(vae, *validation, run.file("best/model.safetensors"), metadata_of(card));
    held = {validation->members(), {""}, held_out->data.dataset.points(), t.epochs};
    set_validation(result, *held);
    validation_elbo_at_the_end = evaluate_held_out(weights, *held_out).elbo;
    result.set("validation_elbo_at_the_end", validation_elbo_at_the_end, kNatsPerPoint);
  }

  std::vector<double> after;  // where Adam's curve ends, the sweeps' begins
  for (double sweep : sweeps.sweep) after.push_back(static_cast<double>(adam.steps() / per_epoch) + sweep);
  Figure curve{.name = "elbo",
               .title = "ELBO during training",
               .x = {sweeps.sweep.empty() ? "epoch" : "epoch, then sweep"},
               .y = {"nats per data point"}};
  curve.series.push_back({.name = sweeps.sweep.empty() ? "exact ELBO" : "exact ELBO, Adam",
                          .x = history.epoch,
                          .y = history.elbo});
  if (!sweeps.sweep.empty())
    curve.series.push_back({.name = "closed-form steps", .x = after, .y = sweeps.elbo});
  if (findings.has_maximum) curve.lines.push_back({.at = findings.maximum, .label = "pPCA maximum"});
  if (held) add_validation_curves(curve, *held);
  Figure units{.name = "kl_per_unit", .title = "KL of each unit", .x = {"unit, sorted"}, .y = {"nats"}};
  std::vector<double> sorted = findings.metrics.kl_per_dim, rank;
  std::sort(sorted.rbegin(), sorted.rend());
  for (size_t i = 0; i < sorted.size(); ++i) rank.push_back(static_cast<double>(i + 1));
  units.series.push_back({.x = rank, .y = sorted, .style = Style::steps});
  Report report = make_report(o, data, findings);
  report.section("Result");
  report.table(comparison(findings),
               "The trained model beside the maximum of probabilistic PCA, both on the training split, which "
               "no linear VAE can exceed.");
  if (held) add_validation_section(report, *held, run.path());
  if (held && o.polish > 0)
    report.paragraph(
        fmt::format("These are of Adam's epochs. After the sweeps the model has a validation ELBO of {:.3f}.",
                    validation_elbo_at_the_end));
  report.section("Training");
  report.figure(draw(curve, run.figures()),
                "Exact ELBO after each epoch, nats per data point summed over dimensions.");
  if (findings.has_maximum)
    report.figure(draw_gap(history, after, sweeps, findings.maximum, run.figures()),
                  "How far the exact ELBO is below the maximum.");
  if (o.polish == 0 && t.learn_sigma2 && findings.has_maximum &&
      findings.maximum - findings.metrics.elbo > kWorthPolishing)
    report.paragraph(
        "Adam has not arrived. Rotations of the latent space change the ELBO little, so gradients leave them "
        "for "
        "last; sweeps of closed-form steps make up for it: elbo train --resume, with --polish 100.");
  if (!sweeps.sweep.empty())
    report.figure(
        draw_sweeps(sweeps, run.figures()),
        "|cosine| of the decoder's columns with their principal directions, where eigenvalues differ by 5 %, "
        "over the sweeps of closed-form steps after Adam. Rotations of the latent space change the ELBO "
        "little, so gradients leave them for last.");
  report.figure(draw(units, run.figures()),
                "KL of each latent unit from the prior, sorted. Units near zero have collapsed.");
  add_entropies(report, findings.metrics.entropies, findings.metrics.elbo,
                draw(entropy_figure(history.epoch, history.elbo, history.entropies), run.figures()));
  add_directions(report, weights, eigen, findings, data.dataset, run.figures());
  std::string best;
  if (held)
    best = fmt::format("\n{}; kept in {}/best\nthe model as it ended{} has {:.3f} there\n", best_line(*held),
                       run.path(), o.polish > 0 ? fmt::format(", after {} sweeps,", o.polish) : "",
                       validation_elbo_at_the_end);
  conclude(run, result, report, to_json(o), o.run, comparison(findings).text() + best);
}

}  // namespace elbo
