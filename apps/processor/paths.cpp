#include "apps/processor/paths.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "apps/processor/processor.h"

// What cmake/paths.cmake builds: the names after the first, each with a space behind it, and where they are
// installed, seen from the folder of the first.
#ifndef ELBO_PATHS
#  define ELBO_PATHS ""
#endif
#ifndef ELBO_INSTALLED_PATHS
#  define ELBO_INSTALLED_PATHS "../libexec/elbo"
#endif

namespace elbo::processor {
namespace {

constexpr const char* kBaseline = "baseline";

/// The extensions of a level of x86-64, as its ABI defines them. Of one that is not known, more than any
/// processor has.
uint64_t needs_of(const std::string& level) {
#if defined(__x86_64__)
  constexpr uint64_t v2 = bit(sse3) | bit(ssse3) | bit(sse4_1) | bit(sse4_2) | bit(popcnt);
  constexpr uint64_t v3 =
      v2 | bit(avx) | bit(avx2) | bit(bmi) | bit(bmi2) | bit(f16c) | bit(fma) | bit(lzcnt) | bit(movbe);
  constexpr uint64_t v4 = v3 | bit(avx512f) | bit(avx512bw) | bit(avx512cd) | bit(avx512dq) | bit(avx512vl);
  if (level == "v2") return v2;
  if (level == "v3") return v3;
  if (level == "v4") return v4;
#endif
  return level.empty() ? 0 : ~uint64_t{0};
}

std::string names_of(const std::vector<Path>& paths) {
  std::string names;
  for (const Path& path : paths) names += (names.empty() ? "" : ", ") + path.name;
  return names;
}

}  // namespace

const std::vector<Path>& all_paths() {
  static const std::vector<Path> all = [] {
    const std::string rest = ELBO_PATHS;
    std::vector<Path> paths{{rest.empty() ? own_path : kBaseline, 0}};
    for (size_t begin = 0, end; begin < rest.size(); begin = end + 1) {
      end = rest.find(' ', begin);
      const std::string name = rest.substr(begin, end - begin);
      paths.push_back({name, needs_of(name)});
    }
    return paths;
  }();
  return all;
}

std::string file_of_path(const std::string& called, const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(called).parent_path();
  for (const std::filesystem::path& paths : {folder, folder / ELBO_INSTALLED_PATHS}) {
    const std::string file = (paths / path / "elbo").lexically_normal().string();
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return "";
}

Choice choose_path(const std::vector<Path>& paths, const char* wanted, uint64_t present,
                   const std::function<bool(const std::string&)>& has_file) {
  const auto is_there = [&](const Path& path) { return &path == &paths.front() || has_file(path.name); };
  if (!wanted || !*wanted) {
    for (auto path = paths.rbegin(); path != paths.rend(); ++path)
      if ((path->needs & ~present) == 0 && is_there(*path)) return {path->name, ""};
    return {paths.front().name, ""};
  }
  const std::string asked = "[ELBO_CPU] it is '" + std::string(wanted) + "', ";
  for (const Path& path : paths) {
    if (path.name != wanted) continue;
    char missing[300];
    if (list_missing(path.needs, present, missing, sizeof missing))
      return {"", asked + "which needs " + missing + ", and this processor lacks that; unset ELBO_CPU"};
    if (!is_there(path))
      return {"", asked + "whose program was not found; build or install all of elbo, or unset ELBO_CPU"};
    return {path.name, ""};
  }
  if (paths.size() == 1)
    return {"", asked + "but this elbo has one path, " + paths.front().name +
                    "; unset ELBO_CPU, or build elbo with -D ELBO_NATIVE=OFF"};
  return {"", asked + "but the paths of this elbo are " + names_of(paths)};
}

Program program_to_run(const std::string& called) {
  if (called.empty()) return {called, ""};  // nobody says where the others would be
  const bool is_first = all_paths().front().name == own_path;
  const std::vector<Path> itself{{own_path, 0}};
  const Choice choice =
      choose_path(is_first ? all_paths() : itself, std::getenv("ELBO_CPU"), available(),
                  [&](const std::string& path) { return !file_of_path(called, path).empty(); });
  if (!choice.error.empty()) return {"", choice.error};
  return {choice.path == own_path ? called : file_of_path(called, choice.path), ""};
}

}  // namespace elbo::processor
