// elbo data: the data sets that are found and those that are missing; elbo data fetch gets one.

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/support/interrupt.h"
#include "apps/support/json.h"
#include "apps/support/table.h"
#include "apps/training/fetch.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

struct Options : FetchOptions {
  std::string action, name;
  bool json = false;
};

/// "60000", or "3000 of 10000" where some are missing.
std::string count_text(int64_t found, int64_t published) {
  return found >= published ? std::to_string(found) : fmt::format("{} of {}", found, published);
}

void list(const Options& o) {
  Table table({"data set", "found in", Table::number("training points"), Table::number("test points"),
               "how to get it"});
  Json rows = Json::array();
  std::string faults;
  for (const DatasetKind& kind : dataset_kinds()) {
    Json row{{"name", kind.name}, {"summary", kind.summary}};
    if (kind.argument.starts_with('[') && kind.has_path) {
      const PublishedData& data = published_data(kind.name);
      const FoundPublished found = find_published(data);
      const std::string get = found.complete(data) ? "" : "elbo data fetch " + data.name;
      row["folder"] = found.folder ? Json(*found.folder) : Json(nullptr);
      row["points"] = {{"train", found.train}, {"test", found.test}};
      row["published"] = {{"train", data.train}, {"test", data.test}};
      row["complete"] = found.complete(data);
      row["how_to_get_it"] = get;
      if (!found.fault.empty()) {
        row["fault"] = found.fault;
        faults += fmt::format("{}: {}\n", kind.name, found.fault);
      }
      table.row({kind.name, found.folder.value_or("not found"), count_text(found.train, data.train),
                 count_text(found.test, data.test), get});
    } else {
      const bool generated = kind.generates();
      const std::string get = fmt::format("--data {}{}", kind.name, kind.argument);
      row["generated"] = generated;
      row["how_to_get_it"] = get;
      table.row(
          {kind.name, generated ? "generated" : "files of your own", "any", generated ? "any" : "", get});
    }
    rows.push_back(row);
  }
  if (o.json) {
    fmt::print("{}", json_text({{"looked_in", data_directories()}, {"data", rows}}));
    return;
  }
  fmt::print("{}\n{}Looked for in {}, in this order.\n", table.text(), faults.empty() ? "" : faults + "\n",
             fmt::join(data_directories(), ", "));
}

/// How a command names the data that lie in `folder`.
std::string specification(const PublishedData& data, const std::string& folder) {
  const std::optional<std::string> found = data.find();
  std::error_code ignored;
  return found && std::filesystem::equivalent(*found, folder, ignored) ? data.name : data.name + ":" + folder;
}

void fetch_one(Options o) {
  if (o.name.empty()) fail("[data] name the data set to fetch; see elbo data");
  const PublishedData& data = published_data(o.name);
  if (o.folder.empty()) o.folder = "data/" + data.name;
  o.quiet = o.json;
  std::vector<FetchedFile> files;
  {
    const InterruptGuard guard;
    files = fetch(data, o);
  }
  const std::string spec = specification(data, o.folder);
  Json rows = Json::array();
  for (const FetchedFile& file : files)
    rows.push_back({{"path", file.path}, {"from", file.from.empty() ? Json(nullptr) : Json(file.from)}});
  if (o.json)
    fmt::print("{}", json_text({{"name", data.name}, {"folder", o.folder}, {"data", spec}, {"files", rows}}));
  else
    fmt::print("{} is complete in {}; use it with --data {}\n", data.title, quote(o.folder), spec);
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  std::vector<std::string> names;
  for (const PublishedData& data : published_data()) names.push_back(data.name);
  const Argument action =
      arguments.add_text("action", o->action, "Fetch a data set rather than list them all").one_of({"fetch"});
  arguments.add_text("name", o->name, "The data set to fetch").one_of(names);
  arguments.add_text("--out", o->folder, "Folder that its files go to (data/NAME)").needs(action);
  arguments
      .add_texts("--mirror", o->mirrors,
                 "Address of a folder with the files, in place of those that are known; several are tried in "
                 "turn")
      .needs(action);
  arguments
      .add_number("--timeout", o->patience, "Give up a server that sends nothing for so many seconds",
                  kPositive)
      .show_default()
      .needs(action);
  arguments.add_flag("--json", o->json, "Print as JSON");
  arguments.footer(
      "A transfer that breaks off is gone on with next time. Sizes and SHA-256 of all files are checked.");
  arguments.run([o] {
    if (o->action.empty())
      list(*o);
    else
      fetch_one(*o);
  });
}

}  // namespace

const Command data_command{"data", "List the data sets that are found; fetch those that are not", "", "",
                           add_options};

}  // namespace elbo
