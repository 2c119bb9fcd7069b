// The elbo program: finds the command, and turns every error into one line on standard error and exit
// status 2.

#include <fmt/ranges.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "apps/command.h"
#include "apps/processor/paths.h"
#include "apps/support/interrupt.h"
#include "apps/support/log.h"
#include "apps/support/places.h"
#include "apps/support/ranks.h"
#include "apps/support/result.h"
#include "apps/support/text.h"
#include "apps/support/toml_config.h"
#include "tensor/blas.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {

const std::vector<CommandGroup>& command_groups() {
  static const std::vector<CommandGroup> all{
      {"Models and data",
       {train_command, evaluate_command, sample_command, reconstruct_command, traverse_command,
        interpolate_command, encode_command, compare_command, ppca_command, forecast_command, data_command}},
      {"The papers", {reproduce_command, proofread_command}},
      {"Experiments on many processors", {sweep_command, status_command}},
      {"elbo itself", {list_command, info_command, gradcheck_command, trace_command, bench_command}},
      {"Lucas et al. 2019, Don't blame the ELBO!",
       {ppca_landscape_command, ppca_elbo_command, stochastic_elbo_command, encoders_command,
        collapse_command}},
      {"Lücke et al., The ELBO of VAEs converges to a sum of three entropies",
       {luecke_entropies_command, luecke_noise_command, luecke_states_command, luecke_streaming_command}},
      {"Yacoby et al., Characterizing and avoiding problematic global optima of VAEs",
       {yacoby_optima_command, yacoby_table1_command, yacoby_posteriors_command, yacoby_mobius_command}},
      {"Asperti 2019, VAEs and the variable collapse phenomenon",
       {asperti_units_command, asperti_trajectories_command, asperti_noise_command, asperti_two_stage_command,
        asperti_calibrate_command}}};
  return all;
}

const std::vector<PublicationOf>& publications() {
  static const std::vector<PublicationOf> all{lucas_publication, luecke_publication, yacoby_publication,
                                              asperti_publication};
  return all;
}

namespace {

/// A thread that waits for work must not spin for long: where another program has its core, the spinning
/// takes the time that the thread it waits for needs (measured: a step 10 times slower beside one busy
/// process; spinning briefly costs 2% on an idle machine). OpenMP's runtimes read this before main. False
/// where the user has said how to wait.
bool limit_spinning() {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT") || std::getenv("KMP_BLOCKTIME"))
    return false;
  setenv("GOMP_SPINCOUNT", "1000", 1);  // g++'s runtime: turns of the waiting loop
  setenv("KMP_BLOCKTIME", "0", 1);      // clang's: milliseconds
  return true;
}

/// Starts the program again where its start was not right: for OpenMP or OpenBLAS, or as another of its paths
/// suits the processor.
void start_again(char** argv) {
  // By its own file: as /proc/self/exe it would be called "exe" in ps and pkill.
  std::error_code unknown;
  const std::string called = std::filesystem::read_symlink("/proc/self/exe", unknown);
  const processor::Program program = processor::program_to_run(called);
  if (!program.error.empty()) fail("{}", program.error);
  const bool limited = limit_spinning(), asked = ask_for_better_core();
  // Where this fails, it goes on as it is.
  if (!limited && !asked && program.file == called) return;
  leave_place();
  execv(program.file.c_str(), argv);
}

/// CLI11's messages can be of several lines; errors are one.
std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n') c = ' ';
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

/// What a command can be given less of where its memory does not suffice: those of its options that decide
/// how much it needs, first the ones that the user chose, and of either the usual culprits first.
std::string out_of_memory_advice(const CLI::App& app) {
  std::vector<std::string> chosen, others;
  for (const CLI::App* command : app.get_subcommands())
    for (const char* name : {"--batch",
                             "--importance-points",
                             "--importance-samples",
                             "--aggregate-points",
                             "--members",
                             "--seeds",
                             "--conv-members",
                             "--restarts",
                             "--sets",
                             "--runs",
                             "--points",
                             "--pictures",
                             "--count",
                             "--side",
                             "--grid",
                             "--hidden",
                             "--channels",
                             "--limit",
                             "--subset",
                             "--latent",
                             "--image-latent"})
      if (const CLI::Option* option = command->get_option_no_throw(name))
        (option->count() > 0 ? chosen : others).push_back(name);
  chosen.insert(chosen.end(), others.begin(), others.end());
  return chosen.empty() ? "" : fmt::format("; try less of {}", fmt::join(chosen, ", "));
}

constexpr const char* kLostOutput = "[output] standard output could not be written";

/// The exit status of a command that has done its work, once what it printed is written.
int end_of_output() {
  std::cout.flush();
  std::fflush(stdout);
  if (std::ferror(stdout) || !std::cout) fail("{}", kLostOutput);
  return interrupt_status();
}

/// Every command of the program, with its options. `arguments` must live as long.
void declare(CLI::App& app, std::deque<Arguments>& arguments) {
  for (const CommandGroup& group : command_groups())
    for (const Command& command : group.commands) {
      CLI::App* sub = app.add_subcommand(command.name, command.summary)->group(group.title);
      sub->allow_config_extras(CLI::config_extras_mode::error);
      sub->fallthrough();  // lets --config follow the command
      command.add_options(arguments.emplace_back(*sub));
    }
}

/// Throws for words that no option means: empty ones, as of a shell variable that is not set, lists of
/// nothing, which CLI11 would pass over for the next word, and lists with empty items, which CLI11 leaves
/// out.
void check_words(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i], before = argv[i - 1];
    const std::string where = before.starts_with("--") ? fmt::format(" after {}", before) : "";
    if (word.empty() || (word.starts_with("--") && word.ends_with('=')))
      fail("{} is empty; give it a value or leave it out",
           word.empty() ? fmt::format("what follows {}", quote(argv[i - 1])) : quote(word));
    if (word.find_first_not_of(',') == std::string_view::npos)
      fail("{}{} is a list of nothing", quote(word), where);
    const bool is_list = word.find_first_of("/: ") == std::string_view::npos;  // and no path, nor data
    if (is_list && (word.starts_with(',') || word.ends_with(',') ||
                    word.find(",,") != std::string_view::npos || word.find("=,") != std::string_view::npos))
      fail("{}{} is a list with an empty item; leave one comma out", quote(word), where);
  }
}

/// Runs the command of a command line, whose first word is the program's name. Where there was none to run
/// (--help), that is printed.
void run(int argc, const char* const* argv) {
  CLI::App app{"Variational autoencoders from scratch, and the experiments that explain why they collapse.",
               "elbo"};
  app.require_subcommand(1);
  app.set_version_flag("--version", version());
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.set_config("--config", "",
                 "Read options from a TOML file with a section for the command, e.g. [train]");
  app.config_formatter(std::make_shared<TomlConfig>(app));
  std::deque<Arguments> arguments;  // which callbacks keep
  declare(app, arguments);
  check_words(argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      app.exit(error);
      return;
    }
    const auto chosen = app.get_subcommands();
    if (chosen.empty() && argc > 1 && argv[1][0] != '-')
      fail("there is no command {}; see elbo list", quote(argv[1]));
    const std::string where = chosen.empty() ? "elbo" : "elbo " + chosen[0]->get_name();
    fail("{}; see {} --help", one_line(error.what()), where);
  } catch (const OutOfMemory& error) {
    fail("{}{}", error.what(), out_of_memory_advice(app));
  } catch (const std::bad_alloc&) {
    fail("out of memory{}", out_of_memory_advice(app));
  } catch (const std::length_error&) {  // more than any memory holds
    fail("out of memory{}", out_of_memory_advice(app));
  }
}

/// Whether the others of mpirun, if there are any, wait for this process to join them.
bool is_waited_for(int argc, const char* const* argv) {
  const auto has = [&](std::string_view word) {
    return std::find(argv + 1, argv + argc, word) != argv + argc;
  };
  return launched().count > 1 && Ranks::can_join() &&
         (has("train") || (has("sweep") && (has("mpi") || has("--launcher=mpi"))));
}

/// The exit status of a command that failed, for which `line` gives the reason.
int end_with(std::string_view line, int argc, const char* const* argv) {
  std::signal(SIGPIPE, SIG_IGN);  // the status says it, whether anybody reads the line or not
  // Not every mpirun ends the others when one ends, so that ranks which wait for it would wait for ever.
  std::optional<Ranks> ranks;
  const bool joins = is_waited_for(argc, argv);
  if (joins && launched().rank > 0) ranks.emplace();
  let_root_speak_first();
  log_line(on_one_line(line));
  const int stopped = interrupt_status();  // what failed may have been broken off
  const int status = stopped != 0 ? stopped : 2;
  if (joins) (ranks ? *ranks : ranks.emplace()).abort(status);
  return status;
}

}  // namespace

void run_command_line(const std::vector<std::string>& words) {
  std::vector<const char*> argv{"elbo"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  run(static_cast<int>(argv.size()), argv.data());
}

bool has_option(const std::string& command, const std::string& option) {
  CLI::App app;
  std::deque<Arguments> arguments;
  declare(app, arguments);
  const auto named = app.get_subcommands([&](CLI::App* sub) { return sub->get_name() == command; });
  return !named.empty() && named[0]->get_option_no_throw(option);
}

}  // namespace elbo

int main(int argc, char** argv) {
  elbo::keep_standard_streams();
  try {
    elbo::start_again(argv);
    elbo::run(argc, argv);
    return elbo::end_of_output();
  } catch (const std::bad_alloc&) {
    return elbo::end_with("elbo: out of memory", argc, argv);
  } catch (const std::exception& error) {
    // What printing throws does not say of what.
    return elbo::end_with(std::string("elbo: ") + (std::ferror(stdout) ? elbo::kLostOutput : error.what()),
                          argc, argv);
  }
}
