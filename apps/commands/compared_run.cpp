#include "apps/commands/compared_run.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/support/run_directory.h"
#include "apps/training/model_folder.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

/// What tells the entries of a list of results apart, where they have all of one of these: collapse's rows,
/// encoders, latent dimensions, gradients.
const std::vector<std::vector<std::string>> kSettings{
    {"sigma2", "learned", "annealed"}, {"encoder"}, {"latent"}, {"gradient", "lr"}};

/// Takes its setting out of an entry: "linear", "sigma2 0.1, learned true, annealed false"; the index where
/// it has none.
std::string take_setting(Json& entry, size_t index) {
  for (const std::vector<std::string>& keys : kSettings) {
    if (!std::all_of(keys.begin(), keys.end(), [&](const auto& key) { return entry.contains(key); }))
      continue;
    std::string text;
    for (const std::string& key : keys) {
      const Json value = entry[key];
      text += (text.empty() ? "" : ", ") +
              (value.is_string() ? value.get<std::string>() : fmt::format("{} {}", key, value.dump()));
      entry.erase(key);
    }
    return text;
  }
  return std::to_string(index);
}

/// Every number in `value`, with its name. Lists of numbers are no metrics, lists of results are.
void gather_numbers(const Json& value, const std::string& name, ComparedRun& run) {
  if (value.is_number() || value.is_null()) {
    run.metrics.emplace_back(name, value.is_null() ? std::nan("") : value.get<double>());
  } else if (value.is_object()) {
    for (const auto& [key, child] : value.items())
      gather_numbers(child, name.empty() ? key : name + "." + key, run);
  } else if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      if (!value[i].is_object()) continue;
      Json results = value[i];
      const std::string setting = take_setting(results, i);
      gather_numbers(results, fmt::format("{}[{}]", name, setting), run);
    }
  }
}

[[noreturn]] void fail_without_member(const std::string& path, int64_t member) {
  fail("[--member] {} has no member {}", quote(path), member);
}

/// The metrics that a run is compared by: of an ensemble those of one member.
Json chosen_metrics(const std::string& path, Json metrics, int64_t member) {
  const auto list = metrics.find("members");
  if (list == metrics.end() || !list->is_array()) {
    // Rows of collapse are over its members, and stay what they are.
    if (member > 0 && !fs::exists(fs::path(path) / model_name(false, member)))
      fail_without_member(path, member);
    return metrics;
  }
  const Json members = *list;
  for (const char* key : {"members", "member"}) metrics.erase(key);
  if (member < 0) return metrics;
  for (const Json& entry : members)
    if (entry.value("member", int64_t{-1}) == member && entry.contains("metrics")) return entry["metrics"];
  fail_without_member(path, member);
}

/// The member whose curve is drawn, of the models in a folder.
int64_t curve_member(const fs::path& folder, int64_t member) {
  const fs::path list = folder / "members" / "members.json";
  if (member >= 0 || !fs::exists(list)) return std::max<int64_t>(member, 0);
  const Json json = read_json(list.string());
  return json.is_object() && json.contains("best") && json["best"].is_number_integer()
             ? json["best"].get<int64_t>()
             : 0;
}

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char c : line)
    if (c == ',')
      cells.emplace_back();
    else
      cells.back() += c;
  return cells;
}

/// The ELBO of one member in a metrics.csv or a validation.csv; empty where the file has none by epochs.
RunCurve read_curve(const fs::path& file, int64_t member) {
  const std::string text = read_file(file.string());
  const auto line_from = [&](size_t begin) {
    return cells_of(text.substr(begin, text.find('\n', begin) - begin));
  };
  const std::vector<std::string> columns = line_from(0);
  const auto column = [&](const char* name) {
    return static_cast<size_t>(std::find(columns.begin(), columns.end(), name) - columns.begin());
  };
  const size_t epoch = column("epoch"), elbo = column("elbo"), of_member = column("member"),
               none = columns.size();
  RunCurve curve;
  if (epoch == none || elbo == none) return curve;
  for (size_t begin = text.find('\n') + 1; text.find('\n', begin) != std::string::npos;
       begin = text.find('\n', begin) + 1) {
    const std::vector<std::string> cells = line_from(begin);
    if (cells.size() != columns.size()) continue;
    if (of_member != none && std::atoll(cells[of_member].c_str()) != member) continue;
    curve.epoch.push_back(std::strtod(cells[epoch].c_str(), nullptr));
    curve.elbo.push_back(std::strtod(cells[elbo].c_str(), nullptr));
  }
  return curve;
}

/// Curves of the run itself, or of the models in its folders.
std::vector<RunCurve> curves_of(const std::string& path, int64_t member) {
  std::set<fs::path> folders{path};
  for (const fs::directory_entry& entry : fs::directory_iterator(path))
    if (entry.is_directory()) folders.insert(entry.path());
  std::vector<RunCurve> curves;
  for (const fs::path& folder : folders) {
    if (!fs::exists(folder / "metrics.csv")) continue;
    const int64_t own = curve_member(folder, member);
    RunCurve curve = read_curve(folder / "metrics.csv", own);
    if (curve.epoch.empty()) continue;
    if (fs::exists(folder / "validation.csv")) {
      RunCurve held_out = read_curve(folder / "validation.csv", own);
      curve.held_out_epoch = std::move(held_out.epoch);
      curve.held_out_elbo = std::move(held_out.elbo);
    }
    if (folder != fs::path(path)) curve.name = folder.filename().string();
    curves.push_back(std::move(curve));
  }
  return curves;
}

/// Units come with explanations: "percent of units, epsilon 0.01 nats".
std::string first_phrase(const std::string& unit) { return unit.substr(0, unit.find_first_of(",;:")); }

ComparedRun open_run(const std::string& path, int64_t member) {
  ComparedRun run{.path = path};
  run.options = flatten(read_run_config(path));  // which throws where it is no run
  const Json config = read_json((fs::path(path) / "config.json").string());
  run.command = config["command"].get<std::string>();
  const fs::path file = fs::path(path) / "result.json";
  if (!fs::exists(file))
    fail("[compare] {} is not finished: it has no result.json; let {} end first", quote(path),
         quote(run.command));
  const Json result = read_json(file.string());
  if (!result.is_object() || !result.contains("metrics") || !result["metrics"].is_object())
    fail("[compare] {} is not the result of a run: \"metrics\" is missing", quote(file.string()));
  // A run that goes on has others in its config.json.
  if (result.contains("config") && result["config"].is_object()) run.options = flatten(result["config"]);
  gather_numbers(chosen_metrics(path, result["metrics"], member), "", run);
  const Json provenance = result.value("provenance", Json::object());
  if (provenance.contains("data")) run.data = flatten(provenance["data"]);
  const Json units = provenance.value("units", Json::object());
  for (const auto& [name, value] : run.metrics) {
    const std::string whole = name.substr(0, name.find('['));
    for (const std::string& key : {name, whole})
      if (units.contains(key) && units[key].is_string())
        run.units[name] = first_phrase(units[key].get<std::string>());
  }
  run.curves = curves_of(path, member);
  return run;
}

}  // namespace

std::string ComparedRun::option(const std::string& name) const {
  for (const auto& [key, value] : options)
    if (key == name) return value;
  return "-";
}

const double* ComparedRun::metric(const std::string& name) const {
  for (const auto& [key, value] : metrics)
    if (key == name) return &value;
  return nullptr;
}

std::vector<ComparedRun> open_runs(const std::vector<std::string>& directories, int64_t member) {
  if (directories.size() < 2) fail("[compare] name two runs or more, got {}", directories.size());
  std::vector<ComparedRun> runs;
  std::set<std::string> seen;
  std::map<std::string, int> names;
  const auto name_of = [](const std::string& path) {
    const fs::path whole = fs::path(path).lexically_normal();
    return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
  };
  for (const std::string& path : directories) {
    runs.push_back(open_run(path, member));
    if (!seen.insert(fs::canonical(path).string()).second) fail("[compare] {} is named twice", quote(path));
    ++names[name_of(path)];
  }
  for (ComparedRun& run : runs) run.label = names[name_of(run.path)] == 1 ? name_of(run.path) : run.path;
  return runs;
}

}  // namespace elbo
