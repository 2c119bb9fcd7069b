#include "apps/training/epochs.h"
#include "tensor/file.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "vae/elbo_loss.h"

namespace elbo {

Json to_json(const StoppedMember& s) {
  return {{"member", s.member}, {"epoch", s.epoch}, {"step", s.step}, {"tensor", s.tensor}};
}

Json to_json(const std::vector<StoppedMember>& stopped) {
  Json list = Json::array();
  for (const StoppedMember& s : stopped) list.push_back(to_json(s));
  return list;
}

StoppedMember stopped_member_from(const Json& json) {
  return {json.at("member"), json.at("epoch"), json.at("step"), json.at("tensor")};
}

namespace {

constexpr const char* kPhase = "phase";

/// What a loss calls so; NaN where it does not measure it.
double value_of(const char* name, const std::vector<std::string>& names, const std::vector<double>& values) {
  const auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? std::nan("") : values[static_cast<size_t>(found - names.begin())];
}

double elbo_of(const EpochRow& row, const std::vector<std::string>& names) {
  return value_of(kExpectedLogLikelihood, names, row.probes) - value_of(kKl, names, row.probes);
}

}  // namespace

std::vector<std::string> columns_for(const std::vector<std::string>& probes, bool phases) {
  std::vector<std::string> columns{"epoch", "member", "elbo"};
  columns.insert(columns.end(), probes.begin(), probes.end());
  columns.insert(columns.end(), {"sigma2", "kl_weight", "learning_rate", "seconds"});
  if (phases) columns.push_back(kPhase);
  return columns;
}

std::vector<CsvCell> cells_of(const EpochRow& row, const std::vector<std::string>& names,
                              const std::vector<std::string>& columns) {
  const bool has_phase = columns.back() == kPhase;
  const size_t last = columns.size() - (has_phase ? 5 : 4);
  std::vector<CsvCell> cells{row.epoch, row.member, elbo_of(row, names)};
  for (size_t c = cells.size(); c < last; ++c)
    cells.push_back(value_of(columns[c].c_str(), names, row.probes));
  cells.insert(cells.end(), {row.sigma2, row.kl_weight, row.learning_rate, row.seconds});
  if (has_phase) cells.push_back(row.phase);
  return cells;
}

void add(MemberHistory& history, const EpochRow& row, const std::vector<std::string>& names) {
  history.epoch.push_back(static_cast<double>(row.epoch));
  history.elbo.push_back(elbo_of(row, names));
  history.kl.push_back(value_of(kKl, names, row.probes));
  history.sigma2.push_back(row.sigma2);
  history.entropies.push_back(entropy_sum(names, row.probes));
}

Json to_json(const EpochSums& sums, const std::vector<std::string>& names,
             const std::vector<StoppedMember>& stopped, double seconds) {
  Json json;
  for (size_t i = 0; i < names.size(); ++i) json[names[i]] = sums.probes[i];
  json.update({{"points", sums.points}, {"seconds", seconds}, {"stopped", to_json(stopped)}});
  return json;
}

void from_json(const Json& json, const std::vector<std::string>& names, EpochSums& sums,
               std::vector<StoppedMember>& stopped) {
  for (size_t i = 0; i < names.size(); ++i) {
    const size_t members = sums.probes[i].size();
    json.at(names[i]).get_to(sums.probes[i]);
    if (sums.probes[i].size() != members)
      fail("[--resume] the checkpoint's {} is of {} models, not of {}", names[i], sums.probes[i].size(),
           members);
  }
  json.at("points").get_to(sums.points);
  for (const Json& s : json.at("stopped")) stopped.push_back(stopped_member_from(s));
}

double entropy_sum(const std::vector<std::string>& names, const std::vector<double>& probes) {
  const auto probe = [&](const char* name) { return value_of(name, names, probes); };
  return probe(kEncoderEntropy) - probe(kPriorEntropy) - probe(kDecoderEntropy);
}

void read_history(const std::string& metrics, const std::vector<std::string>& columns,
                  std::vector<MemberHistory>& history) {
  const auto column = [&](const char* name) {
    return static_cast<size_t>(std::find(columns.begin(), columns.end(), name) - columns.begin());
  };
  const size_t kl = column(kKl), sigma2 = column("sigma2");
  const size_t numbers = columns.size() - (columns.back() == kPhase);  // a name is no number
  const std::vector<std::vector<double>> rows = read_columns(metrics, numbers, INFINITY);
  for (size_t r = 0; r < rows[0].size(); ++r) {
    std::vector<double> cell;
    for (const std::vector<double>& values : rows) cell.push_back(values[r]);
    if (!(cell[1] >= 0 && cell[1] < static_cast<double>(history.size())))
      fail("[resume] {} has a row of member {}, of {}; was it edited by hand?", quote(metrics), cell[1],
           history.size());
    MemberHistory& of = history[static_cast<size_t>(cell[1])];
    of.epoch.push_back(cell[0]);
    of.elbo.push_back(cell[2]);
    of.kl.push_back(cell[kl]);
    of.sigma2.push_back(cell[sigma2]);
    of.entropies.push_back(entropy_sum(columns, cell));
  }
}

}  // namespace elbo
