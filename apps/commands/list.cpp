// elbo list: every command, by paper; the figure or table it reproduces, and what it costs; and the names of
// figures and tables for elbo reproduce.

#include "apps/command.h"
#include "apps/ledger/publication.h"
#include "apps/support/table.h"
#include "tensor/error.h"

namespace elbo {
namespace {

void list() {
  for (const CommandGroup& group : command_groups()) {
    Table table({"command", "what it does", "reproduces", "cost on two cores"});
    for (const Command& command : group.commands)
      table.row({command.name, command.summary, command.reproduces, command.cost});
    fmt::print("{}\n\n{}\n", group.title, table.text());
  }
  Table items({"figure or table", "what it shows", "command"});
  for (const PublicationOf paper : publications()) {
    const ledger::Publication own = paper();
    for (const ledger::Item& item : own.items)
      for (const ledger::Run& run : own.runs)
        if (run.key == item.run) items.row({item.id, item.title, run.command});
  }
  fmt::print("For elbo reproduce, by name\n\n{}\n", items.text());
  fmt::print("Every command explains its options with --help.\n");
}

void add_options(Arguments& arguments) { arguments.run(list); }

}  // namespace

const Command list_command{"list", "List every command", "", "", add_options};

}  // namespace elbo
