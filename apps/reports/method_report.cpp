#include "apps/reports/method_report.h"

#include <nlohmann/json.hpp>

namespace elbo {
namespace {

std::string text_of(const TrainingOptions& o) {
  if (o.method == "libi")
    return fmt::format(
        "Likelihood before inference (Yacoby et al., appendix D): {} of learning the generative model from "
        "one "
        "code for each point, by the likelihood and three penalties on the codes (their distance from a "
        "Gaussian, "
        "of their covariance from I, of their mean from 0; of each minibatch), and then the encoder alone by "
        "the "
        "ELBO.{}",
        o.libi_repetitions == 1 ? std::string("one round") : fmt::format("{} rounds", o.libi_repetitions),
        o.libi_repetitions == 1
            ? ""
            : fmt::format(" The one kept has the lowest loss after its first part, on {} points at most{}.",
                          kPointsOfMethod, o.validation.every > 0 ? " of the validation split" : ""));
  if (o.lagging_segments > 0)
    return fmt::format(
        "Lagging inference networks in {} segments (Yacoby et al., appendix E): in each the encoder alone, "
        "then "
        "all.",
        o.lagging_segments);
  return "Lagging inference networks (He et al. 2019): before each step of the decoder the encoder takes "
         "steps of "
         "its own, until the mutual information of data and codes no longer rises from epoch to epoch.";
}

Table libi_table(const DeepRun& run) {
  std::vector<Table::Column> columns{"member", "setting", Table::number("kept")};
  for (size_t r = 0; r < run.method.libi->costs.size(); ++r)
    columns.push_back(Table::number(fmt::format("loss of {}", r + 1)));
  Table table(columns);
  for (size_t m = 0; m < run.members.size(); ++m) {
    std::vector<std::string> row{std::to_string(run.members[m].index), describe(run.members[m]),
                                 std::to_string(run.method.libi->kept[m])};
    for (const std::vector<double>& costs : run.method.libi->costs)
      row.push_back(fmt::format("{:.3f}", costs[m]));
    table.row(row);
  }
  return table;
}

Table lagging_table(const DeepRun& run) {
  Table table({"member", "setting", Table::number("all moves from step"),
               Table::number("steps of the encoder"), Table::number("mutual information")});
  const LaggingOutcome& lagging = *run.method.lagging;
  for (size_t m = 0; m < run.members.size(); ++m)
    table.row({std::to_string(run.members[m].index), describe(run.members[m]),
               lagging.joint_from[m] < 0 ? "never" : std::to_string(lagging.joint_from[m]),
               std::to_string(lagging.encoder_steps[m]), fmt::format("{:.3f}", lagging.information[m])});
  return table;
}

}  // namespace

Json method_json(const MethodOutcome& outcome, size_t member) {
  if (outcome.libi && member < outcome.libi->kept.size()) {
    Json losses = Json::array();
    for (const std::vector<double>& costs : outcome.libi->costs)
      losses.push_back(finite_or_null(costs[member]));
    return {{"kept_repetition", outcome.libi->kept[member]}, {"losses", losses}};
  }
  if (outcome.lagging && member < outcome.lagging->joint_from.size()) {
    const LaggingOutcome& lagging = *outcome.lagging;
    return {{"joint_from_step",
             lagging.joint_from[member] < 0 ? Json(nullptr) : Json(lagging.joint_from[member])},
            {"encoder_steps", lagging.encoder_steps[member]},
            {"mutual_information", finite_or_null(lagging.information[member])}};
  }
  return nullptr;
}

std::string method_note(const TrainingOptions& o) {
  return o.method == "libi"
             ? "the loss of each repetition's first part, nats per data point, and the one kept"
             : "mutual information as it was last taken, nats";
}

void add_method_section(Report& report, const DeepRun& run, const TrainingOptions& o) {
  if (o.method == "vae") return;
  report.section("Method");
  report.paragraph(text_of(o) + " Its phases are in metrics.csv, in the last column.");
  if (run.method.libi && !run.method.libi->kept.empty())
    report.table(libi_table(run), "Eq. 44 after the first part of each repetition, nats per data point.");
  if (run.method.lagging && !run.method.lagging->joint_from.empty())
    report.table(
        lagging_table(run),
        "When a member's encoder stopped taking steps of its own; mutual information in nats, as it was "
        "last taken.");
}

}  // namespace elbo
