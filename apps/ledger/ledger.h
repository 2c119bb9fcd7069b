// The ledger: every published line beside what the results in a folder say of it, with a verdict. Reads
// result.json files; runs nothing.
#pragma once

#include <string>
#include <vector>

#include "apps/ledger/publication.h"

namespace elbo::ledger {

/// A file that a run left.
struct KeptResult {
  std::string path;  ///< below the folder: "collapse-quick/result.json"
  Json result;
};
/// Those in the folder's own folders, by path; other JSON files are passed over. Throws where there is no
/// such folder.
std::vector<KeptResult> results_in(const std::string& folder);

struct Entry {
  const Publication* paper;
  const Item* item;
  const Run* run;
  const Line* line;
  const KeptResult* source = nullptr;  ///< null: none says anything of it
  bool run_without_it = false;         ///< a result at the paper's settings says nothing of it
  Reading reading{};
  Comparison comparison{};
  std::vector<std::string> differences{};  ///< "epochs 400 (paper: 1000)"
};

struct Ledger {
  std::vector<Publication> papers;
  std::vector<KeptResult> results;
  std::vector<Entry> entries{};  ///< in the order of papers, items and lines; of each line one

  Ledger(std::vector<Publication> published, std::vector<KeptResult> kept);
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  /// So many lines have this verdict, of one paper or, where that is null, of all.
  int64_t count(Verdict verdict, const Publication* paper = nullptr) const;
  int64_t too_good() const;
};

/// Where a result's settings are not the paper's.
std::vector<std::string> differences_of(const Run& run, const Json& result);

/// The published side and ours as text: "-1011.1 ± 2.7", "-1010.2 ± 3.9 (n = 5)"; the sign is the paper's
/// deviation, and half of our 95 % interval.
std::string paper_text(const Line& line);
std::string here_text(const Entry& entry);
/// "within the paper's error", "not comparable".
std::string verdict_text(const Entry& entry);
/// What makes an item again: "elbo reproduce lucas/fig1", with --quick where that made the result.
std::string command_of(const Item& item, const KeptResult* source);
/// "commit 1f2e3d4, AMD EPYC, 2 threads, 2026-11-21, 28 min"; where other processes helped, "commit 0a1b2c3,
/// AMD EPYC (at 5 units); commit 1f2e3d4, AMD EPYC (at 2 units); put together at" before it.
std::string origin_text(const KeptResult& source);

Json to_json(const Ledger& ledger);
/// One page, complete in itself.
std::string page(const Ledger& ledger);
/// The same for docs/: `from` is the folder that the results are in.
std::string markdown(const Ledger& ledger, const std::string& from);

/// How verdicts are come by, a paragraph each, for both.
const std::vector<std::string>& method_text();

}  // namespace elbo::ledger
