#include "apps/training/model_folder.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

constexpr const char* kList = "members/members.json";

bool holds_models(const fs::path& directory) {
  return fs::exists(directory / model_name(true, 0)) || fs::is_directory(directory / "members");
}

/// The folder that has the models: of an experiment of one unit, that unit's.
std::string folder_with_models(const std::string& directory) {
  if (holds_models(directory)) return directory;
  std::vector<std::string> folders;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory))
    if (entry.is_directory() && holds_models(entry.path())) folders.push_back(entry.path().string());
  std::sort(folders.begin(), folders.end());
  if (folders.size() == 1) return folders[0];
  if (folders.empty())
    fail("[load] {} holds no trained model; a run has one when it is finished", quote(directory));
  fail("[load] {} holds models in folders of their own; name one: {}", quote(directory),
       fmt::join(folders, ", "));
}

int64_t best_member(const std::string& directory) {
  const fs::path list = fs::path(directory) / kList;
  if (!fs::exists(list)) fail("[--member] {} does not say which of its models is the best", quote(directory));
  const Json json = read_json(list.string());
  if (!json.is_object() || !json.contains("best") || !json["best"].is_number_integer())
    fail("[--member] {} names no best model; name one", quote(list.string()));
  return json["best"];
}

}  // namespace

std::string model_name(bool alone, int64_t member) {
  return alone ? "model.safetensors" : fmt::format("members/{:02}.safetensors", member);
}

void write_member_list(const RunDirectory& run, const std::string& folder,
                       const std::vector<SavedMember>& members) {
  Json list = Json::array(), best = nullptr;
  double highest = -INFINITY;
  for (const SavedMember& m : members) {
    const bool finite = std::isfinite(m.elbo);
    list.push_back(
        {{"member", m.member}, {"setting", m.setting}, {"elbo", finite ? Json(m.elbo) : Json(nullptr)}});
    if (!finite || m.elbo <= highest) continue;
    highest = m.elbo;
    best = m.member;
  }
  run.write_json(folder + kList, {{"best", best}, {"members", list}});
}

std::vector<SavedMember> read_member_list(const RunDirectory& run, const std::string& folder) {
  const std::string file = run.path() + "/" + folder + kList;
  const Json json = read_json(file);
  std::vector<SavedMember> members;
  try {
    for (const Json& m : json.at("members"))
      members.push_back({m.at("member"), m.at("setting"), number_or_nan(m.at("elbo"))});
  } catch (const nlohmann::json::exception&) {
    fail("[load] {} is no list of models; was it edited by hand?", quote(file));
  }
  return members;
}

std::string find_model(const std::string& run, int64_t member) {
  const std::string directory = folder_with_models(run);
  const fs::path single = fs::path(directory) / model_name(true, 0);
  if (fs::exists(single)) {
    if (member > 0) fail("[--member] {} holds one model only", quote(directory));
    return single.string();
  }
  if (member < 0) member = best_member(directory);
  const fs::path path = fs::path(directory) / model_name(false, member);
  if (!fs::exists(path)) fail("[--member] {} has no member {}", quote(directory), member);
  return path.string();
}

}  // namespace elbo
