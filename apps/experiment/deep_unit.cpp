#include "apps/experiment/deep_unit.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/experiment/parts.h"
#include "apps/experiment/training_unit.h"
#include "apps/training/deep_metrics_json.h"
#include "apps/training/trained_models.h"
#include "datasets/batch_loader.h"
#include "tensor/error.h"
#include "tensor/file.h"
#include "vae/elbo_loss.h"
#include "vae/training.h"

namespace elbo {
namespace {

/// Plain steps, on a GPU too: an upper bound of what captured ones take there.
double seconds_for(const DeepUnit& deep, const LoadedData& data, const RunOptions& run) {
  DeepVaeOptions network = network_of(deep.training, deep.members, data.dataset);
  network.device = device_of(run);
  DeepVae vae(network, run.seed);
  const BatchLoader::Options batches{.batch = deep.training.batch, .seed = run.seed};
  BatchLoader loader(data.dataset, data.preprocessing, batches);
  const int64_t steps = deep.training.epochs * batches_per_epoch(data.dataset, data.preprocessing, batches);
  Training training(
      vae.parameters(),
      {{.loss = elbo_loss(vae, objective_of(deep.training, deep.members), deep.training.samples),
        .steps = steps + 1,
        .clip = deep.training.clip}},
      {1, [&](int64_t) { return loader.next().x.to(network.device); }}, {.seed = run.seed});
  return seconds_of(training, steps);
}

/// A record that does not depend on which members trained together: who was stopped in the order of steps and
/// members, and no metrics of these, which are read where fellows go on and not where none does.
DeepRecord settled(DeepRecord record) {
  std::sort(record.stopped.begin(), record.stopped.end(), [](const StoppedMember& a, const StoppedMember& b) {
    return std::pair(a.step, a.member) < std::pair(b.step, b.member);
  });
  for (const StoppedMember& stop : record.stopped) {
    const auto member = static_cast<size_t>(stop.member);
    const DeepVaeMetrics none = deep_metrics_from({{"stopped", true}});
    record.metrics.at(member) = none;
    for (auto& [epoch, metrics] : record.evaluations)
      if (stop.epoch <= epoch) metrics.at(member) = none;
  }
  return record;
}

Json trained(const DeepUnit& deep, const MemberRange& range, const LoadedData& data, const DataOptions& named,
             const RunOptions& run, const UnitPlace& place) {
  const auto first = deep.members.begin() + range.first;
  const DeepRun found = run_deep(deep.training, {first, first + range.count}, data, place.directory,
                                 {.seed = run.seed,
                                  .device = device_of(run),
                                  .resume = place.resuming,
                                  .folder = place.folder,
                                  .progress = place.progress,
                                  .may_break = true});
  if (!found.finished()) return {};
  const bool is_part = range.count < static_cast<int64_t>(deep.members.size());
  save_models(found, card_of(named, data), place.directory, place.folder, is_part);
  return to_json(settled(found));
}

std::string file_of(const UnitPlace& place, const PartOutcome& part, const std::string& name) {
  return place.directory.path() + "/" + part.folder + name;
}

/// evaluations/epoch-N.json of all members. `record` is theirs.
void join_evaluations(const DeepRecord& record, const UnitPlace& place,
                      const std::vector<PartOutcome>& parts) {
  for (const auto& [epoch, unused] : record.evaluations) {
    const std::string name = fmt::format("evaluations/epoch-{}.json", epoch);
    Json all = Json::array();
    bool any = false;
    for (const PartOutcome& part : parts) {
      const std::string file = file_of(place, part, name);
      const bool there = std::filesystem::exists(file);  // not where all were stopped before
      const Json own = there ? read_json(file) : Json::array();
      any = any || there;
      for (int64_t m = 0; m < part.members.count; ++m) {
        const StoppedMember* stop = record.stop_of(part.members.first + m);
        if (there && !own.at(static_cast<size_t>(m)).contains("stopped"))
          all.push_back(own.at(static_cast<size_t>(m)));
        else if (stop)
          all.push_back({{"stopped", to_json(*stop)}});
        else  // this process was taken for dead, and the part has gone meanwhile
          fail("[experiment] {} is not there", quote(file));
      }
    }
    if (any) place.directory.write_json(place.folder + name, all);
  }
}

/// metrics.csv of all members: rows of an epoch together, by member.
void join_metrics(const UnitPlace& place, const std::vector<PartOutcome>& parts) {
  struct Row {
    int64_t epoch = 0, member = 0;
    std::string rest;
  };
  std::vector<Row> rows;
  std::string text;
  for (const PartOutcome& part : parts) {
    const std::string file = file_of(place, part, "metrics.csv");
    std::istringstream lines(read_file(file));
    std::string line;
    std::getline(lines, line);
    if (text.empty()) text = line + "\n";
    while (std::getline(lines, line)) {
      Row row;
      const char* const end = line.data() + line.size();
      const auto epoch = std::from_chars(line.data(), end, row.epoch);
      const auto member = std::from_chars(std::min(epoch.ptr + 1, end), end, row.member);
      if (epoch.ec != std::errc() || member.ec != std::errc())
        fail("[experiment] {} is not what a training wrote; was it edited by hand?", quote(file));
      row.member += part.members.first;
      row.rest = std::string(member.ptr, end);
      rows.push_back(std::move(row));
    }
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return std::pair(a.epoch, a.member) < std::pair(b.epoch, b.member);
  });
  for (const Row& row : rows) text += fmt::format("{},{}{}\n", row.epoch, row.member, row.rest);
  place.directory.write_text(place.folder + "metrics.csv", text);
}

Json joined(const DeepUnit& deep, const UnitPlace& place, const std::vector<PartOutcome>& parts) {
  DeepRecord record;
  for (const PartOutcome& part : parts) {
    const auto first = deep.members.begin() + part.members.first;
    append(record, deep_record_from(part.result, {first, first + part.members.count}));
  }
  join_models(place, parts);
  join_metrics(place, parts);
  join_evaluations(record, place, parts);
  return to_json(settled(std::move(record)));
}

}  // namespace

Unit unit_of(const DeepUnit& deep, std::shared_ptr<const LoadedData> data, const DataOptions& named,
             const RunOptions& run) {
  const DeepVaeOptions network = network_of(deep.training, deep.members, data->dataset);
  const double points =
      static_cast<double>(data->dataset.points()) * static_cast<double>(deep.training.epochs);
  const auto members = static_cast<int64_t>(deep.members.size());
  return as_ensemble(
      {.key = deep.key,
       .title = deep.title,
       .cost = training_flops(network, deep.training.samples) * points * static_cast<double>(members),
       .measure = [deep, data, run] { return seconds_for(deep, *data, run); }},
      {.members = members,
       .run = [=](const UnitPlace& place,
                  const MemberRange& range) { return trained(deep, range, *data, named, run, place); },
       .join = [=](const UnitPlace& place,
                   const std::vector<PartOutcome>& parts) { return joined(deep, place, parts); }});
}

}  // namespace elbo
