#include "apps/experiment/parts.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "apps/experiment/unit_claims.h"
#include "apps/training/model_folder.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

/// Joining takes little beside training.
constexpr double kCostOfJoining = 0.01;

std::vector<MemberRange> ranges_of(int64_t members, int64_t most) {
  const int64_t parts = (members + most - 1) / most;
  std::vector<MemberRange> ranges;
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t first = members * i / parts;
    ranges.push_back({first, members * (i + 1) / parts - first});
  }
  return ranges;
}

std::string key_of_part(const Unit& whole, const MemberRange& range) {
  return fmt::format("{}.members-{}-{}", whole.key, range.first, range.first + range.count - 1);
}

Unit part_of(const Unit& whole, const MemberRange& range) {
  const auto share = static_cast<double>(range.count) / static_cast<double>(whole.ensemble->members);
  return {.key = key_of_part(whole, range),
          .title = range.count == 1 ? fmt::format("{}, member {}", whole.title, range.first)
                                    : fmt::format("{}, members {} to {}", whole.title, range.first,
                                                  range.first + range.count - 1),
          .cost = whole.cost * share,
          .run = [run = whole.ensemble->run, range](const UnitPlace& place) { return run(place, range); },
          .part_of = whole.key};
}

Unit joined(const Unit& whole, const std::vector<MemberRange>& ranges) {
  Unit unit = whole;
  unit.cost *= kCostOfJoining;
  for (const MemberRange& range : ranges) unit.parts.push_back(key_of_part(whole, range));
  unit.run = [join = whole.ensemble->join, ranges, keys = unit.parts](const UnitPlace& place) {
    std::vector<PartOutcome> parts;
    for (size_t i = 0; i < keys.size(); ++i)
      parts.push_back(
          {ranges[i], keys[i] + "/", std::move(kept_unit(place.directory.path(), keys[i])["result"])});
    return join(place, parts);
  };
  return unit;
}

/// A part's file, once more: a second name of the same file, or a copy.
void put_again(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::remove(to, error);  // of a process that was broken off at this
  fs::create_hard_link(from, to, error);
  if (error) fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  if (error) fail("[file] cannot copy {} to {}: {}", quote(from), quote(to), error.message());
}

}  // namespace

std::vector<Unit> in_parts(const std::vector<Unit>& units, int64_t most) {
  if (most == 0) return units;
  std::vector<Unit> all;
  for (const Unit& unit : units) {
    if (!unit.ensemble || unit.ensemble->members <= most) {
      all.push_back(unit);
      continue;
    }
    const std::vector<MemberRange> ranges = ranges_of(unit.ensemble->members, most);
    for (const MemberRange& range : ranges) all.push_back(part_of(unit, range));
    all.push_back(joined(unit, ranges));
  }
  if (all.size() == units.size())
    fail(
        "[--split] no unit here is an ensemble of more than {} members that could run in parts; leave it "
        "away",
        most);
  return all;
}

Unit as_ensemble(Unit unit, EnsembleParts ensemble) {
  unit.run = [run = ensemble.run, all = MemberRange{0, ensemble.members}](const UnitPlace& place) {
    return run(place, all);
  };
  unit.ensemble = std::move(ensemble);
  return unit;
}

void append(Json& list, const Json& more) { list.insert(list.end(), more.begin(), more.end()); }

void join_models(const UnitPlace& place, const std::vector<PartOutcome>& parts) {
  std::vector<SavedMember> list;
  for (const PartOutcome& part : parts)
    for (SavedMember& member : read_member_list(place.directory, part.folder)) {
      const std::string name = model_name(false, member.member);
      const std::string from = place.directory.path() + "/" + part.folder + name;
      if (fs::exists(from)) put_again(from, place.directory.file(place.folder + name));
      list.push_back(std::move(member));
    }
  write_member_list(place.directory, place.folder, list);
}

}  // namespace elbo
