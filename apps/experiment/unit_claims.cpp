#include "apps/experiment/unit_claims.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "apps/support/folder_files.h"
#include "apps/support/result.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

std::string folder_of(const std::string& key, int number) {
  return fmt::format("{}/{}.{}/", kRunning, key, number);
}

bool is_published(const std::string& directory, const std::string& key) {
  std::error_code ignored;
  return fs::exists(fs::path(directory) / key / "unit.json", ignored);
}

void remove(const std::string& folder) {
  std::error_code ignored;
  fs::remove_all(folder, ignored);
}

/// What unit.json now has. Before that is there, whoever takes the unit up needs it.
void remove_of_workers(const std::string& folder) {
  for (const char* name : {kSpent, kOrigins}) remove(folder + "/" + name);
}

}  // namespace

ClaimedUnit::ClaimedUnit(const RunDirectory& directory, const Unit& unit, std::unique_ptr<Lease> lease)
    : directory_(directory),
      part_of_(unit.part_of),
      parts_(unit.parts),
      lease_(std::move(lease)),
      folder_(folder_of(lease_->name(), lease_->number())) {}

void ClaimedUnit::take_up(const Leases& leases) {
  const std::string& key = lease_->name();
  const auto full = [&](const std::string& folder) {
    return (fs::path(directory_.path()) / folder).parent_path().string();  // without the slash
  };
  const std::string mine = full(folder_);
  std::error_code error;
  for (int number = lease_->number() - 1; number > 0 && !resuming_; --number) {
    const std::string theirs = full(folder_of(key, number));
    if (!fs::is_directory(theirs, error)) continue;
    if (leases.is_over(key, number))
      resuming_ = ::rename(theirs.c_str(), mine.c_str()) == 0;
    else
      resuming_ = copy_at_rest(theirs, mine);
  }
  // Where earlier versions worked.
  const std::string own = (fs::path(directory_.path()) / key).string();
  if (!resuming_ && fs::is_directory(own, error) && !fs::exists(own + "/unit.json", error))
    resuming_ = ::rename(own.c_str(), mine.c_str()) == 0;
  if (resuming_) remove_leftovers(mine);
}

bool ClaimedUnit::publish(const Json& kept) {
  const std::string key = lease_->name(), parent = directory_.path();
  const std::string mine = directory_.file(folder_ + "unit.json");
  const std::string working = fs::path(mine).parent_path().string(), own = (fs::path(parent) / key).string();
  bool published = false;
  try {
    if (!lease_->lost()) {
      directory_.write_json(folder_ + "unit.json", kept);
      published = !lease_->lost() && ::rename(working.c_str(), own.c_str()) == 0;
      if (!published && errno != EEXIST && errno != ENOTEMPTY)
        fail("[file] cannot give {} the name {}: {}", quote(working), quote(own),
             std::generic_category().message(errno));
    }
  } catch (const Error&) {
    if (!lease_->lost()) throw;  // else whoever has the unit removed its files
  }
  if (!published) {
    remove(working);
    return false;
  }
  // Of two that ran a part one may come after the whole, which has removed its parts.
  if (!part_of_.empty() && is_published(parent, part_of_)) {
    remove(own);
    return false;
  }
  remove_of_workers(own);
  if (const int descriptor = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); descriptor >= 0) {
    ::fsync(descriptor);
    ::close(descriptor);
  }
  for (int number = lease_->number() - 1; number > 0; --number)
    remove((fs::path(parent) / folder_of(key, number)).string());
  for (const std::string& part : parts_) remove((fs::path(parent) / part).string());
  lease_->finish();
  ::rmdir((fs::path(parent) / kRunning).c_str());  // where it is empty
  return true;
}

void ClaimedUnit::clear_away() {
  const std::string parent = directory_.path();
  if (!is_published(parent, lease_->name()) && (part_of_.empty() || !is_published(parent, part_of_))) return;
  remove((fs::path(parent) / folder_).string());
  ::rmdir((fs::path(parent) / kRunning).c_str());  // where it is empty
}

UnitClaims::UnitClaims(const RunDirectory& directory, double lease)
    : directory_(directory), leases_((fs::path(directory.path()) / kRunning).string(), lease) {}

bool UnitClaims::is_done(const Unit& unit) const {
  // In this order: parts go once the whole is there.
  return is_published(directory_.path(), unit.key) ||
         (!unit.part_of.empty() && is_published(directory_.path(), unit.part_of));
}

bool UnitClaims::is_ready(const Unit& unit) const {
  return std::all_of(unit.parts.begin(), unit.parts.end(),
                     [&](const std::string& part) { return is_published(directory_.path(), part); });
}

bool are_origins(const Json& list) {
  return list.is_array() && std::all_of(list.begin(), list.end(), [](const Json& origin) {
           return origin.is_object() && !origin.contains("units") &&
                  std::all_of(origin.begin(), origin.end(),
                              [](const Json& text) { return text.is_string(); });
         });
}

Json unrecorded_origin() {
  Provenance none;
  none.device.clear();
  return origin_of(none);
}

Json kept_unit(const std::string& directory, const std::string& key) {
  const std::string file = directory + "/" + key + "/unit.json";
  Json kept = read_json(file);
  const auto seconds = kept.is_object() ? kept.value("seconds", Json(0.0)) : Json();
  if (!kept.is_object() || !kept.contains("result") || !seconds.is_number())
    fail("[--resume] {} holds no result of a unit and its \"seconds\"; remove it to run the unit again",
         quote(file));
  // Earlier versions did not say by whom the unit was run,
  if (!kept.contains("origins")) kept["origins"] = Json::array({unrecorded_origin()});
  if (!are_origins(kept["origins"]))
    fail("[--resume] {} does not say by its \"origins\" who ran the unit; remove it to run the unit again",
         quote(file));
  // nor which unit it is.
  if (const Json of = kept.value("key", Json(key)); of != Json(key))
    fail("[--resume] {} is the result of another unit, {}; remove it to run this one", quote(file),
         of.dump());
  return kept;
}

std::unique_ptr<ClaimedUnit> UnitClaims::take(const Unit& unit, const std::string& worker) {
  if (is_done(unit)) return nullptr;
  const std::lock_guard guard(mutex_);
  try {
    std::unique_ptr<Lease> lease = leases_.take(unit.key, worker);
    if (!lease) return nullptr;
    if (is_done(unit)) {  // published between the two looks
      lease->finish();
      return nullptr;
    }
    std::unique_ptr<ClaimedUnit> claimed(new ClaimedUnit(directory_, unit, std::move(lease)));
    claimed->take_up(leases_);
    return claimed;
  } catch (const Error&) {
    if (!is_done(unit)) throw;
    return nullptr;  // the run has ended while this process was frozen, and all claims have gone with it
  }
}

void UnitClaims::tidy(const std::vector<Unit>& units) const {
  const fs::path parent = directory_.path();
  remove((parent / kRunning).string());
  for (const Unit& unit : units) {
    const std::string folder = (parent / unit.key).string();
    remove_of_workers(folder);
    if (!unit.part_of.empty() && is_published(parent.string(), unit.part_of)) remove(folder);
  }
}

}  // namespace elbo
