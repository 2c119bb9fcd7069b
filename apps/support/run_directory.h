// RunDirectory: the directory that one run of a command writes its results to.
//
//   RunDirectory run("train", options.out);             // a new one; never writes over an old one
//   run.write_config(config);                           // config.json, from which the run can be repeated
//   CsvFile metrics = run.csv("metrics.csv", {"epoch", "elbo"});
//   run.write_json("result.json", result.to_json());
//   run.write_text("report.html", report.html());
//
// Every file is written beside and renamed. A run that ends before it wrote anything leaves no directory
// behind, nor does one that an exception ends before it wrote more than its config: the name is free for
// another try. So create this after the options are checked and before the work begins. Two processes are
// never at work in one directory: each holds a lock on its file "lock", which the system releases when it
// ends, however that is. Those that share a run's work (apps/experiment/unit_claims.h) let the lock go
// meanwhile. Knows nothing of options.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "apps/support/csv.h"
#include "apps/support/json.h"

namespace elbo {

class RunDirectory {
 public:
  /// What to do where there is one. To join is to resume what other processes may be at work in, too.
  enum class Existing { refuse, resume, join };

  /// Creates `out`, or runs/<command>-<UTC time> when `out` is empty, together with missing parents. Throws
  /// Error, with nothing touched, when it is a file, cannot be made or written to, is not empty, or another
  /// process is at work in it. With Existing::resume the directory must be there already and its config.json
  /// must be of the same command; with Existing::join no lock is taken.
  RunDirectory(const std::string& command, const std::string& out, Existing existing = Existing::refuse);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  /// Lets the lock go: from here on others may join.
  void share();
  /// Takes it again, once nobody else has it; returns early when interrupted (apps/support/interrupt.h).
  void wait_for_lock();

  const std::string& path() const { return path_; }
  /// Path of a file in it, e.g. file("figures/elbo.csv"). Makes the folder that the file is to lie in.
  std::string file(const std::string& name) const;
  /// The folder figures/, made when needed.
  std::string figures() const;

  /// config.json: {"command": ..., "config": {...}}, and what `data` says of the data where a resumed run
  /// must find them as they were.
  void write_config(const Json& config) const;
  void write_config(const Json& config, const Json& data) const;
  void write_json(const std::string& name, const Json& value) const;
  void write_text(const std::string& name, std::string_view text) const;
  /// A table that is filled while the run goes on; when resuming, pass the last step to keep.
  CsvFile csv(const std::string& name, const std::vector<std::string>& columns) const {
    return CsvFile(file(name), columns);
  }
  CsvFile csv(const std::string& name, const std::vector<std::string>& columns, double last) const {
    return CsvFile(file(name), columns, last);
  }

 private:
  void check_empty() const;
  /// Whether nobody else has the lock. Where files cannot be locked, everybody has it.
  bool try_to_lock();
  void lock();

  std::string command_, path_;
  std::vector<std::string> made_;                // directories that this run made, innermost last
  int lock_ = -1;                                // descriptor; -1: not held
  bool is_new_ = false;                          // not resumed
  int exceptions_ = std::uncaught_exceptions();  // that were under way before
};

/// What a run of the command that begins now would be called by default: runs/<command>-<UTC time>, not there
/// yet.
std::string default_run_path(const std::string& command);
/// The "config" of a run directory's config.json. Throws Error when the directory is not one of ours, or of
/// another command than `command` (any, when that is empty).
Json read_run_config(const std::string& directory, const std::string& command = "");
/// The command whose run it is. Throws as that does.
std::string read_run_command(const std::string& directory);
/// What its config.json says of the data; null where it says nothing.
Json read_run_data(const std::string& directory);

}  // namespace elbo
