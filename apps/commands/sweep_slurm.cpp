// elbo sweep --launcher slurm: an array job whose tasks run units, and a job after it that makes the report.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <sstream>
#include <system_error>

#include "apps/commands/sweep.h"
#include "apps/support/log.h"
#include "apps/support/run_directory.h"
#include "apps/support/text.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kTasks = 4;             // unless the user says how many
constexpr int kSecondsToCheckpoint = 60;  // before the time limit

std::string shell_line(const std::vector<std::string>& words) {
  std::error_code ignored;
  std::string line = shell_word(fs::read_symlink("/proc/self/exe", ignored).string());
  for (const std::string& word : words) line += " " + shell_word(word);
  return line;
}

/// Both jobs run it: `work` in the array, `report` after it.
std::string script(const Sweep& sweep) {
  const bool chosen = sweep.gives("--threads");
  const std::string threads = chosen ? "" : " --threads \"$threads\"";
  return fmt::format(
      R"(#!/bin/bash
# Written by elbo sweep --launcher slurm. Units are taken from the run directory, so tasks may come and go.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@{seconds}
{threads}if [ "$1" = work ]; then
  {work} &
else
  {report} &
fi
process=$!
# Before the time limit: a checkpoint, and the unit goes on where this task or another one has time.
trap 'kill -USR1 $process' USR1
trap 'kill -TERM $process' TERM
status=129
while [ $status -gt 128 ] && kill -0 $process 2>/dev/null; do
  wait $process
  status=$?
done
if [ $status -eq 138 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
)",
      fmt::arg("seconds", kSecondsToCheckpoint),
      fmt::arg("threads", chosen ? "" : "threads=${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-1}}\n"),
      fmt::arg("work", shell_line(sweep.worker()) + threads),
      fmt::arg("report", shell_line(sweep.ending()) + threads));
}

/// Both command lines of sbatch; the second waits for the job of the first.
std::array<std::string, 2> submissions(const Sweep& sweep, const std::string& file, const std::string& job) {
  const std::string logs = fs::absolute(sweep.directory).string();
  const std::string more = sweep.sbatch.empty() ? "" : " " + sweep.sbatch;
  const auto line = [&](const std::string& options, const char* log, const char* part) {
    return fmt::format("sbatch --parsable --job-name={} {} --output={}{} {} {}",
                       shell_word(fmt::format("elbo-{}", sweep.experiment)), options,
                       shell_word(logs + "/" + log), more, shell_word(file), part);
  };
  return {line(fmt::format("--array=1-{}", sweep.workers), "slurm-%a.log", "work"),
          line("--dependency=afterany:" + job, "slurm-report.log", "report")};
}

bool is_on_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  const std::string all = path ? path : "";
  for (size_t begin = 0; begin <= all.size();) {
    const size_t end = std::min(all.find(':', begin), all.size());
    if (::access((all.substr(begin, end - begin) + "/" + program).c_str(), X_OK) == 0) return true;
    begin = end + 1;
  }
  return false;
}

/// What a command says, and whether it ended well.
std::pair<std::string, bool> said_by(const std::string& command) {
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "re");
  if (!pipe) fail("[slurm] cannot start a shell: {}", std::generic_category().message(errno));
  std::string text;
  for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
  return {text, ::pclose(pipe) == 0};
}

/// Submits a job. Of --parsable "JOB" or "JOB;CLUSTER" stands on a line, perhaps beside warnings.
std::string job_of(const std::string& command) {
  const auto [text, well] = said_by(command);
  std::istringstream lines(text);
  std::string last;
  for (std::string line; std::getline(lines, line);) {
    const std::string job = line.substr(0, line.find(';'));
    const bool number =
        !job.empty() && std::all_of(job.begin(), job.end(), [](unsigned char c) { return std::isdigit(c); });
    if (well && number) return job;
    if (!line.empty()) last = line;
  }
  fail("[slurm] sbatch did not take the job: {}; it was: {}", last.empty() ? "it says nothing" : last,
       command);
}

/// Makes a run, and takes back what was made unless it is kept.
class Beginning {
 public:
  explicit Beginning(Sweep& sweep) : sweep_(sweep), script_(sweep.directory + "/slurm.sh") {
    if (fs::exists(script_)) script_before_ = read_file(script_);
    for (fs::path folder = sweep.directory; !folder.empty() && !fs::exists(folder);
         folder = folder.parent_path())
      made_.push_back(folder);
    sweep.begin(0);
    begun_ = !sweep.resuming;
  }
  ~Beginning() {
    if (kept_) return;
    std::error_code ignored;
    try {
      if (script_before_) write_file_atomically(script_, *script_before_);
    } catch (const Error& error) {
      log_line(error.what());
    }
    if (!script_before_) fs::remove(script_, ignored);
    if (!begun_) return;
    for (const auto& entry : fs::directory_iterator(sweep_.directory, ignored))
      fs::remove_all(entry.path(), ignored);
    for (const fs::path& folder : made_) fs::remove(folder, ignored);  // where it is empty
  }
  Beginning(const Beginning&) = delete;
  Beginning& operator=(const Beginning&) = delete;
  void keep() { kept_ = true; }

 private:
  const Sweep& sweep_;
  std::string script_;
  std::vector<fs::path> made_;  // innermost first
  std::optional<std::string> script_before_;
  bool begun_ = false, kept_ = false;
};

}  // namespace

void sweep_with_slurm(Sweep& sweep) {
  if (sweep.workers == 0) sweep.workers = kTasks;
  if (sweep.directory.empty()) sweep.directory = default_run_path(sweep.experiment);
  sweep.directory = fs::absolute(sweep.directory).string();  // a job may begin elsewhere
  const std::string file = sweep.directory + "/slurm.sh";
  if (sweep.print) {
    const auto lines = submissions(sweep, file, "JOB");
    const std::string beginning = sweep.resuming ? "" : shell_line(sweep.beginning(0)) + "\n";
    return fmt::print("{}{}\n{}\n\n{}:\n{}", beginning, lines[0], lines[1], file, script(sweep));
  }
  if (!is_on_path("sbatch"))
    fail("[slurm] there is no sbatch here; --print shows the job, for a machine that has it");
  Beginning beginning(sweep);
  write_file_atomically(file, script(sweep));
  const std::string job = job_of(submissions(sweep, file, "")[0]);
  std::string report;
  try {
    report = job_of(submissions(sweep, file, job)[1]);
  } catch (const Error& error) {
    if (said_by("scancel " + job).second) throw;
    beginning.keep();  // its tasks may be at work
    fail("{}; job {}, which runs the units, is there and could not be cancelled", error.what(), job);
  }
  beginning.keep();
  fmt::print("job {} runs the units in {} tasks, job {} the report; elbo status {} says how far it is\n", job,
             sweep.workers, report, sweep.directory);
}

}  // namespace elbo
