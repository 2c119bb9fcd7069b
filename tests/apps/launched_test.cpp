// Which rank a process is, by what launchers put into its environment.
#include <doctest/doctest.h>

#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "apps/support/ranks.h"

namespace elbo {
namespace {

constexpr const char* kNames[] = {
    "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMI_SIZE", "PMIX_RANK",
    "SLURM_STEP_NUM_TASKS"};

/// With these variables, and none of the others; afterwards with those that were there.
Launched launched_with(const std::map<std::string, std::string>& variables) {
  std::map<std::string, std::string> before;
  for (const char* name : kNames) {
    if (const char* value = std::getenv(name)) before[name] = value;
    ::unsetenv(name);
  }
  for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
  const Launched found = launched();
  for (const char* name : kNames) ::unsetenv(name);
  for (const auto& [name, value] : before) ::setenv(name.c_str(), value.c_str(), 1);
  return found;
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("a process is alone unless its launcher says which of how many it is") {
    struct Case {
      std::map<std::string, std::string> variables;
      int rank, count;
    };
    for (const Case& c : std::vector<Case>{
             {{}, 0, 1},
             {{{"OMPI_COMM_WORLD_RANK", "2"}, {"OMPI_COMM_WORLD_SIZE", "4"}}, 2, 4},
             {{{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}, 1, 2},
             {{{"PMIX_RANK", "1"}, {"SLURM_STEP_NUM_TASKS", "3"}}, 1, 3},
             {{{"SLURM_STEP_NUM_TASKS", "3"}}, 0, 1},  // tasks that have nothing to do with each other
             {{{"PMI_RANK", "1"}}, 0, 1},
             {{{"PMI_RANK", "one"}, {"PMI_SIZE", "2"}}, 0, 1},
             // mpirun within a task of Slurm: the inner one counts.
             {{{"OMPI_COMM_WORLD_RANK", "0"},
               {"OMPI_COMM_WORLD_SIZE", "1"},
               {"PMI_RANK", "1"},
               {"PMI_SIZE", "4"}},
              0,
              1}}) {
      const Launched found = launched_with(c.variables);
      CHECK(found.rank == c.rank);
      CHECK(found.count == c.count);
    }
  }
}

}  // namespace elbo
