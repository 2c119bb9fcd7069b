#include <CLI/CLI.hpp>
#include <sstream>
#include <vector>

#include "apps/support/toml_config.h"
#include "tests/fuzz/fuzzed_file.h"

// The options of a program like elbo's, of every type that there is, one command of two chosen.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  CLI::App app;
  app.set_config("--config");
  std::vector<double> rates;
  std::string name, other;
  bool fixed = false;
  int64_t count = 0;
  CLI::App* train = app.add_subcommand("train");
  train->add_option("--lr", rates)->delimiter(',');
  train->add_option("--data", name);
  train->add_option("--epochs", count);
  train->add_flag("--fix-sigma2,!--learn-sigma2", fixed);
  app.add_subcommand("sample")->add_option("--data", other);
  app.parse("--config /dev/null train");
  std::istringstream text(std::string(reinterpret_cast<const char*>(data), size));
  elbo::reads_or_refuses([&] {
    for (const CLI::ConfigItem& item : elbo::TomlConfig(app).from_config(text))
      if (item.name.empty()) std::abort();
  });
  return 0;
}
