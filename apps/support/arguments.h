// What a command takes from its command line or from a file: texts, flags, and numbers that are decimal,
// finite, whole where the value is, and within bounds. One check for all of them, before anything else sees
// the value.
//
// CLI11 does the work; its header takes a compiler longer than all else in a file, so none but arguments.cpp,
// toml_config.cpp and main.cpp includes it.
#pragma once

#include <cfloat>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace elbo {

/// What a number may be, both ends included. long double holds every integer of 64 bits.
struct Bounds {
  long double least, most;
};

/// Of epochs, points in a batch, units: so that products of two of them are still integers of 64 bits.
inline constexpr Bounds kCount{1, 1e9L}, kCountOrNone{0, 1e9L};
inline constexpr Bounds kIndex{0, std::numeric_limits<int64_t>::max()};
inline constexpr Bounds kSeed{0, std::numeric_limits<uint64_t>::max()};
/// As single precision holds them, which models compute in.
inline constexpr Bounds kPositive{FLT_MIN, FLT_MAX}, kNotNegative{0, FLT_MAX};

/// What is wrong with `text` as a number within the bounds; empty: nothing. Digits are decimal whatever they
/// begin with.
std::string fault_of_number(std::string_view text, bool whole, const Bounds& bounds);

/// One argument of a command: what it is called, and how it is read and shown. A handle, to be copied.
class Argument {
 public:
  explicit Argument(CLI::Option& option) : option_(&option) {}

  /// Lets the help show the value that the variable has now, or a text.
  Argument show_default() const;
  Argument show_default(const std::string& text) const;
  Argument required() const;
  Argument one_of(const std::vector<std::string>& texts) const;
  /// How many values there are.
  Argument values(int count) const;
  Argument excludes(const Argument& other) const;
  Argument needs(const Argument& other) const;
  /// The heading that the help shows it under.
  Argument group(const std::string& heading) const;

  /// "--free-nats".
  std::string name() const;
  /// Whether the user named it, on the command line or in a file.
  bool given() const;
  /// Why the command line would refuse that value; empty: it would not.
  std::string fault_in(std::string text) const;

 private:
  CLI::Option* option_;
};

/// The arguments of one command. The variables they are read into must live until the command has run.
class Arguments {
 public:
  explicit Arguments(CLI::App& app) : app_(&app) {}

  /// The heading under which the help shows what is added from here on.
  void begin_group(const std::string& heading);

  /// `name` may have further names behind commas: "--latent,--latent-dim"; the first is what it is called.
  Argument add_text(const std::string& name, std::string& value, const std::string& help);
  /// Several between commas.
  Argument add_texts(const std::string& name, std::vector<std::string>& values, const std::string& help);
  /// Several, each a word of the command line: they may hold commas.
  Argument add_paths(const std::string& name, std::vector<std::string>& values, const std::string& help);
  /// Several numbers, or a word in place of them, kept as the text between commas that they were given as.
  Argument add_widths(const std::string& name, std::string& value, const std::string& help);
  /// `name` may have a second name that sets the opposite: "--learn-sigma2,!--fix-sigma2".
  Argument add_flag(const std::string& name, bool& value, const std::string& help);
  /// A number (int, int64_t, uint64_t, double) or, where the value is a vector, several between commas.
  template <class T>
  Argument add_number(const std::string& name, T& value, const std::string& help, const Bounds& bounds);

  /// Takes words and options that are not of this command: rest() has them, in their order.
  void accept_rest();
  std::vector<std::string> rest() const;
  /// The file that the program's own --config names; empty: none.
  std::string config_file() const;

  /// What the help ends with.
  void footer(const std::string& text);
  /// What runs the command once its arguments are read.
  void run(std::function<void()> command);

  /// Those so far, in the order in which they were added.
  std::vector<Argument> all() const;
  /// The one with that name, e.g. "--data"; there must be one.
  Argument at(const std::string& name) const;
  /// Likewise, where there is one.
  std::optional<Argument> find(const std::string& name) const;
  bool given(const std::string& name) const { return at(name).given(); }

 private:
  CLI::App* app_;
};

/// Whether a file for --config has a section for a command and, where one is named, that option in it
/// ("threads"). Not where it cannot be read, which is for whoever takes options from it to say.
bool config_gives(const std::string& file, const std::string& command, const std::string& option = "");

}  // namespace elbo
