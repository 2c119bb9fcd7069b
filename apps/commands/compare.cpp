// elbo compare: runs that are there already, side by side: options, numbers, curves.
#include <algorithm>

#include "apps/command.h"
#include "apps/commands/comparison.h"
#include "apps/experiment/experiment.h"
#include "apps/support/arguments.h"

namespace elbo {
namespace {

constexpr const char* kNothingShared = "No metric is in two of the runs.";

struct Options {
  std::vector<std::string> runs;
  int64_t member = -1;
  RunOptions run;
};

Report report_of(const Comparison& c, const RunDirectory& directory) {
  std::string names;
  for (const ComparedRun& run : c.runs) names += (names.empty() ? "" : ", ") + run.path;
  Report report("Runs side by side", fmt::format("{} runs: {}.", c.runs.size(), names));
  if (!c.notes.empty()) report.section("What is not comparable");
  for (const std::string& note : c.notes) report.paragraph(note);
  report.section("Options");
  if (c.options.empty())
    report.paragraph("All options are the same.");
  else
    report.table(option_table(c), "The options that differ; - where a run has no such option.");
  report.section("Result");
  if (c.metrics.empty()) report.paragraph(kNothingShared);
  if (!c.metrics.empty())
    report.table(metric_table(c),
                 "Metrics that two runs or more have, and differences to the first run. * is the best.");
  if (!c.seeds.empty()) {
    report.section("Over seeds");
    report.table(
        seed_table(c),
        "Runs that differ in the seed alone: mean over them, and the standard deviation (with n - 1) and "
        "standard error of that mean.");
  }
  const Figure curves = curve_figure(c);
  if (curves.series.empty()) return report;
  report.section("Training");
  report.figure(draw(curves, directory.figures()),
                "The true ELBO while the weights change, as each run wrote it to metrics.csv; curves "
                "called validation are of the validation split, from validation.csv, where a run has one.");
  return report;
}

std::string text_of(const Comparison& c) {
  std::string text = c.options.empty() ? "all options are the same\n" : option_table(c).text();
  text += "\n" + (c.metrics.empty() ? std::string(kNothingShared) + "\n" : metric_table(c).text());
  if (std::any_of(c.metrics.begin(), c.metrics.end(), [](const MetricRow& row) { return row.best >= 0; }))
    text += "* is the best\n";
  if (!c.seeds.empty()) text += "\nruns that differ in the seed alone:\n\n" + seed_table(c).text();
  if (!c.notes.empty()) text += "\n";
  for (const std::string& note : c.notes) text += note + "\n";
  return text;
}

void compare(const Options& o) {
  const Comparison comparison = compare_runs(open_runs(o.runs, o.member));
  const Json config = {{"runs", o.runs}, {"member", o.member}};
  const RunDirectory directory("compare", o.run.out);
  directory.write_config(config);
  Result result("compare", config, describe_provenance(1, "none"));
  result.provenance.data.name = "as each run says";
  const Json found = to_json(comparison);
  for (const auto& [name, value] : found.items()) result.set(name, value);
  Report report = report_of(comparison, directory);
  conclude(directory, result, report, config, o.run, text_of(comparison));
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  arguments.add_paths("runs", o->runs, "Two run directories or more, of any commands that train").required();
  arguments.add_number("--member", o->member,
                       "Of runs that are ensembles, the member to compare; the best unless named", kIndex);
  arguments.add_text("--out", o->run.out, "Run directory to create; runs/compare-TIME by default");
  arguments.add_flag("--json", o->run.json, "Print the result alone, as JSON, on standard output");
  arguments.run([o] { compare(*o); });
}

}  // namespace

const Command compare_command{"compare", "Runs side by side: options, metrics, curves, seeds", "", "1 s",
                              add_options};

}  // namespace elbo
