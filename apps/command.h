// Command: what a file of apps/ gives to the program: a name, a line for `elbo list`, and its options.
#pragma once

#include <string>
#include <vector>

#include "apps/support/arguments.h"

namespace elbo {

struct Command {
  const char* name;
  const char* summary;
  const char* reproduces;                     ///< the figure or table of a paper, or ""
  const char* cost;                           ///< on two cores, e.g. "12 min (--quick: 1 min)"
  void (*add_options)(Arguments& arguments);  ///< declares them, and what runs the command
};

/// The commands of a room of apps/, or of one kind.
struct CommandGroup {
  const char* title;
  std::vector<Command> commands;
};
/// Every command, in the order in which they are listed.
const std::vector<CommandGroup>& command_groups();

namespace ledger {
struct Publication;
}
/// What a paper's room says of its figures, tables and published numbers (apps/ledger/publication.h).
using PublicationOf = ledger::Publication (*)();
/// One for each paper, in the order in which they are listed.
const std::vector<PublicationOf>& publications();
ledger::Publication lucas_publication();
ledger::Publication luecke_publication();
ledger::Publication yacoby_publication();
ledger::Publication asperti_publication();

/// Runs a command line, without "elbo" in front, in this process: what it throws is the caller's. For
/// commands that run others.
void run_command_line(const std::vector<std::string>& words);
/// Whether a command has an option, such as "--work-only".
bool has_option(const std::string& command, const std::string& option);

// One for each file.
extern const Command list_command, info_command, data_command, train_command, evaluate_command, ppca_command,
    gradcheck_command, trace_command, bench_command, ppca_landscape_command, ppca_elbo_command,
    stochastic_elbo_command, collapse_command, encoders_command, sample_command, reconstruct_command,
    traverse_command, interpolate_command, encode_command, compare_command, luecke_entropies_command,
    luecke_noise_command, luecke_states_command, luecke_streaming_command, yacoby_optima_command,
    yacoby_table1_command, yacoby_posteriors_command, yacoby_mobius_command, asperti_units_command,
    asperti_trajectories_command, asperti_noise_command, asperti_two_stage_command, asperti_calibrate_command,
    forecast_command, sweep_command, status_command, reproduce_command, proofread_command;

}  // namespace elbo
