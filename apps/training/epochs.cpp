#include "apps/training/epochs.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/support/csv.h"
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

std::vector<std::string> columns_for(const std::vector<std::string>& probes) {
  std::vector<std::string> columns{"epoch", "member", "elbo"};
  columns.insert(columns.end(), probes.begin(), probes.end());
  columns.insert(columns.end(), {"sigma2", "kl_weight", "learning_rate", "seconds"});
  return columns;
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
  for (size_t i = 0; i < names.size(); ++i) json.at(names[i]).get_to(sums.probes[i]);
  json.at("points").get_to(sums.points);
  for (const Json& s : json.at("stopped")) stopped.push_back(stopped_member_from(s));
}

double entropy_sum(const std::vector<std::string>& names, const std::vector<double>& probes) {
  const auto probe = [&](const char* name) {
    const auto found = std::find(names.begin(), names.end(), name);
    return found == names.end() ? std::nan("") : probes[static_cast<size_t>(found - names.begin())];
  };
  return probe(kEncoderEntropy) - probe(kPriorEntropy) - probe(kDecoderEntropy);
}

void read_history(const std::string& metrics, const std::vector<std::string>& columns,
                  std::vector<MemberHistory>& history) {
  const auto column = [&](const char* name) {
    return static_cast<size_t>(std::find(columns.begin(), columns.end(), name) - columns.begin());
  };
  const size_t kl = column(kKl), sigma2 = column("sigma2");
  const std::vector<std::vector<double>> rows = read_columns(metrics, columns.size(), INFINITY);
  for (size_t r = 0; r < rows[0].size(); ++r) {
    std::vector<double> cell;
    for (const std::vector<double>& values : rows) cell.push_back(values[r]);
    if (cell[1] >= static_cast<double>(history.size())) continue;
    MemberHistory& of = history[static_cast<size_t>(cell[1])];
    of.epoch.push_back(cell[0]);
    of.elbo.push_back(cell[2]);
    of.kl.push_back(cell[kl]);
    of.sigma2.push_back(cell[sigma2]);
    of.entropies.push_back(entropy_sum(columns, cell));
  }
}

}  // namespace elbo
