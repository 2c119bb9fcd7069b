#include "apps/ledger/ledger.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "apps/support/text.h"
#include "datasets/dataset.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo::ledger {
namespace {

std::string text_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return fmt::format("{:g}", value.get<double>());
  if (!value.is_array()) return value.dump();
  std::vector<std::string> parts;
  for (const Json& part : value) parts.push_back(text_of(part));
  return parts.empty() ? "all" : fmt::format("{}", fmt::join(parts, ", "));
}

bool meets(const Setting& setting, const Json& value) {
  if (setting.at_least && value.is_number()) return value.get<double>() >= setting.published.get<double>();
  return value == setting.published;
}

/// A data set is the same in whichever folder it lies.
Json value_of(const Setting& setting, const Json& result) {
  const Json value = value_at(result, setting.at);
  const bool names_data = setting.at == "provenance.data.name" && value.is_string();
  return names_data ? Json(kind_of(value.get<std::string>())) : value;
}

/// How far a result's settings are from the paper's, to choose the nearest by.
double distance_of(const Run& run, const Json& result) {
  double distance = 0;
  for (const Setting& setting : run.settings) {
    const Json value = value_of(setting, result);
    if (meets(setting, value)) continue;
    distance += 1;
    if (value.is_number() && setting.published.is_number())
      distance += std::abs(std::log(std::max(value.get<double>(), 1e-9) / setting.published.get<double>()));
  }
  return distance;
}

/// Whether a result, which may be of a part of the units, has those that an item is made from: all, where the
/// item names none.
bool has_units_of(const Item& item, const Json& result) {
  const Json here = value_at(result, "metrics.units.here");
  if (here.is_null()) return true;
  const auto& needed = value_at(result, "config.quick") == true ? item.quick_only : item.only;
  return !needed.empty() && std::all_of(needed.begin(), needed.end(), [&](const std::string& unit) {
    return std::find(here.begin(), here.end(), unit) != here.end();
  });
}

/// Of two results at equal settings the newer is read.
std::string started(const KeptResult& result) {
  return text_of(value_at(result.result, "provenance.started"));
}

bool is_of(const Run& run, const Json& result) {
  return run.matches ? run.matches(result) : result.at("command") == run.command;
}

Comparison verdict_of(const Line& line, const Entry& entry) {
  Comparison c;
  const bool read = entry.source != nullptr, differs = !entry.differences.empty();
  if (read && entry.reading.number && line.number)
    c = compare(*line.number, *entry.reading.number, line.margin, line.better);
  const auto set = [&](Verdict verdict, std::string why) {
    c.verdict = verdict;
    c.why = std::move(why);
    c.too_good = false;
    return c;
  };
  if (!line.unlike.empty()) return set(Verdict::not_comparable, line.unlike);
  if (!read)
    return set(Verdict::not_run, entry.run_without_it ? "the result that was kept does not have it" : "");
  if (!line.read) return set(Verdict::not_comparable, "by eye, in the run's report");
  if (differs && !line.judged_there) return set(Verdict::not_comparable, "other settings");
  if (line.number) return c;
  if (entry.reading.holds)
    return set(*entry.reading.holds ? Verdict::holds : Verdict::fails, entry.reading.note);
  return set(entry.reading.not_shown ? Verdict::not_told_apart : Verdict::not_comparable, entry.reading.note);
}

std::optional<Reading> reading_of(const Line& line, const KeptResult& from) {
  if (!line.read) return Reading{};
  try {
    return line.read(from.result);
  } catch (const Json::exception& error) {
    fail("[reproduce] {} is no result as elbo writes it ({}); mend it or take it away", quote(from.path),
         error.what());
  }
}

const Item& item_of(const Publication& paper, const std::string& id) {
  for (const Item& item : paper.items)
    if (item.id == id) return item;
  fail("[ledger] a line of {} belongs to {}, which is no item of it", paper.key, id);
}

const Run& run_of(const Publication& paper, const std::string& key) {
  for (const Run& run : paper.runs)
    if (run.key == key) return run;
  fail("[ledger] {} has no run {}", paper.key, key);
}

}  // namespace

std::vector<KeptResult> results_in(const std::string& folder) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(folder)) fail("[--from] {} is no folder of results", quote(folder));
  std::vector<std::string> paths;
  for (const auto& run : fs::directory_iterator(folder)) {
    if (!run.is_directory()) continue;
    for (const auto& file : fs::directory_iterator(run.path()))
      if (file.path().extension() == ".json" && file.is_regular_file())
        paths.push_back(fs::relative(file.path(), folder).string());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<KeptResult> results;
  for (const std::string& path : paths) {
    Json json = read_json((fs::path(folder) / path).string());
    if (value_at(json, "command").is_string() && value_at(json, "metrics").is_object())
      results.push_back({path, std::move(json)});
  }
  return results;
}

std::vector<std::string> differences_of(const Run& run, const Json& result) {
  std::vector<std::string> differences;
  for (const Setting& setting : run.settings) {
    const Json value = value_of(setting, result);
    if (meets(setting, value)) continue;
    differences.push_back(fmt::format("{} {} (paper: {})", setting.name,
                                      value.is_null() ? "not recorded" : text_of(value),
                                      text_of(setting.published)));
  }
  return differences;
}

Ledger::Ledger(std::vector<Publication> published, std::vector<KeptResult> kept)
    : papers(std::move(published)), results(std::move(kept)) {
  for (const Publication& paper : papers) {
    for (const Line& line : paper.lines) item_of(paper, line.item);
    for (const Item& item : paper.items)
      for (const Line& line : paper.lines) {
        if (line.item != item.id) continue;
        const Run& run = run_of(paper, item.run);
        Entry entry{&paper, &item, &run, &line};
        double nearest = std::numeric_limits<double>::infinity();
        const bool nothing_to_read = !line.read && !line.unlike.empty();
        for (const KeptResult& own : results) {
          if (nothing_to_read || !is_of(run, own.result) || !has_units_of(item, own.result)) continue;
          std::optional<Reading> reading = reading_of(line, own);
          if (!reading && differences_of(run, own.result).empty()) entry.run_without_it = true;
          const double distance = distance_of(run, own.result);
          if (!reading || distance > nearest) continue;
          if (distance == nearest && started(own) <= started(*entry.source)) continue;
          nearest = distance;
          entry.source = &own;
          entry.reading = std::move(*reading);
        }
        if (entry.source) entry.differences = differences_of(run, entry.source->result);
        entry.comparison = verdict_of(line, entry);
        entries.push_back(std::move(entry));
      }
  }
}

int64_t Ledger::count(Verdict verdict, const Publication* paper) const {
  return std::count_if(entries.begin(), entries.end(), [&](const Entry& entry) {
    return entry.comparison.verdict == verdict && (!paper || entry.paper == paper);
  });
}

int64_t Ledger::too_good() const {
  return std::count_if(entries.begin(), entries.end(),
                       [](const Entry& entry) { return entry.comparison.too_good; });
}

}  // namespace elbo::ledger
