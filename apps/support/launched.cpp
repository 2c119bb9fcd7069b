// What the launchers of MPI programs put into the environment.
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "apps/support/ranks.h"

namespace elbo {
namespace {

/// The whole number of a variable; -1 where there is none.
int number_of(const char* variable) {
  const char* const text = std::getenv(variable);
  if (!text) return -1;
  int number = -1;
  const std::string_view all = text;
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), number);
  return error == std::errc{} && end == all.data() + all.size() ? number : -1;
}

/// Rank and count; the innermost launcher's come first. Slurm says how many tasks there are also where they
/// have nothing to do with each other; where they are MPI's, PMIx tells the rank.
constexpr const char* kVariables[][2] = {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                         {"PMI_RANK", "PMI_SIZE"},
                                         {"PMIX_RANK", "SLURM_STEP_NUM_TASKS"}};

}  // namespace

Launched launched() {
  for (const auto& [rank, count] : kVariables)
    if (const Launched found{number_of(rank), number_of(count)}; found.rank >= 0 && found.count > 0)
      return found;
  return {};
}

void let_root_speak_first() {
  if (launched().rank > 0) std::this_thread::sleep_for(std::chrono::seconds(5));
}

}  // namespace elbo
