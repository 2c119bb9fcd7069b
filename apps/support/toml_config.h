// Options from a TOML file, for `--config FILE`: a section for each command, a key for each option.
//
//   [train]
//   latent = 32               # as --latent 32
//   lr = [1e-3, 3e-3]         # as --lr 0.001,0.003
//   learn-sigma2 = false      # as --fix-sigma2
//
// Strict: a key that is no option, a section that is no command, a value of another type and anything nested
// is an Error with the file and the line. What the command line says comes first.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace elbo {

class TomlConfig : public CLI::Config {
 public:
  /// For the options of `app`, which must outlive it and name the file by its config option.
  explicit TomlConfig(const CLI::App& app) : app_(app) {}

  /// The options of the command that was chosen; those of others are checked and left.
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;
  /// Throws: what a run used is in its config.json.
  std::string to_config(const CLI::App*, bool, bool, std::string) const override;

 private:
  const CLI::App& app_;
};

}  // namespace elbo
