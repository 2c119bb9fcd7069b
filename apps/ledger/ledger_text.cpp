#include <fmt/ranges.h>

#include <cmath>
#include <map>

#include "apps/ledger/ledger.h"
#include "apps/support/text.h"

namespace elbo::ledger {
namespace {

/// As many digits as were printed, but no more than mean something.
std::string number_text(double value, int digits) {
  if (std::abs(value) < 0.01 && value != 0) return fmt::format("{:.3g}", value);
  return fmt::format("{:.{}f}", value, std::min(digits, 4));
}

std::string with_unit(std::string text, const std::string& unit) {
  return unit.empty() ? text : text + " " + unit;
}

Json number_json(const PublishedNumber& number) {
  return {{"value", number.value},
          {"deviation", finite_or_null(number.deviation)},
          {"n", number.runs},
          {"half_unit_of_last_digit", number.half_unit()}};
}

Json number_json(const Measured& number) {
  const double half = half_interval(number);
  return {{"n", number.runs},
          {"mean", finite_or_null(number.mean)},
          {"deviation", finite_or_null(number.deviation)},
          {"standard_error", finite_or_null(number.exact ? 0 : number.deviation / std::sqrt(number.runs))},
          {"interval_95", {finite_or_null(number.mean - half), finite_or_null(number.mean + half)}},
          {"closed_form", number.exact}};
}

/// "commit 1f2e3d4, AMD EPYC", and a GPU where there was one.
std::string commit_and_machine(const Json& origin) {
  const std::string commit = text_at(origin, "commit"), cpu = text_at(origin, "cpu"),
                    device = text_at(origin, "device");
  return fmt::format("{}, {}{}", commit.empty() ? "commit not recorded" : "commit " + commit,
                     cpu.empty() ? "processor not recorded" : cpu,
                     device.empty() || device == "cpu" ? "" : ", " + device);
}

/// The same; where others than the process that ended the run were at its units, who.
std::string commits_and_machines(const Json& provenance) {
  const std::string last = commit_and_machine(provenance);
  std::map<std::string, int64_t> units;
  for (const Json& origin : value_at(provenance, "unit_origins"))
    if (const Json count = value_at(origin, "units"); count.is_number_integer())
      units[commit_and_machine(origin)] += count.get<int64_t>();
  if (units.empty() || (units.size() == 1 && units.begin()->first == last)) return last;
  std::vector<std::string> all;
  for (const auto& [origin, count] : units)
    all.push_back(fmt::format("{} (at {} unit{})", origin, count, count == 1 ? "" : "s"));
  return fmt::format("{}; put together at {}", fmt::join(all, "; "), last);
}

}  // namespace

std::string paper_text(const Line& line) {
  if (!line.number) return line.words;
  const PublishedNumber& n = *line.number;
  std::string text = number_text(n.value, n.digits);
  if (std::isfinite(n.deviation)) text += " ± " + number_text(n.deviation, n.digits);
  return with_unit(text, line.unit);
}

std::string here_text(const Entry& entry) {
  if (!entry.source) return "";
  if (!entry.reading.number || !entry.line->number) return entry.reading.here;
  const Measured& n = *entry.reading.number;
  const int digits = entry.line->number->digits + (entry.line->number->digits == 0 ? 1 : 0);
  std::string text = number_text(n.mean, digits);
  const double half = half_interval(n);
  if (half > 0) text += " ± " + number_text(half, digits);
  text = with_unit(text, entry.line->unit);
  return n.exact ? text + " (closed form)" : fmt::format("{} (n = {})", text, n.runs);
}

std::string verdict_text(const Entry& entry) {
  return std::string(word(entry.comparison.verdict)) + (entry.comparison.too_good ? ", too good" : "");
}

std::string command_of(const Item& item, const KeptResult* source) {
  const bool quick = source && value_at(source->result, "config.quick") == true;
  return fmt::format("elbo reproduce {}{}", quick ? "--quick " : "", item.id);
}

std::string origin_text(const KeptResult& source) {
  const Json p = value_at(source.result, "provenance");
  const Json threads = value_at(p, "threads"), of_units = value_at(p, "unit_seconds"),
             wall = value_at(p, "wall_seconds"),
             seconds = of_units.is_number() ? of_units
                       : wall.is_number()   ? wall
                                            : Json();
  const int count = threads.is_number() ? threads.get<int>() : 0;
  return fmt::format("{}, {} thread{}, {}, {}", commits_and_machines(p), count, count == 1 ? "" : "s",
                     text_at(p, "started").substr(0, 10), format_duration(number_or_nan(seconds)));
}

const std::vector<std::string>& method_text() {
  static const std::vector<std::string> text{
      "The paper's ± is the deviation between its runs, as printed; ours is half of the 95 % interval of the "
      "mean "
      "over n runs, by Student's t. ELBO, KL and log-likelihood are nats per data point, ELBOs in the "
      "paper's units.",
      "A number is within the paper's error where it is no further away than that ± and half a unit of the "
      "last "
      "digit (where no ± is printed, than the half unit), and our own standard error, where there are runs "
      "to "
      "have one, is no larger. Otherwise it is equivalent where the 90 % interval of the difference lies "
      "within a "
      "margin (two one-sided tests at 5 %), different where the 95 % interval leaves 0 out (Welch), and not "
      "told "
      "apart where neither. Margins: about 1 % of an ELBO, 5 % of σ² and of a KL (1 nat at least), 5 points "
      "of "
      "collapsed units, 0.05 nats of a log-likelihood, 0.2 of smooth k-NN, one unit in use, 0.05 of the "
      "variance "
      "of the means of a unit in use, 0.01 of another's, 0.02 of a mean σ². A spread that one side does not "
      "know is taken to be the "
      "other's. The rounding of the paper's digits counts as an error, too.",
      "Too good is a number that is different on the better side: a reason to look for a mistake, here or "
      "there. Of "
      "twenty numbers that are the same one comes out as different by chance.",
      "Claims in words hold or fail by a rule of the experiment, which its report states; where our 95 % "
      "interval leaves both open, they are not told apart. Not comparable: "
      "the "
      "settings differ from the paper's, as listed; or the published number cannot be met; or only eyes can "
      "judge. The time of a run is that of its units together, or of its last process. Commit and processor "
      "are that process's; where others were at its units, each is named with the number of units that it "
      "was "
      "at, and a unit may have had several."};
  return text;
}

Json to_json(const Ledger& ledger) {
  Json lines = Json::array();
  for (const Entry& e : ledger.entries) {
    const Comparison& c = e.comparison;
    Json line{{"item", e.item->id},
              {"what", e.line->what},
              {"unit", e.line->unit},
              {"paper", e.line->number ? number_json(*e.line->number) : Json(e.line->words)},
              {"here", nullptr},
              {"verdict", word(c.verdict)},
              {"why", c.why},
              {"too_good", c.too_good},
              {"margin", e.line->margin},
              {"command", command_of(*e.item, e.source)},
              {"not_stated_by_the_paper", e.run->unstated}};
    if (e.source) {
      const bool number = e.reading.number && e.line->number;
      line["here"] = number ? number_json(*e.reading.number) : Json(e.reading.here);
      if (number) {
        line["difference"] = finite_or_null(c.difference);
        line["interval_95_of_difference"] = {finite_or_null(c.low), finite_or_null(c.high)};
      }
      line["settings_that_differ"] = e.differences;
      line["source"] = e.source->path;
      const Json provenance = value_at(e.source->result, "provenance");
      for (const char* name : {"version", "commit", "compiler", "build", "cpu", "device", "threads",
                               "started", "wall_seconds", "unit_seconds", "unit_origins"})
        line[name] = value_at(provenance, name);
    }
    lines.push_back(std::move(line));
  }
  Json counts;
  for (const Verdict verdict :
       {Verdict::within_error, Verdict::equivalent, Verdict::not_told_apart, Verdict::different,
        Verdict::holds, Verdict::fails, Verdict::not_comparable, Verdict::not_run})
    counts[word(verdict)] = ledger.count(verdict);
  counts["too good"] = ledger.too_good();
  return {{"method", method_text()}, {"counts", counts}, {"lines", lines}};
}

}  // namespace elbo::ledger
