// elbo sweep: the units of an experiment on many processors.
#include "apps/commands/sweep.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "apps/command.h"
#include "apps/experiment/units.h"
#include "apps/support/rank_letters.h"
#include "apps/support/run_directory.h"
#include "apps/support/text.h"
#include "tensor/cuda/device.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

struct Options {
  std::string launcher = "local", resume, out;
  Sweep sweep;
};

void append(std::vector<std::string>& words, const std::vector<std::string>& more) {
  words.insert(words.end(), more.begin(), more.end());
}

void append_only(std::vector<std::string>& words, const std::vector<std::string>& only) {
  if (!only.empty()) append(words, {"--only", fmt::format("{}", fmt::join(only, ","))});
}

/// The experiment, and its words: the first is its name, unless a run says which it is.
void read_words(Options& o, std::vector<std::string> words) {
  Sweep& sweep = o.sweep;
  sweep.directory = o.resume.empty() ? o.out : o.resume;
  sweep.resuming = !o.resume.empty();
  if (!words.empty() && !words[0].starts_with('-')) {
    sweep.experiment = words[0];
    words.erase(words.begin());
  }
  if (sweep.resuming) {
    const std::string command = read_run_command(o.resume);
    if (!sweep.experiment.empty() && sweep.experiment != command)
      fail("[--resume] {} is a run of {}, not of {}", quote(o.resume), quote(command),
           quote(sweep.experiment));
    if (!o.out.empty()) fail("[--resume] continues in its own directory; leave --out away");
    sweep.experiment = command;
  }
  if (sweep.experiment.empty()) fail("[sweep] name an experiment first, as in: elbo sweep collapse --quick");
  const auto& groups = command_groups();
  const bool exists = std::any_of(groups.begin(), groups.end(), [&](const CommandGroup& group) {
    return std::any_of(group.commands.begin(), group.commands.end(),
                       [&](const Command& command) { return command.name == sweep.experiment; });
  });
  if (!exists) fail("there is no command {}; see elbo list", quote(sweep.experiment));
  if (!has_option(sweep.experiment, "--work-only"))
    fail("[sweep] {} is not made of units that could be shared; name an experiment of a paper",
         quote(sweep.experiment));
  sweep.words = std::move(words);
}

/// The value of an option that stands among words; empty: it does not.
std::string value_among(const std::vector<std::string>& words, const std::string& option) {
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i].starts_with(option + "=")) return words[i].substr(option.size() + 1);
    if (words[i] == option && i + 1 < words.size()) return words[i + 1];
  }
  return "";
}

/// A file before the command has a section for the sweep, and may have one for the experiment; one behind is
/// the experiment's.
void read_config(Sweep& sweep, const std::string& file) {
  sweep.config = value_among(sweep.words, "--config");
  if (!sweep.config.empty() && config_gives(sweep.config, "sweep"))
    fail(
        "[--config] {} has a section [sweep], which is read where it stands first: elbo --config {} sweep {}",
        quote(sweep.config), sweep.config, sweep.experiment);
  if (!file.empty() && config_gives(file, sweep.experiment)) {
    sweep.config = std::filesystem::absolute(file).string();
    append(sweep.words, {"--config", sweep.config});
  }
  for (const char* own : {"out", "resume", "only", "lease", "json"})
    if (!sweep.config.empty() && config_gives(sweep.config, sweep.experiment, own))
      fail("[--config] {}: {} of a sweep belongs below [sweep], not below [{}]", quote(sweep.config), own,
           sweep.experiment);
  for (const char* own : {"--begin", "--work-only"})
    if (sweep.gives(own)) fail("[sweep] {} is what sweep itself gives; leave it away", own);
}

void sweep(Options o, const Arguments& arguments, Ranks* ranks) {
  read_words(o, arguments.rest());
  Sweep& sweep = o.sweep;
  read_config(sweep, arguments.config_file());
  if (sweep.gives("--dry-run")) {
    std::vector<std::string> words{sweep.experiment};
    append(words, sweep.words);
    if (sweep.resuming) append(words, {"--resume", sweep.directory});
    append_only(words, sweep.only);
    run_command_line(words);
    if (ranks) end_ranks(*ranks);
    return;
  }
  for (const char* slurm : {"--print", "--sbatch"})
    if (arguments.given(slurm) && o.launcher != "slurm")
      fail("[{}] is for --launcher slurm; leave it away", slurm);
  if (o.launcher == "local") sweep_here(sweep);
  if (o.launcher == "slurm") sweep_with_slurm(sweep);
  if (o.launcher == "mpi") sweep_with_mpi(sweep, *ranks);
}

/// Only the root reads the command line: the run may be out of the others' reach.
void sweep_at_ranks(const Options& o, const Arguments& arguments) {
  if (arguments.given("--workers"))
    fail("[--workers] with --launcher mpi it is mpirun that says how many; leave it away");
  Ranks ranks;
  cuda::choose(ranks.at());  // of the machine's GPUs, as every rank of it sees them all
  if (ranks.rank() > 0) return work_at_rank(ranks);
  try {
    sweep(o, arguments, &ranks);
  } catch (...) {
    end_ranks(ranks);
    throw;
  }
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  arguments.accept_rest();
  arguments.begin_group("Sweep");
  arguments
      .add_text("--launcher", o->launcher,
                "local: processes of this machine; mpi: under mpirun, of its ranks; slurm: an array job")
      .one_of({"local", "mpi", "slurm"})
      .show_default();
  arguments.add_number("--workers", o->sweep.workers,
                       "Processes: one for each core, and 4 with slurm, unless given", kCount);
  arguments.add_text("--out", o->out, "Run directory (runs/EXPERIMENT-TIME unless given)");
  arguments.add_text("--resume", o->resume, "Go on with the run in this directory, or join in");
  arguments.add_texts("--only", o->sweep.only, "These units only, K[,K...]");
  arguments
      .add_number("--lease", o->sweep.lease,
                  "Seconds without a sign of life after which a process's unit is given to another",
                  {0.5L, 86400})
      .show_default();
  arguments
      .add_number("--worker-restarts", o->sweep.restarts,
                  "local: start this many processes again that were killed, between two units or parts done",
                  kCountOrNone)
      .show_default();
  arguments.add_flag("--json", o->sweep.json, "Print the result as JSON");
  arguments.begin_group("Slurm");
  arguments.add_flag("--print", o->sweep.print, "Only show the job");
  arguments.add_text("--sbatch", o->sweep.sbatch,
                     "Options for sbatch, e.g. \"--time=8:00:00 --partition=long\"");
  arguments.footer(
      "elbo sweep EXPERIMENT [OPTIONS OF THE EXPERIMENT] runs its units in several processes and reports as\n"
      "elbo EXPERIMENT does. elbo status RUN says how far it is. docs/sweeps.md has examples.");
  arguments.run([o, &arguments] {
    o->launcher == "mpi" ? sweep_at_ranks(*o, arguments) : sweep(*o, arguments, nullptr);
  });
}

}  // namespace

std::vector<std::string> Sweep::worker() const {
  std::vector<std::string> line{experiment,    "--resume", directory,
                                "--work-only", "--lease",  fmt::format("{:g}", lease)};
  append_only(line, only);
  if (resuming) append(line, words);  // those that a run may change
  return line;
}

std::vector<std::string> Sweep::beginning(int64_t threads) const {
  std::vector<std::string> line{experiment};
  append(line, words);
  if (threads > 0 && !gives("--threads")) append(line, {"--threads", std::to_string(threads)});
  append(line, {"--out", directory, "--begin"});
  append_only(line, only);
  return line;
}

std::vector<std::string> Sweep::ending() const {
  std::vector<std::string> line = worker();
  line.erase(std::find(line.begin(), line.end(), "--work-only"));
  if (json) line.push_back("--json");
  return line;
}

RunState Sweep::state() const {
  RunState state = read_run_state(directory, false);
  if (!only.empty())
    std::erase_if(state.units, [&](const UnitState& unit) {
      return std::find(only.begin(), only.end(), unit.key) == only.end();
    });
  return state;
}

void Sweep::begin(int64_t threads) {
  if (resuming) {
    if (!std::filesystem::exists(directory + "/" + kUnits))  // of a version that did not write it
      run_command_line({experiment, "--resume", directory, "--begin"});
    return;
  }
  if (directory.empty()) directory = default_run_path(experiment);
  run_command_line(beginning(threads));
}

bool Sweep::gives(const std::string& option) const {
  const bool said = std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    return word == option || word.starts_with(option + "=");
  });
  return said || (!config.empty() && config_gives(config, experiment, option.substr(2)));
}

std::string Sweep::how_to_go_on() const {
  return fmt::format("continue with: elbo sweep --resume {}{}", shell_word(directory), choice_words(only));
}

const Command sweep_command{"sweep", "Run an experiment in many processes, here or on a cluster", "",
                            "the experiment's, shared", add_options};

}  // namespace elbo
