#include "apps/training/resume.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/support/run_directory.h"
#include "tensor/file.h"

namespace elbo {
namespace {

constexpr const char* kChangeable[] = {"--threads", "--device", "--json",      "--checkpoint-seconds",
                                       "--dry-run", "--out",    "--resume",    "--only",
                                       "--help",    "--begin",  "--work-only", "--lease"};

constexpr const char* kLeftOut[] = {"--validation", "--test", "--split-seed", "--validate-every",
                                    "--patience"};

/// "--free-nats" as config.json calls it.
std::string key_of(const std::string& option) {
  std::string key = option.substr(std::min(option.find_first_not_of('-'), option.size()));
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

std::string option_of(std::string key) {
  std::replace(key.begin(), key.end(), '_', '-');
  return "--" + key;
}

}  // namespace

Json begin_resume(RunOptions& run, const std::string& directory, const std::string& command) {
  std::error_code ignored;
  if (!run.out.empty() && !std::filesystem::equivalent(run.out, directory, ignored))
    fail("[--resume] continues in its own directory; leave --out away");
  run.out = directory;
  return read_run_config(directory, command);
}

void restore_from(const Json& config, const Arguments& arguments, const Json& asked,
                  const std::string& directory, FunctionRef<void()> restore) {
  for (const auto& [key, value] : config.items()) {
    const std::optional<Argument> argument = arguments.find(option_of(key));
    // A default may be what nobody can ask for; one that is given anew, check_given compares.
    if ((argument && argument->given()) || asked.value(key, Json()) == value) continue;
    std::string fault = value == Json::array() ? "a list of nothing" : "";
    for (const Json& each : value.is_array() ? value : Json::array({value}))
      if (argument && fault.empty() && (each.is_number() || each.is_string()))
        fault = argument->fault_in(each.is_string() ? each.get<std::string>() : each.dump());
    if (!fault.empty())
      fail("[--resume] the config.json of {} has {} for {}: {}; was it edited by hand?", quote(directory),
           value.dump(), quote(key), fault);
  }
  try {
    restore();
  } catch (const Json::exception& error) {
    fail("[--resume] the config.json of {} has an option that elbo did not write so: {}", quote(directory),
         error.what());
  }
}

void keep_changeable(RunOptions& run, const RunOptions& asked, const Arguments& arguments,
                     const Json& config) {
  run.device = arguments.given("--device") ? asked.device : config.value("device", run.device);
}

void keep_changeable(RunOptions& run, TrainingOptions& training, const RunOptions& asked_run,
                     const TrainingOptions& asked_training, const Arguments& arguments, const Json& config) {
  keep_changeable(run, asked_run, arguments, config);
  if (arguments.given("--checkpoint-seconds"))
    training.checkpoint_seconds = asked_training.checkpoint_seconds;
}

void check_given(DataOptions& data, const Arguments& arguments, const Json& asked, const Json& run,
                 const std::string& directory) {
  std::vector<std::string> differ;
  std::string text;
  for (const Argument& argument : arguments.all()) {
    const std::string name = argument.name(), key = key_of(name);
    if (!argument.given() ||
        std::find(std::begin(kChangeable), std::end(kChangeable), name) != std::end(kChangeable))
      continue;
    // Written only where they are not 0: what is held out, and how often it is looked at.
    const bool left_out = std::find(std::begin(kLeftOut), std::end(kLeftOut), name) != std::end(kLeftOut);
    const Json none = left_out ? Json(0) : Json();
    if ((left_out || run.contains(key)) && asked.value(key, none) == run.value(key, none)) continue;
    differ.push_back(name);
    text += (text.empty() ? "" : ", ") + name;
    if (run.contains(key)) text += fmt::format(" (the run has {})", run[key].dump());
  }
  if (differ.empty()) return;
  if (differ == std::vector<std::string>{"--data"} && !read_run_data(directory).is_null()) {
    asked.at("data").get_to(data.data);
    return;
  }
  fail("[--resume] a run goes on with the options it began with, and {} differ{}: {}; leave them away",
       differ.size() == 1 ? "one" : "some", differ.size() == 1 ? "s" : "", text);
}

Json data_record(const LoadedData& data, const std::optional<LoadedData>& validation) {
  Json record = {{"fingerprint", data.dataset.fingerprint},
                 {"N", data.dataset.points()},
                 {"D", data.dataset.dimensions()}};
  if (validation) record["validation"] = data_record(*validation);
  return record;
}

void check_same_data(const LoadedData& data, const std::string& directory,
                     const std::optional<LoadedData>& validation) {
  const Json began = read_run_data(directory), now = data_record(data, validation);
  if (began.is_null() || began == now) return;  // null: of a version that did not say
  if (!began.is_object())
    fail(
        "[--resume] the config.json of {} does not say which data the run began with; was it edited by hand?",
        quote(directory));
  const auto text = [](const Json& record) {
    return fmt::format("{} points of {} dimensions, fingerprint {}", record.value("N", int64_t{0}),
                       record.value("D", int64_t{0}), record.value("fingerprint", std::string("unknown")));
  };
  const bool held_out =
      began.contains("validation") && validation && began["validation"] != now["validation"];
  fail("[--data] {}{} are not the data that {} began with: {}, then {}; give it those",
       held_out ? "the validation points of " : "", quote(data.dataset.name), quote(directory),
       text(held_out ? now["validation"] : now), text(held_out ? began["validation"] : began));
}

}  // namespace elbo
