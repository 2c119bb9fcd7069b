// elbo reproduce: figures and tables of the papers by name, through the experiments that make them, and the
// ledger of every published number beside ours.
#include <fcntl.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "apps/command.h"
#include "apps/ledger/ledger.h"
#include "apps/ledger/plan.h"
#include "apps/support/interrupt.h"
#include "apps/support/log.h"
#include "apps/support/table.h"
#include "apps/support/text.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

using ledger::Job;

struct Options {
  ledger::ReproduceOptions what{.ids = {}, .folder = "runs/reproduction", .celeba = ""};
  std::string from, markdown;
  bool out_given = false, dry_run = false, json = false;
};

/// What is printed while it lives goes to a file.
class OutputToFile {
 public:
  explicit OutputToFile(const std::string& path) {
    std::fflush(stdout);
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0) fail("[reproduce] cannot write {}", quote(path));
    kept_ = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    dup2(file, STDOUT_FILENO);
    close(file);
  }
  ~OutputToFile() {
    std::fflush(stdout);
    if (kept_ < 0) return;
    dup2(kept_, STDOUT_FILENO);
    close(kept_);
  }
  OutputToFile(const OutputToFile&) = delete;
  OutputToFile& operator=(const OutputToFile&) = delete;

 private:
  int kept_ = -1;
};

std::vector<ledger::Publication> all_papers() {
  std::vector<ledger::Publication> papers;
  for (const PublicationOf paper : publications()) papers.push_back(paper());
  return papers;
}

/// What the command itself says that it costs: "20 min" or, of "(--quick: 1 min)", "1 min".
std::string cost_of(const std::string& command, bool quick) {
  for (const CommandGroup& group : command_groups())
    for (const Command& own : group.commands) {
      if (command != own.name) continue;
      const std::string text = own.cost, mark = " (--quick: ";
      const size_t at = text.find(mark);
      if (at == std::string::npos) return text;
      return quick ? text.substr(at + mark.size(), text.size() - at - mark.size() - 1) : text.substr(0, at);
    }
  return "";
}

/// As a shell takes it.
std::string command_line(const Job& job) {
  std::string line = "elbo";
  for (const std::string& word : job.words) line += " " + shell_word(word);
  return line;
}

void make_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!std::filesystem::is_directory(folder))
    fail("[--out] {} is no folder and cannot become one; name another", quote(folder));
}

void show_plan(const std::vector<Job>& jobs, bool quick) {
  Table table({"run", "for", "state", "cost of the whole run on two cores"});
  int64_t to_do = 0;
  for (const Job& job : jobs) {
    const bool done = job.state == Job::State::done;
    to_do += done ? 0 : 1;
    table.row({std::filesystem::path(job.folder).filename().string(),
               fmt::format("{}", fmt::join(job.ids, ", ")),
               done                               ? "done"
               : job.state == Job::State::begun   ? "to be continued"
               : job.state == Job::State::no_data ? "needs --celeba"
                                                  : "to be run",
               done ? "" : cost_of(job.run->command, quick)});
  }
  fmt::print("{}\n", table.text());
  for (const Job& job : jobs)
    if (job.state != Job::State::done) fmt::print("{}\n", command_line(job));
  fmt::print("\n{} of {} runs to do. Each of these lines with --dry-run measures what it costs here.\n",
             to_do, jobs.size());
}

/// Runs what is not there. Returns what failed, a line each.
std::vector<std::string> run_all(const std::vector<Job>& jobs) {
  std::vector<std::string> failures;
  for (size_t i = 0; i < jobs.size() && interrupt_status() == 0; ++i) {
    const Job& job = jobs[i];
    const std::string label = fmt::format("{} ({} of {})", fmt::join(job.ids, ", "), i + 1, jobs.size());
    if (job.state == Job::State::done || job.state == Job::State::no_data) {
      log_line(
          fmt::format("{}: {}", label,
                      job.state == Job::State::done ? "done before" : "left out, it needs --celeba DIR"));
      continue;
    }
    log_line(fmt::format("{}: {}", label, command_line(job)));
    try {
      const OutputToFile output(job.folder + ".txt");
      run_command_line(job.words);
    } catch (const std::exception& error) {
      failures.push_back(error.what());
      log_line(fmt::format("{}: {}", label, error.what()));
    }
  }
  return failures;
}

std::string without_slash(std::string folder) {
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  return folder;
}

void show(const Options& o, const ledger::Ledger& all) {
  if (o.json) {
    fmt::print("{}", json_text(to_json(all)));
    return;
  }
  Table table({"verdict", Table::number("lines")});
  using ledger::Verdict;
  for (const Verdict verdict :
       {Verdict::within_error, Verdict::equivalent, Verdict::not_told_apart, Verdict::different,
        Verdict::holds, Verdict::fails, Verdict::not_comparable, Verdict::not_run})
    table.row({word(verdict), std::to_string(all.count(verdict))});
  fmt::print("{}", table.text());
  if (all.too_good() > 0) fmt::print("{} of them too good\n", all.too_good());
}

void reproduce(Options o) {
  std::string results = without_slash(o.what.folder);
  std::vector<std::string> failures;
  o.what.folder = results;
  if (!o.from.empty()) {
    if (!o.what.ids.empty() || o.dry_run || o.what.quick)
      fail("[--from] it reads results and runs nothing; leave out names, --quick and --dry-run");
    results = without_slash(o.from);
  } else {
    if (o.what.ids.empty())
      fail("[reproduce] name figures and tables, such as lucas/fig1, or a paper, or all; elbo list has them");
    const std::vector<ledger::Publication> papers = all_papers();
    const std::vector<Job> jobs = jobs_for(papers, o.what);
    if (o.dry_run && o.json) fail("[--dry-run] it prints the plan as a table; leave out --json");
    if (o.dry_run) return show_plan(jobs, o.what.quick);
    make_folder(results);
    failures = run_all(jobs);
  }
  const ledger::Ledger all(all_papers(), ledger::results_in(results));
  if (!o.markdown.empty()) write_file_again(o.markdown, markdown(all, results));
  const bool pages = o.from.empty() || o.out_given;
  if (pages) {
    make_folder(o.what.folder);
    write_file_atomically(o.what.folder + "/ledger.json", json_text(to_json(all)));
    write_file_atomically(o.what.folder + "/ledger.html", page(all));
  }
  show(o, all);
  if (pages && !o.json) fmt::print("\nledger: {}/ledger.html\n", o.what.folder);
  if (!failures.empty())
    fail("[reproduce] {} run{} failed; the ledger shows them as not run. {}", failures.size(),
         failures.size() == 1 ? "" : "s", failures.front());
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  arguments.add_paths("items", o->what.ids, "Figures and tables, such as lucas/fig1; a paper: lucas; or all");
  arguments.add_flag("--quick", o->what.quick,
                     "In the quick form of each experiment, which says little of the papers' numbers");
  arguments.add_flag("--dry-run", o->dry_run, "Say what would be run, and what is there");
  arguments
      .add_text("--out", o->what.folder,
                "Folder of the runs, each of which goes on where it was broken off, and of ledger.html and "
                "ledger.json")
      .show_default();
  arguments.add_text("--celeba", o->what.celeba,
                     "Folder of CelebA's aligned images, for the tables and figures of them");
  arguments.add_number("--threads", o->what.threads, "Threads of each run; 0: all cores", Bounds{0, 4096})
      .show_default();
  arguments.begin_group("Ledger");
  arguments.add_text("--from", o->from, "Run nothing: the ledger of the results in the folders of this one");
  arguments.add_text("--markdown", o->markdown, "Write the ledger as Markdown, too, to this file");
  arguments.add_flag("--json", o->json, "Print the ledger as JSON alone");
  arguments.run([o, &arguments] {
    o->out_given = arguments.given("--out");
    reproduce(*o);
  });
}

}  // namespace

const Command reproduce_command{"reproduce",
                                "Figures and tables of the papers by name, and the ledger of their numbers",
                                "all", "weeks (--quick: 1 h)", add_options};

}  // namespace elbo
