// The ledger on results that were made up for it: every figure and table has a name, a command and lines; a
// result with the paper's own numbers is within its error; other settings are not compared; what was not run
// is shown.
#include "apps/ledger/ledger.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "apps/command.h"
#include "apps/ledger/plan.h"
#include "apps/lucas/tables.h"
#include "tensor/file.h"
#include "tests/error_of.h"
#include "tests/temporary_directory.h"

using namespace elbo;
using ledger::Entry;
using ledger::Job;
using ledger::Verdict;

namespace {

/// Every figure and table of the four papers, and sections that claim numbers. Left out: Asperti's Fig 6, a
/// drawing; Yacoby's App. D and Lücke's Prop. 1 and Cor. 2, which tests show.
const std::set<std::string> kAll{
    "lucas/fig1",   "lucas/fig2",   "lucas/fig3",     "lucas/fig4",   "lucas/table1",  "lucas/fig5",
    "lucas/fig6",   "lucas/table2", "lucas/table3",   "lucas/table4", "lucas/table5",  "lucas/fig7",
    "lucas/fig8",   "lucas/fig9",   "lucas/fig10",    "lucas/fig11",  "lucas/fig12",   "lucas/fig13",
    "luecke/fig1a", "luecke/fig1b", "luecke/fig1c",   "luecke/fig2a", "luecke/fig2b",  "luecke/fig2c",
    "luecke/fig3a", "luecke/fig3b", "luecke/fig3c",   "luecke/appA",  "yacoby/fig1ab", "yacoby/fig1cf",
    "yacoby/fig2",  "yacoby/fig3",  "yacoby/fig4",    "yacoby/fig5",  "yacoby/table1", "yacoby/caseC1",
    "asperti/fig1", "asperti/fig2", "asperti/table1", "asperti/fig3", "asperti/fig4",  "asperti/fig5",
    "asperti/sec5", "asperti/fig7", "asperti/sec6",   "asperti/sec7"};

std::vector<ledger::Publication> papers() {
  return {lucas_publication(), luecke_publication(), yacoby_publication(), asperti_publication()};
}

/// What `collapse` would leave at the paper's settings, with its own Table 2 as the numbers.
Json table2_again() {
  constexpr double kConstant = 272.6;
  Json rows = Json::array();
  for (const PaperRow& row : lucas_tables()[0].rows)
    rows.push_back({{"sigma2", row.sigma2},
                    {"learned", row.learned},
                    {"annealed", false},
                    {"trials", 5},
                    {"elbo", row.elbo - kConstant},
                    {"elbo_deviation", row.elbo_deviation},
                    {"elbo_tuned", row.elbo_tuned - kConstant},
                    {"elbo_tuned_deviation", row.elbo_tuned_deviation},
                    {"sigma2_final", row.final_sigma2},
                    {"sigma2_final_deviation", 1e-5},
                    {"sigma2_tuned", row.sigma2_tuned},
                    {"sigma2_tuned_deviation", 1e-5},
                    {"collapse_percent", row.collapse_percent},
                    {"collapse_percent_deviation", 1e-3},
                    {"kl", row.kl},
                    {"kl_deviation", row.kl_deviation}});
  return {{"command", "collapse"},
          {"config",
           {{"preprocess", "logit"},
            {"annealed", false},
            {"hidden", "1024,512"},
            {"latent", 200},
            {"epochs", 1000},
            {"lr", {1e-4, 3e-4, 1e-3, 3e-3}},
            {"members", 5}}},
          {"metrics", {{"rows", rows}, {"paper_constant", kConstant}}},
          {"provenance",
           {{"version", "0.1.0"},
            {"commit", "1f2e3d4"},
            {"cpu", "a <processor>"},
            {"threads", 2},
            {"data", {{"name", "mnist"}, {"N", 60000}}},
            {"started", "2024-01-31T12:05:01Z"},
            {"wall_seconds", 200}}}};
}

std::vector<const Entry*> entries_of(const ledger::Ledger& all, const std::string& id) {
  std::vector<const Entry*> own;
  for (const Entry& entry : all.entries)
    if (entry.item->id == id) own.push_back(&entry);
  return own;
}

int64_t count(const std::vector<const Entry*>& entries, Verdict verdict) {
  return std::count_if(entries.begin(), entries.end(),
                       [&](const Entry* e) { return e->comparison.verdict == verdict; });
}

size_t occurrences(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++found;
  return found;
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("every figure and table of the papers has a name, a run and lines") {
    std::set<std::string> ids, runs;
    for (const ledger::Publication& paper : papers()) {
      for (const ledger::Run& run : paper.runs) CHECK(runs.insert(run.key).second);
      for (const ledger::Item& item : paper.items) {
        CAPTURE(item.id);
        CHECK(ids.insert(item.id).second);
        CHECK(item.id.starts_with(paper.key + "/"));
        CHECK(runs.contains(item.run));
        CHECK(std::any_of(paper.lines.begin(), paper.lines.end(),
                          [&](const ledger::Line& line) { return line.item == item.id; }));
      }
    }
    CHECK(ids == kAll);
  }

  TEST_CASE("lines without a result are not run, and none is hidden") {
    const ledger::Ledger all(papers(), {});
    size_t lines = 0;
    for (const ledger::Publication& paper : all.papers) lines += paper.lines.size();
    CHECK(all.entries.size() == lines);
    for (const Entry& entry : all.entries) {
      const bool unlike = !entry.line->unlike.empty();
      CHECK(entry.comparison.verdict == (unlike ? Verdict::not_comparable : Verdict::not_run));
    }
    CHECK(to_json(all).at("lines").size() == lines);
    const std::string text = markdown(all, "nowhere");
    CHECK(occurrences(text, "\n| ") - occurrences(text, "\n| what") >= lines);
    CHECK(occurrences(page(all), "<tr><td>") + occurrences(page(all), "<tr class=\"none\"><td>") >= lines);
  }

  TEST_CASE("a table's own numbers are within its error, but where it contradicts itself") {
    const ledger::Ledger all(papers(), {{"collapse/result.json", table2_again()}});
    const auto own = entries_of(all, "lucas/table2");
    REQUIRE(own.size() == 110);
    CHECK(count(own, Verdict::within_error) == 100);
    CHECK(count(own, Verdict::not_comparable) == 10);
    for (const Entry* entry : own)
      if (entry->comparison.verdict == Verdict::not_comparable) {
        CHECK((entry->line->what.starts_with("σ² fixed at 0.003") ||
               entry->line->what.starts_with("σ² fixed at 0.001")));
        CHECK(entry->comparison.why.find("cannot have made") != std::string::npos);
      }
    CHECK(count(entries_of(all, "lucas/fig5"), Verdict::holds) == 1);
    CHECK(count(entries_of(all, "lucas/table3"), Verdict::not_run) > 50);
    const Json line = to_json(all).at("lines").at(20);
    for (const char* name : {"paper", "here", "verdict", "why", "command", "commit", "cpu", "wall_seconds"})
      CHECK(line.contains(name));
  }

  TEST_CASE("a data set is the same in whichever folder it lies") {
    Json result = table2_again();
    result["provenance"]["data"]["name"] = "mnist:elsewhere";
    const ledger::Ledger all(papers(), {{"result.json", result}});
    CHECK(count(entries_of(all, "lucas/table2"), Verdict::within_error) == 100);
    const ledger::Run run{
        .key = "run", .command = "run", .settings = {{"provenance.data.name", "data", "mnist"}}};
    CHECK(ledger::differences_of(run, result).empty());
    result["provenance"]["data"]["name"] = "fashion-mnist:mnist";
    CHECK(ledger::differences_of(run, result) ==
          std::vector<std::string>{"data fashion-mnist (paper: mnist)"});
  }

  TEST_CASE("other settings are listed and not compared; a better number is marked") {
    Json result = table2_again();
    result["config"]["epochs"] = 400;
    result["provenance"]["data"]["N"] = 5000;
    const ledger::Ledger quick(papers(), {{"collapse/result.json", result}});
    const auto own = entries_of(quick, "lucas/table2");
    CHECK(count(own, Verdict::not_comparable) == 110);
    CHECK(own[0]->differences ==
          std::vector<std::string>{"images 5000 (paper: 60000)", "epochs 400 (paper: 1000)"});
    // More trials are no difference, and the nearer of two results is taken.
    Json more = table2_again();
    more["config"]["members"] = 8;
    for (Json& row : more["metrics"]["rows"]) row["elbo"] = row["elbo"].get<double>() + 90000;
    const ledger::Ledger both(papers(), {{"a/result.json", result}, {"b/result.json", more}});
    const auto nearer = entries_of(both, "lucas/table2");
    CHECK(nearer[0]->source->path == "b/result.json");
    CHECK(nearer[0]->differences.empty());
    CHECK(both.too_good() > 5);
    CHECK(page(both).find("different, too good") != std::string::npos);
  }

  TEST_CASE("of two results that are as near the newer is read") {
    Json older = table2_again(), newer = table2_again();
    newer["provenance"]["started"] = "2024-02-01T00:00:00Z";
    for (const bool first : {false, true}) {
      const ledger::Ledger both(
          papers(), {{"a/result.json", first ? newer : older}, {"b/result.json", first ? older : newer}});
      CHECK(entries_of(both, "lucas/table2")[0]->source->path == (first ? "a/result.json" : "b/result.json"));
    }
  }

  TEST_CASE("a result of other units says nothing of a figure, not even that it was run") {
    const ledger::Publication paper{
        .key = "p",
        .title = "P",
        .runs = {{.key = "run", .command = "run"}},
        .items = {{.id = "p/fig1", .title = "F", .run = "run", .only = {"a", "b"}, .quick_only = {"c"}}},
        .lines = {ledger::picture_line("p/fig1", "a picture", "yes"),
                  ledger::claim_line("p/fig1", "nearer", "yes")}};
    const auto entries = [&](const Json& units, bool quick) {
      Json result{{"command", "run"},
                  {"config", {{"quick", quick}}},
                  {"metrics", Json::object()},
                  {"provenance", {{"started", ""}}}};
      if (!units.is_null()) result["metrics"]["units"] = {{"here", units}, {"of", 3}};
      const ledger::Ledger of({paper}, {{"run/result.json", result}});
      return std::pair(of.entries.at(0).comparison.verdict, of.entries.at(1).run_without_it);
    };
    CHECK(entries({"a", "c"}, false) == std::pair(Verdict::not_run, false));
    CHECK(entries({"a", "b"}, false) == std::pair(Verdict::not_comparable, true));
    CHECK(entries({"a", "b"}, true) == std::pair(Verdict::not_run, false));
    CHECK(entries({"c"}, true) == std::pair(Verdict::not_comparable, true));
    CHECK(entries(nullptr, false) == std::pair(Verdict::not_comparable, true));
  }

  TEST_CASE("a figure made from all units is not judged by a part of them") {
    Json part = table2_again();
    CHECK(count(entries_of(ledger::Ledger(papers(), {{"a/result.json", part}}), "lucas/table2"),
                Verdict::within_error) > 0);
    part["metrics"]["units"] = {{"here", {"lr-0.001-trial-0"}}, {"of", 20}};
    const ledger::Ledger of_part(papers(), {{"a/result.json", part}});
    for (const Entry* entry : entries_of(of_part, "lucas/table2"))
      CHECK((entry->comparison.verdict == Verdict::not_run || !entry->line->unlike.empty()));
  }

  TEST_CASE("settings that were not recorded are not the paper's") {
    Json bare = table2_again();
    bare["config"].erase("epochs");
    const ledger::Ledger all(papers(), {{"a/result.json", bare}});
    const auto entries = entries_of(all, "lucas/table2");
    CHECK(count(entries, Verdict::within_error) == 0);
    REQUIRE(entries[0]->differences.size() == 1);
    CHECK(entries[0]->differences[0] == "epochs not recorded (paper: 1000)");
  }

  TEST_CASE("a result that is not as elbo writes it is named") {
    Json odd = table2_again();
    odd["metrics"]["rows"][0].erase("trials");
    const std::string error = error_of([&] { ledger::Ledger(papers(), {{"some/result.json", odd}}); });
    CHECK(error.starts_with("[reproduce] 'some/result.json' is no result as elbo writes it"));
    CHECK(error.find("trials") != std::string::npos);
  }

  TEST_CASE("panels of Fig 1 are known by their names, whichever others there are") {
    const Json result{{"command", "ppca-landscape"},
                      {"config", Json::object()},
                      {"metrics",
                       {{"panels",
                         {{{"position", "between λ7 and λ5"},
                           {"stable_first", false},
                           {"stable_second", true},
                           {"surface_agrees", true}}}}}},
                      {"provenance", {{"started", ""}}}};
    const ledger::Ledger all(papers(), {{"a/result.json", result}});
    const auto entries = entries_of(all, "lucas/fig1");
    size_t read = 0;
    for (const Entry* entry : entries)
      if (entry->reading.holds) {
        ++read;
        CHECK(*entry->reading.holds);
        CHECK(entry->line->what.starts_with("middle"));
      }
    CHECK(read == 1);
  }

  TEST_CASE("a claim holds, fails, is open by its error, or is not judged") {
    const auto verdict = [](const Json& claim) {
      const ledger::Publication paper{.key = "p",
                                      .title = "P",
                                      .runs = {{.key = "run", .command = "run"}},
                                      .items = {{.id = "p/fig1", .title = "F", .run = "run"}},
                                      .lines = {ledger::claim_line("p/fig1", "nearer", "yes")}};
      const Json result{
          {"command", "run"}, {"metrics", {{"claims", {claim}}}}, {"provenance", {{"started", ""}}}};
      return ledger::Ledger({paper}, {{"run/result.json", result}}).entries.at(0).comparison.verdict;
    };
    Json claim{{"claim", "nearer by .1"}, {"here", "x"}, {"note", ""}, {"holds", true}};
    CHECK(verdict(claim) == Verdict::holds);
    claim["not_shown"] = false;
    claim["holds"] = false;
    CHECK(verdict(claim) == Verdict::fails);
    claim["holds"] = nullptr;
    CHECK(verdict(claim) == Verdict::not_comparable);
    claim["not_shown"] = true;
    CHECK(verdict(claim) == Verdict::not_told_apart);
  }

  TEST_CASE("the page names what is needed to judge, and takes no text for markup") {
    const ledger::Ledger all(papers(), {{"collapse/result.json", table2_again()}});
    const std::string html = page(all);
    for (const char* part : {"commit 1f2e3d4", "a &lt;processor&gt;", "2 threads", "2024-01-31", "3 min 20 s",
                             "elbo reproduce lucas/table2", "width=device-width",
                             "✓ within the paper&#39;s error", "How verdicts are made", "-1011.1 ± 2.7 nats"})
      CHECK_MESSAGE(html.find(part) != std::string::npos, part);
    CHECK(html.find("<processor>") == std::string::npos);
    CHECK(html.find("http") == std::string::npos);
  }

  TEST_CASE("a result that others helped with says by whom its units were run") {
    const auto origin = [](const std::vector<Json>& units) {
      Json result = table2_again();
      if (!units.empty()) result["provenance"]["unit_origins"] = units;
      return ledger::origin_text({"collapse/result.json", result});
    };
    const auto by = [](const char* commit, const char* cpu, const Json& units) {
      return Json{{"commit", commit}, {"cpu", cpu}, {"device", "cpu"}, {"units", units}};
    };
    const std::string alone = origin({}), last = "commit 1f2e3d4, a <processor>";
    CHECK(alone.starts_with(last + ", 2 threads"));
    CHECK(origin({by("1f2e3d4", "a <processor>", 5)}) == alone);
    CHECK(origin({by("0", "", "five"), 5}) == alone);
    CHECK(origin({by("", "", 1), by("1f2e3d4", "another", 2), by("1f2e3d4", "a <processor>", 5)})
              .starts_with(
                  last +
                  " (at 5 units); commit 1f2e3d4, another (at 2 units); commit not recorded, processor "
                  "not recorded (at 1 unit); put together at " +
                  last + ", 2 threads"));
    CHECK(origin({by("0", "a <processor>", 5)})
              .starts_with("commit 0, a <processor> (at 5 units); put together at " + last));
    Json on_gpu = by("1f2e3d4", "a <processor>", 1);
    on_gpu["device"] = "NVIDIA H200, CUDA 12";
    CHECK(origin({by("1f2e3d4", "a <processor>", 1), on_gpu})
              .starts_with(last + " (at 1 unit); " + last +
                           ", NVIDIA H200, CUDA 12 (at 1 unit); put together"));
  }

  TEST_CASE("names: of one figure, of a paper, of all; others are refused with what is like them") {
    const auto all = papers();
    const auto ids = [&](const std::vector<std::string>& asked) {
      size_t found = 0;
      for (const Job& job : jobs_for(all, {.ids = asked, .folder = "/nowhere", .celeba = ""}))
        found += job.ids.size();
      return found;
    };
    CHECK(ids({"lucas/fig1"}) == 1);
    CHECK(ids({"lucas/fig5", "lucas/table2", "lucas/fig5"}) == 2);
    CHECK(ids({"luecke"}) == 10);
    CHECK(ids({"all"}) == kAll.size());
    const std::string refusal = error_of([&] { ids({"lucas/tabel2"}); });
    CHECK(refusal.find("lucas/table2") != std::string::npos);
  }

  TEST_CASE("the quick form has settings of its own, and none of the paper's") {
    const auto all = papers();
    for (const bool quick : {true, false})
      for (const Job& job :
           jobs_for(all, {.ids = {"all"}, .quick = quick, .folder = "runs", .celeba = "C"})) {
        CAPTURE(job.run->key);
        const auto has = [&](const std::string& word) {
          return std::find(job.words.begin(), job.words.end(), word) != job.words.end();
        };
        CHECK(has("--quick") == quick);
        for (const char* size :
             {"--epochs", "--limit", "--latent", "--hidden", "--lr", "--trials", "--points"})
          CHECK_FALSE((quick && has(size)));
        CHECK(has("1000") == (!quick && job.run->key == "encoders"));
      }
  }

  TEST_CASE("a run that is there is not made again; one that was begun goes on") {
    const auto all = papers();
    TemporaryDirectory directory;
    const std::string folder = directory.path().string();
    const auto job = [&](const std::string& id, bool quick) {
      return jobs_for(all, {.ids = {id}, .quick = quick, .folder = folder, .celeba = ""}).at(0);
    };
    const Job fresh = job("luecke/fig1a", true);
    CHECK(fresh.state == Job::State::to_run);
    CHECK(fresh.words == std::vector<std::string>{"luecke-entropies", "--quick", "--out",
                                                  folder + "/luecke-entropies-quick", "--only",
                                                  "linear,linear-fixed"});
    for (const char* key : {"linear", "linear-fixed"})
      std::filesystem::create_directories(fresh.folder + "/" + key);
    write_file_atomically(fresh.folder + "/config.json", "{}");
    write_file_atomically(fresh.folder + "/linear/unit.json", "{}");
    const Job begun = job("luecke/fig1a", true);
    CHECK(begun.state == Job::State::begun);
    CHECK(begun.words[1] == "--resume");
    write_file_atomically(fresh.folder + "/linear-fixed/unit.json", "{}");
    write_file_atomically(fresh.folder + "/result.json",
                          R"({"metrics": {"units": {"here": ["linear"], "of": 4}}})");
    CHECK(job("luecke/fig1a", true).state == Job::State::begun);  // its result came before the other unit
    write_file_atomically(fresh.folder + "/result.json",
                          R"({"metrics": {"units": {"here": ["linear-fixed", "linear"], "of": 4}}})");
    CHECK(job("luecke/fig1a", true).state == Job::State::done);
    CHECK(job("luecke/fig1b", true).state == Job::State::begun);
    CHECK(job("luecke/fig1a", false).state == Job::State::to_run);
    CHECK(job("lucas/table3", false).state == Job::State::no_data);
  }
}
