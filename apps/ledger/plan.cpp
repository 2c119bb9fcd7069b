#include "apps/ledger/plan.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <set>

#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo::ledger {
namespace {

/// Levenshtein's distance.
size_t edits_between(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    size_t corner = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, corner + (a[i] == b[j] ? 0 : 1)});
      corner = above;
    }
  }
  return row[b.size()];
}

/// The ids that the user means.
std::set<std::string> chosen_ids(const std::vector<Publication>& papers,
                                 const std::vector<std::string>& asked) {
  std::vector<std::string> names{"all"};
  for (const Publication& paper : papers) {
    names.push_back(paper.key);
    for (const Item& item : paper.items) names.push_back(item.id);
  }
  std::set<std::string> chosen;
  for (const std::string& id : asked) {
    if (std::find(names.begin(), names.end(), id) == names.end())
      fail("[reproduce] there is no figure or table {}; did you mean {}? elbo list has all of them",
           quote(id), fmt::join(names_like(id, names), ", "));
    for (const Publication& paper : papers)
      for (const Item& item : paper.items)
        if (id == "all" || id == paper.key || id == item.id) chosen.insert(item.id);
  }
  return chosen;
}

bool is_there(const std::string& folder, const std::vector<std::string>& only) {
  namespace fs = std::filesystem;
  if (!fs::exists(folder + "/result.json")) return false;
  // A result of some units says which; others may have been done since.
  const Json units = value_at(read_json(folder + "/result.json"), "metrics.units");
  const bool of_some = units.is_object() && units.contains("of");
  if (only.empty()) return !of_some;
  const Json here = of_some ? units.value("here", Json::array()) : Json::array();
  return std::all_of(only.begin(), only.end(), [&](const std::string& key) {
    return fs::exists(folder + "/" + key + "/unit.json") &&
           (!of_some || std::find(here.begin(), here.end(), Json(key)) != here.end());
  });
}

/// Settles what state a job is in, and its command line.
void settle(Job& job, const ReproduceOptions& o) {
  constexpr std::string_view kCeleba = "{celeba}";
  bool needs_celeba = false;
  job.words = {job.run->command};
  const auto add = [&](const std::string& word) {
    const size_t at = word.find(kCeleba);
    needs_celeba = needs_celeba || at != std::string::npos;
    std::string own = word;
    if (at != std::string::npos) own.replace(at, kCeleba.size(), o.celeba.empty() ? "CELEBA" : o.celeba);
    job.words.push_back(own);
  };
  const bool begun = std::filesystem::exists(job.folder + "/config.json");
  if (begun) {
    job.words.insert(job.words.end(), {"--resume", job.folder});
  } else {
    for (const std::string& word : job.run->arguments) add(word);
    for (const std::string& word : o.quick ? job.run->quick : job.run->full) add(word);
    job.words.insert(job.words.end(), {"--out", job.folder});
  }
  if (!job.only.empty())
    job.words.insert(job.words.end(), {"--only", fmt::format("{}", fmt::join(job.only, ","))});
  if (o.threads > 0) job.words.insert(job.words.end(), {"--threads", std::to_string(o.threads)});
  job.state = is_there(job.folder, job.only)     ? Job::State::done
              : begun                            ? Job::State::begun
              : needs_celeba && o.celeba.empty() ? Job::State::no_data
                                                 : Job::State::to_run;
}

}  // namespace

std::vector<std::string> names_like(const std::string& name, const std::vector<std::string>& names) {
  constexpr size_t kShown = 3;
  std::vector<std::string> nearest = names;
  std::stable_sort(nearest.begin(), nearest.end(), [&](const std::string& a, const std::string& b) {
    return edits_between(name, a) < edits_between(name, b);
  });
  nearest.resize(std::min(nearest.size(), kShown));
  return nearest;
}

std::vector<Job> jobs_for(const std::vector<Publication>& papers, const ReproduceOptions& o) {
  const std::set<std::string> chosen = chosen_ids(papers, o.ids);
  std::vector<Job> jobs;
  for (const Publication& paper : papers)
    for (const Run& run : paper.runs) {
      Job job{.run = &run, .folder = o.folder + "/" + run.key + (o.quick ? "-quick" : "")};
      bool all = false;
      for (const Item& item : paper.items) {
        if (item.run != run.key || !chosen.contains(item.id)) continue;
        job.ids.push_back(item.id);
        const std::vector<std::string>& only = o.quick ? item.quick_only : item.only;
        all = all || only.empty();
        for (const std::string& key : only)
          if (std::find(job.only.begin(), job.only.end(), key) == job.only.end()) job.only.push_back(key);
      }
      if (job.ids.empty()) continue;
      if (all) job.only.clear();
      settle(job, o);
      jobs.push_back(std::move(job));
    }
  return jobs;
}

}  // namespace elbo::ledger
