// The arrows between the folders: each file includes from its own folder and from those below it, as
// docs/design.md draws them, and from nowhere else.
#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <string>

#include "tensor/file.h"
#include "tests/source_file.h"

namespace elbo {
namespace {

using Folders = std::set<std::string>;

/// For each folder, those it may include from besides itself.
std::map<std::string, Folders> house() {
  const auto with = [](Folders folders, const Folders& more) {
    folders.insert(more.begin(), more.end());
    return folders;
  };
  const Folders models{"tensor", "autograd", "nn", "datasets", "vae"};
  const Folders training = with(models, {"apps/support"});
  const Folders reports = with(training, {"apps/training"});
  const Folders room =
      with(reports, {"apps", "apps/reports", "apps/experiment", "apps/ledger"});  // "apps": its command.h
  return {{"tensor", {}},
          {"autograd", {"tensor"}},
          {"nn", {"tensor", "autograd"}},
          {"datasets", {"tensor"}},
          {"vae", {"tensor", "autograd", "nn"}},
          {"apps/processor", {}},
          {"apps/support", {"tensor"}},
          {"apps/training", training},
          {"apps/reports", reports},
          {"apps/experiment", reports},
          {"apps/ledger", {"apps/support", "datasets", "tensor"}},
          {"apps/commands", with(room, {"apps/processor"})},
          {"apps/bench", room},
          {"apps/lucas", room},
          {"apps/luecke", room},
          {"apps/yacoby", room},
          {"apps/asperti", room},
          {"apps", {"apps/processor", "apps/support", "tensor"}}};
}

/// The room that a file lies in: "tensor" for tensor/cuda/device.h, "apps/support" for apps/support/csv.h.
std::string room_of(const std::string& file, const std::map<std::string, Folders>& house) {
  std::filesystem::path folder = std::filesystem::path(file).parent_path();
  while (!folder.empty() && !house.contains(folder.string())) folder = folder.parent_path();
  return folder.string();
}

/// Adds a file to `seen`, with all that it includes of elbo, itself or through others.
void gather_included(const std::string& file, std::set<std::string>& seen) {
  if (!std::filesystem::exists(source_file(file)) || !seen.insert(file).second) return;
  const std::string text = "\n" + read_file(source_file(file));
  const std::regex include("\n#\\s*include \"([^\"]+)\"");
  for (std::sregex_iterator it(text.begin(), text.end(), include), end; it != end; ++it)
    gather_included((*it)[1], seen);
}

}  // namespace

TEST_SUITE("docs") {
  TEST_CASE("a program with models and a training loop includes nothing that makes kernels") {
    int headers = 0;
    for (const char* folder : {"autograd", "nn", "datasets", "vae"})
      for (const auto& entry : std::filesystem::directory_iterator(source_file(folder))) {
        const std::string file = folder + ("/" + entry.path().filename().string());
        // The files that are for other kernels, or ops, alone.
        const bool makes_ops =
            file == "autograd/contribute.h" || file == "autograd/pointwise.h" || file.ends_with("_device.h");
        if (entry.path().extension() != ".h" || makes_ops) continue;
        std::set<std::string> included;
        gather_included(file, included);
        CAPTURE(file);
        CHECK_FALSE(included.contains("tensor/map_loops.h"));
        CHECK_FALSE(included.contains("tensor/cuda/kernel.h"));
        CHECK(included.contains(file));
        ++headers;
      }
    CHECK(headers > 60);
  }

  TEST_CASE("no folder includes from one that is not below it") {
    const auto rooms = house();
    const std::regex include("\n#\\s*include \"([^\"]+)\"");
    int files = 0, includes = 0;
    for (const char* top : {"tensor", "autograd", "nn", "datasets", "vae", "apps"})
      for (const auto& entry : std::filesystem::recursive_directory_iterator(source_file(top))) {
        const std::string kind = entry.path().extension().string();
        if (kind != ".h" && kind != ".cpp") continue;
        const std::string file = std::filesystem::relative(entry.path(), source_file("")).string();
        CAPTURE(file);
        const std::string room = room_of(file, rooms), text = "\n" + read_file(entry.path().string());
        REQUIRE(rooms.contains(room));
        ++files;
        for (std::sregex_iterator it(text.begin(), text.end(), include), end; it != end; ++it) {
          const std::string other = room_of((*it)[1], rooms);
          CAPTURE((*it)[1].str());
          CHECK((other == room || rooms.at(room).contains(other)));
          ++includes;
        }
      }
    CHECK(files > 200);
    CHECK(includes > 600);
  }

  TEST_CASE(
      "command.h is all that a room sees of the folder apps/, and all that main.cpp sees of the rooms") {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(source_file("apps"))) {
      const std::string kind = entry.path().extension().string();
      if (kind != ".h" && kind != ".cpp") continue;
      const std::string text = "\n" + read_file(entry.path().string());
      const std::regex include("\n#\\s*include \"apps/([^/\"]+)\"");
      for (std::sregex_iterator it(text.begin(), text.end(), include), end; it != end; ++it) {
        CAPTURE(entry.path().string());
        CHECK((*it)[1].str() == "command.h");
      }
    }
  }
}

}  // namespace elbo
