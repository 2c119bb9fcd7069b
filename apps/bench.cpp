#include "apps/command.h"
namespace elbo { static void add_options(CLI::App&) {} const Command bench_command{"bench", "", "", "", add_options}; }
