#include "apps/training/evaluations.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/training/deep_metrics_json.h"
#include "tensor/file.h"

namespace elbo {
namespace {

std::string file_name(const std::string& folder, int64_t epoch) {
  return fmt::format("{}evaluations/epoch-{}.json", folder, epoch);
}

/// A list for each number of the units.
Json to_json(const UnitGains& gains) {
  Json lists{{"points", gains.points}};
  const auto set = [&](const std::string& name, const std::vector<MeanOfPoints>& units) {
    std::vector<double> mean, error;
    for (const MeanOfPoints& unit : units) {
      mean.push_back(unit.mean);
      error.push_back(unit.standard_error);
    }
    lists[name] = finite_or_null(mean);
    lists[name + "_standard_error"] = finite_or_null(error);
  };
  set("gain", gains.zero);
  set("gain_of_prior", gains.prior);
  return lists;
}

}  // namespace

void write_evaluation(const RunDirectory& run, const std::string& folder, int64_t epoch,
                      const std::vector<DeepVaeMetrics>& metrics, const std::vector<UnitGains>& gains,
                      const std::vector<StoppedMember>& stopped) {
  Json list = Json::array();
  for (size_t m = 0; m < metrics.size(); ++m) {
    const auto stop = std::find_if(stopped.begin(), stopped.end(), [&](const StoppedMember& s) {
      return s.member == static_cast<int64_t>(m);
    });
    list.push_back(stop == stopped.end() ? to_json(metrics[m]) : Json{{"stopped", to_json(*stop)}});
    if (stop == stopped.end()) list.back()["units"] = to_json(gains[m]);
  }
  run.write_json(file_name(folder, epoch), list);
}

std::map<int64_t, std::vector<DeepVaeMetrics>> read_evaluations(const RunDirectory& run,
                                                                const std::string& folder,
                                                                const std::vector<int64_t>& epochs,
                                                                int64_t last_epoch, bool went_on,
                                                                size_t members) {
  std::map<int64_t, std::vector<DeepVaeMetrics>> found;
  for (int64_t epoch : epochs) {
    const std::string path = run.file(file_name(folder, epoch));
    if (epoch > last_epoch) continue;
    if (!std::filesystem::exists(path)) {
      if (epoch == last_epoch && !went_on) continue;  // interrupted while it was at this
      fail("[resume] {} is not there, though the run is past epoch {}; was it removed?", quote(path), epoch);
    }
    try {
      for (const Json& m : read_json(path)) found[epoch].push_back(deep_metrics_from(m));
    } catch (const Json::exception&) {
      fail("[resume] {} does not hold the metrics of every member; was it edited by hand?", quote(path));
    }
    if (found[epoch].size() != members)
      fail("[resume] {} holds the metrics of {} members, not of {}", quote(path), found[epoch].size(),
           members);
  }
  return found;
}

}  // namespace elbo
