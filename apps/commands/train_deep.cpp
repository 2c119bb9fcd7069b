// elbo train --model mlp or conv: one deep VAE, or an ensemble of them over lists of settings.
#include <algorithm>
#include <cmath>

#include "apps/commands/train.h"
#include "apps/experiment/experiment.h"
#include "apps/reports/calibration_report.h"
#include "apps/reports/deep_report.h"
#include "apps/reports/entropy_report.h"
#include "apps/reports/method_report.h"
#include "apps/reports/pictures.h"
#include "apps/reports/unit_report.h"
#include "apps/reports/validation_report.h"
#include "apps/support/interrupt.h"
#include "apps/support/log.h"
#include "apps/support/text.h"
#include "apps/training/deep_metrics_json.h"
#include "apps/training/resume.h"
#include "apps/training/trained_models.h"

namespace elbo {
namespace {

Table ensemble_table(const DeepRun& run, double paper_constant) {
  Table table({"member", "setting", Table::number("ELBO"), Table::number("±"),
               Table::number("ELBO, papers' units"), Table::number("KL"), Table::number("final σ²"),
               Table::number("tuned σ²"), Table::number("tuned ELBO"), Table::number("ELBO - entropies"),
               Table::number("collapsed"), Table::number("active")});
  for (size_t m = 0; m < run.members.size(); ++m) {
    const DeepVaeMetrics& x = run.metrics[m];
    if (const StoppedMember* stop = run.stop_of(static_cast<int64_t>(m))) {
      table.row({std::to_string(run.members[m].index), describe(run.members[m]),
                 fmt::format("stopped in epoch {}, step {}: {}", stop->epoch, stop->step, stop->tensor), "",
                 "", "", "", "", "", "", "", ""});
      continue;
    }
    table.row({std::to_string(run.members[m].index), describe(run.members[m]), fmt::format("{:.2f}", x.elbo),
               fmt::format("{:.2f}", x.elbo_standard_error), fmt::format("{:.2f}", x.elbo + paper_constant),
               fmt::format("{:.2f}", x.kl), fmt::format("{:.4g}", x.sigma2),
               fmt::format("{:.4g}", x.sigma2_tuned), fmt::format("{:.2f}", x.elbo_tuned),
               x.entropies.obstacle.empty() ? fmt::format("{:.3f}", x.entropies.gap) : "-",
               fmt::format("{:.1f} %", x.table_collapse_percent()), std::to_string(x.active_units)});
  }
  return table;
}

Json members_json(const DeepRun& run) {
  Json list = Json::array();
  for (size_t m = 0; m < run.members.size(); ++m) {
    Json entry = {{"member", run.members[m].index}, {"setting", describe(run.members[m])}};
    if (const StoppedMember* stop = run.stop_of(static_cast<int64_t>(m)))
      entry["stopped"] = {{"epoch", stop->epoch}, {"step", stop->step}, {"tensor", stop->tensor}};
    else
      entry["metrics"] = to_json(run.metrics[m]);
    if (!run.validation.empty()) entry["validation"] = to_json(run.validation[m]);
    if (const Json method = method_json(run.method, m); !method.is_null()) entry["method"] = method;
    list.push_back(entry);
  }
  return list;
}

/// What validation found, or nothing where there was none.
std::optional<ValidationFindings> findings_of(const DeepRun& run, const std::optional<LoadedData>& held_out,
                                              const TrainOptions& o) {
  if (!held_out) return std::nullopt;
  ValidationFindings findings{.members = run.validation,
                              .settings = {},
                              .points = held_out->dataset.points(),
                              .epochs = o.training.epochs};
  for (const Member& member : run.members) findings.settings.push_back(describe(member));
  return findings;
}

/// What a training is of.
struct Setting {
  LoadedData data;
  std::optional<LoadedData> held_out{};
  std::vector<Member> members{};
};

/// Loads the data and completes the options by them; throws for what cannot be trained.
Setting set_up(TrainOptions& o) {
  Setting s{.data = load_data(o.data, o.run.seed)};
  o.data.preprocess = name(s.data.preprocessing.kind);
  fill_in_values(o.training, o.calibration, s.data);
  s.members = members_of(o.training);
  check_training(o.training, s.members, s.data);
  if (o.training.validation.every > 0) s.held_out = load_held_out(o.data, s.data, Split::validation);
  if (s.held_out) check_training(o.training, s.members, *s.held_out);
  check_method(o.training, s.members, s.data, s.held_out ? &*s.held_out : nullptr);
  if (!o.resume.empty()) check_same_data(s.data, o.resume, s.held_out);
  return s;
}

}  // namespace

void take_part_in_deep(TrainOptions o, AllReduce& all_reduce) {
  const Setting s = set_up(o);
  const InterruptGuard guard;
  const RunDirectory directory("train", o.resume, RunDirectory::Existing::resume);
  run_deep(o.training, s.members, s.data, directory,
           {.seed = o.run.seed,
            .device = device_of(o.run),
            .validation = s.held_out ? &*s.held_out : nullptr,
            .quiet = true,
            .resume = true,
            .all_reduce = &all_reduce});
}

void train_deep(const TrainOptions& asked, RankedTraining* ranks) {
  TrainOptions o = asked;
  const bool resuming = !o.resume.empty();
  Setting setting = set_up(o);
  const LoadedData& data = setting.data;
  const std::optional<LoadedData>& held_out = setting.held_out;
  std::vector<Member>& members = setting.members;
  const InterruptGuard guard;  // a run that can be seen can be stopped
  RunDirectory directory("train", o.run.out,
                         resuming ? RunDirectory::Existing::resume : RunDirectory::Existing::refuse);
  const auto write_config = [&] { directory.write_config(to_json(o), data_record(data, held_out)); };
  if (!resuming) write_config();
  Result result("train", to_json(o), provenance_of(o.run, data));
  const DeepRunOptions how{.seed = o.run.seed,
                           .device = device_of(o.run),
                           .validation = held_out ? &*held_out : nullptr,
                           .quiet = o.run.json,
                           .resume = resuming,
                           .resumed = write_config,  // it may have been given more epochs
                           .all_reduce = ranks ? &ranks->all_reduce() : nullptr};
  Calibration calibration;
  if (o.calibration.asked()) {
    const auto found = calibrate(o.calibration, o.training, data, directory, how);
    if (!found)
      return log_line(fmt::format("stopped while choosing; continue with: elbo train --resume {}",
                                  shell_word(directory.path())));
    calibration = *found;
    log_line("elbo: chosen: " + calibration_text(calibration, o.calibration));
    result.set("calibration", to_json(calibration),
               "KL and ELBO in nats per data point, squared error summed over dimensions");
  }
  const TrainingOptions training = calibrated(o.training, calibration);
  members = members_of(training);
  if (ranks) ranks->begin(o, directory);
  const DeepRun run = run_deep(training, members, data, directory, how);
  if (ranks) ranks->end();
  if (!run.finished()) return say_interrupted(run, "train", directory.path());

  save_models(run, card_of(o.data, data), directory);
  const double to_paper = paper_units_constant(data.dataset, data.preprocessing);
  const size_t best = best_of(run);
  const DeepVaeMetrics& metrics = run.metrics[best];
  set_metrics(result, metrics, to_paper);
  set_data_units(result, data, {{"elbo", metrics.elbo}});
  result.set("training_seconds", run.seconds);
  result.set("points_per_second", run.points_per_second,
             ranks ? "points of all members, in all processes" : "points of all members, in this process");
  if (ranks) result.set("processes", ranks->all_reduce().count(), "that shared each batch");
  if (members.size() > 1) {
    result.set("member", run.members[best].index, "the one with the highest ELBO, whose metrics these are");
    result.set("members", members_json(run));
  }
  if (const Json method = method_json(run.method, best); !method.is_null())
    result.set("method", method, method_note(o.training));
  const std::optional<ValidationFindings> validation = findings_of(run, held_out, o);
  if (validation) set_validation(result, *validation);
  const UnitFindings units =
      find_units(*member_alone(*run.vae, static_cast<int64_t>(best)), metrics, data, o.run.seed);
  set_units(result, units);
  const bool ensemble = members.size() > 1;
  const Table table = ensemble ? ensemble_table(run, to_paper) : metrics_table(metrics, to_paper);
  Report report(
      ensemble ? "An ensemble of deep VAEs" : "A deep VAE",
      fmt::format(
          "{} trained for {} epochs on {} points of {}. {} ELBO on them is {:.2f} nats per data point{}; "
          "{:.1f} % of its {} units have collapsed.",
          ensemble ? fmt::format("{} models were", members.size()) : "It was", o.training.epochs,
          data.dataset.points(), data.dataset.name, ensemble ? "The best model's" : "Its", metrics.elbo,
          to_paper != 0 ? fmt::format(" ({:.2f} in the papers' units)", metrics.elbo + to_paper) : "",
          metrics.table_collapse_percent(), training.latent));
  report.section("Result");
  std::vector<std::pair<int64_t, std::string>> obstacles;
  for (size_t m = 0; ensemble && m < members.size(); ++m)
    if (!run.stop_of(static_cast<int64_t>(m)))
      obstacles.push_back({run.members[m].index, run.metrics[m].entropies.obstacle});
  const std::string note = notes_on_gaps(obstacles) + precision_note(metrics.samples);
  report.table(
      table,
      "ELBO, likelihood and KL are nats per data point, summed over dimensions, on the training split. " +
          note);
  if (validation) add_validation_section(report, *validation, directory.path());
  if (o.calibration.asked())
    add_calibration(report, calibration, o.calibration, data.dataset.dimensions(), directory.figures());
  report.section("Training");
  Figure curves = elbo_figure(run);
  if (validation) add_validation_curves(curves, *validation);
  report.figure(
      draw(curves, directory.figures()),
      fmt::format("The true ELBO on the training split, averaged over each epoch's batches while the "
                  "weights change{}.",
                  validation ? "; with points, that on the validation split after the epoch, by "
                               "the same noise each time"
                             : ""));
  add_method_section(report, run, o.training);
  report.section("Units");
  report.figure(draw(unit_kl_figure(metrics), directory.figures()),
                "KL of each latent unit from the prior. Units near zero have collapsed.");
  report.figure(draw(collapse_figure("collapse", "Collapsed units", {{"", &metrics}}), directory.figures()),
                "Units whose KL is below ε on at least 99% of the points.");
  add_units(report, units, directory.figures());
  const MemberHistory& history = run.history[best];
  std::optional<Drawing> over_epochs;
  if (std::isfinite(metrics.entropies.sum))
    over_epochs = draw(entropy_figure(history.epoch, history.elbo, history.entropies), directory.figures());
  add_entropies(report, metrics.entropies, metrics.elbo, over_epochs);
  if (has_pictures(data.dataset)) {
    report.section("Pictures");
    add_pictures(report, *member_alone(*run.vae, static_cast<int64_t>(best)), data, directory.figures(),
                 {.pairs = 30, .samples = 50, .seed = o.run.seed});
  }
  const std::string chosen =
      o.calibration.asked() ? "\nchosen: " + calibration_text(calibration, o.calibration) : "";
  const std::string best_text =
      validation ? fmt::format("\n{}; kept in {}/best", best_line(*validation), directory.path()) : "";
  conclude(directory, result, report, to_json(o), o.run, table.text() + note + chosen + best_text);
}

}  // namespace elbo
