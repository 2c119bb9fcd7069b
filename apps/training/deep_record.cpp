#include "apps/training/deep_record.h"

#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

#include "apps/support/best.h"
#include "apps/training/deep_metrics_json.h"

namespace elbo {
namespace {

/// Calls f(name, values) for each curve: writing and reading are two such f.
template <class History, class F>
void each_curve(History& history, F f) {
  f("epoch", history.epoch);
  f("elbo", history.elbo);
  f("kl", history.kl);
  f("sigma2", history.sigma2);
  f("entropies", history.entropies);
}

Json list_of(const std::vector<DeepVaeMetrics>& metrics) {
  Json list = Json::array();
  for (const DeepVaeMetrics& m : metrics) list.push_back(to_json(m));
  return list;
}

std::vector<DeepVaeMetrics> metrics_in(const Json& list) {
  std::vector<DeepVaeMetrics> metrics;
  for (const Json& m : list) metrics.push_back(deep_metrics_from(m));
  return metrics;
}

}  // namespace

const StoppedMember* DeepRecord::stop_of(int64_t member) const {
  for (const StoppedMember& stop : stopped)
    if (stop.member == member) return &stop;
  return nullptr;
}

size_t best_of(const DeepRecord& record) {
  size_t best = record.metrics.size();
  double elbo = std::nan("");
  for (size_t m = 0; m < record.metrics.size(); ++m)
    if (!record.stop_of(static_cast<int64_t>(m)) && beats(record.metrics[m].elbo, elbo)) {
      best = m;
      elbo = record.metrics[m].elbo;
    }
  if (best == record.metrics.size()) fail("[train] every member was stopped; try a smaller learning rate");
  return best;
}

Json to_json(const DeepRecord& record) {
  Json evaluations = Json::object(), history = Json::array();
  for (const auto& [epoch, metrics] : record.evaluations)
    evaluations[std::to_string(epoch)] = list_of(metrics);
  for (const MemberHistory& member : record.history) {
    Json curves;
    each_curve(member, [&](const char* name, const auto& values) { curves[name] = finite_or_null(values); });
    history.push_back(curves);
  }
  return {{"metrics", list_of(record.metrics)},
          {"evaluations", evaluations},
          {"history", history},
          {"stopped", to_json(record.stopped)}};
}

DeepRecord deep_record_from(const Json& json, const std::vector<Member>& members) {
  DeepRecord record{.members = members,
                    .metrics = metrics_in(json.at("metrics")),
                    .evaluations = {},
                    .history = {},
                    .stopped = {}};
  for (const auto& [epoch, metrics] : json.at("evaluations").items())
    record.evaluations[std::stoll(epoch)] = metrics_in(metrics);
  for (const Json& curves : json.at("history"))
    each_curve(record.history.emplace_back(),
               [&](const char* name, auto& values) { values = numbers_or_nan(curves.at(name)); });
  for (const Json& stop : json.at("stopped")) record.stopped.push_back(stopped_member_from(stop));
  if (record.metrics.size() != members.size() || record.history.size() != members.size())
    fail("[resume] a record is of {} members, not of {}", record.metrics.size(), members.size());
  return record;
}

void append(DeepRecord& record, DeepRecord more) {
  const auto move_to = [](auto& to, auto& from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  };
  for (StoppedMember& stop : more.stopped) stop.member += static_cast<int64_t>(record.members.size());
  move_to(record.members, more.members);
  move_to(record.metrics, more.metrics);
  move_to(record.history, more.history);
  move_to(record.stopped, more.stopped);
  for (auto& [epoch, metrics] : more.evaluations) move_to(record.evaluations[epoch], metrics);
}

}  // namespace elbo
