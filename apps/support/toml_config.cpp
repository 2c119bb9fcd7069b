#include "apps/support/toml_config.h"

#include <fmt/format.h>

#define TOML_ENABLE_FORMATTERS 0
#define TOML_HEADER_ONLY 1
// What it asserts of a text is not so for every text ("[@"), of which it then says what is wrong. With NDEBUG
// clang would take it as given.
#define TOML_ASSERT(expr) static_assert(true)
#pragma push_macro("NDEBUG")
#undef NDEBUG
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <utility>

#include "apps/support/arguments.h"
#include "apps/support/text.h"
#include "apps/support/toml_quotes.h"
#include "tensor/error.h"

namespace elbo {
namespace {

/// As `fail`, on one line: what stands in a file, and its name, may have line breaks.
template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  fail("{}", on_one_line(fmt::format(format, std::forward<Args>(args)...)));
}

/// Where something stands: "a.toml, line 3".
std::string place(const std::string& file, const toml::source_region& source) {
  return fmt::format("[--config] {}, line {}", file, source.begin.line);
}

const char* name_of(toml::node_type type) {
  switch (type) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a float";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or a time";
  }
}

/// What an option takes, by the type that its help shows.
struct Kind {
  const char* name;
  bool boolean, integer, real, string;
};
Kind kind_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  if (option.get_expected_min() == 0) return {"true or false", true, false, false, false};
  if (type.starts_with("INT")) return {"an integer", false, true, false, false};
  if (type.starts_with("FLOAT")) return {"a number", false, true, true, false};
  if (type.starts_with("WIDTH")) return {"a width", false, true, false, true};
  return {"a string", false, false, false, true};
}

/// A value as the command line would have it, or nothing where it is of another type.
std::optional<std::string> text_of(const toml::node& value, const Kind& kind) {
  if (kind.boolean && value.is_boolean()) return *value.value<bool>() ? "true" : "false";
  if (kind.integer && value.is_integer()) return fmt::format("{}", *value.value<int64_t>());
  if (kind.real && value.is_floating_point()) return fmt::format("{}", *value.value<double>());
  if (kind.string && value.is_string()) return *value.value<std::string>();
  return std::nullopt;
}

std::vector<std::string> inputs_of(const CLI::Option& option, const std::string& key, const toml::node& value,
                                   const std::string& file) {
  const Kind kind = kind_of(option);
  const bool takes_list = option.get_delimiter() != '\0';
  std::vector<std::string> inputs;
  const auto add = [&](const toml::node& one) {
    const std::optional<std::string> text = text_of(one, kind);
    if (!text)
      refuse("{}: {} takes {}{}, not {}", place(file, one.source()), key, kind.name,
             takes_list ? " or a list of them" : "", name_of(one.type()));
    inputs.push_back(*text);
  };
  const toml::array* list = value.as_array();
  if (!list || !takes_list) {
    add(value);
    return inputs;
  }
  if (list->empty()) refuse("{}: {} is an empty list; leave it away", place(file, value.source()), key);
  for (const toml::node& one : *list) add(one);
  return inputs;
}

const CLI::Option* find_option(const CLI::App& command, const std::string& key) {
  const CLI::Option* option = command.get_option_no_throw("--" + key);
  if (!option && !key.starts_with('-')) option = command.get_option_no_throw(key);  // one without dashes
  return option && option->get_configurable() ? option : nullptr;
}

std::vector<CLI::ConfigItem> read_section(const CLI::App& command, const toml::table& section,
                                          const std::string& file) {
  std::vector<CLI::ConfigItem> items;
  std::map<const CLI::Option*, std::string> seen;  // --learn-sigma2 and --fix-sigma2 are one
  for (const auto& [key, value] : section) {
    const std::string name(key.str()), where = place(file, key.source());
    const CLI::Option* option = find_option(command, name);
    if (!option)
      refuse("{}: {} is no option of elbo {}; see elbo {} --help", where, name, command.get_name(),
             command.get_name());
    if (const auto [same, is_new] = seen.emplace(option, name); !is_new)
      refuse("{}: {} and {} are the same option; give one", where, same->second, name);
    items.push_back(
        {.parents = {command.get_name()}, .name = name, .inputs = inputs_of(*option, name, value, file)});
  }
  return items;
}

/// Whether the command line, which comes first, names an option that excludes this one.
bool is_excluded(const CLI::App& command, const std::string& name) {
  const CLI::Option* option = find_option(command, name);
  const auto excluded = option->get_excludes();
  return option->count() == 0 && std::any_of(excluded.begin(), excluded.end(),
                                             [](const CLI::Option* other) { return other->count() > 0; });
}

/// What is in a file, pipes included, up to a length that no configuration has.
std::string read_text(std::istream& input, const std::string& file) {
  constexpr size_t kMost = 1 << 20;
  std::string text(kMost + 1, '\0');
  input.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(input.gcount()));
  if (text.size() > kMost) refuse("[--config] {} holds more than 1 MiB, so it is no file of options", file);
  return text;
}

}  // namespace

std::vector<CLI::ConfigItem> TomlConfig::from_config(std::istream& input) const {
  const auto file = app_.get_config_ptr()->as<std::string>();
  const std::string text = read_text(input, file);
  if (const auto found = misplaced_character(text)) {
    const std::string where = fmt::format("[--config] {}, line {}", file, found->line);
    if (found->behind_backslash)
      refuse("{}: '{}' cannot be read behind a backslash; write the text on one line", where,
             found->character);
    refuse("{}: '{}' stands outside quotes, where TOML has ASCII alone; put it in quotes", where,
           found->character);
  }
  toml::table root;
  try {
    root = toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    refuse("{}: {}", place(file, error.source()), std::string(error.description()));
  }
  const std::vector<CLI::App*> chosen = app_.get_subcommands();
  const std::vector<const CLI::App*> commands =
      app_.get_subcommands([](const CLI::App* command) { return !command->get_name().empty(); });
  std::vector<CLI::ConfigItem> taken;
  std::string sections;
  bool found = false;
  for (const auto& [key, value] : root) {
    const std::string name(key.str()), where = place(file, key.source());
    if (value.is_array_of_tables()) refuse("{}: [[{}]] is a list of sections; write [{}]", where, name, name);
    if (!value.is_table())
      refuse("{}: {} stands outside a section; put it below the name of a command, such as [train]", where,
             name);
    const auto command = std::find_if(commands.begin(), commands.end(),
                                      [&](const CLI::App* one) { return one->get_name() == name; });
    if (command == commands.end()) refuse("{}: [{}] is no command; see elbo list", where, name);
    std::vector<CLI::ConfigItem> own = read_section(**command, *value.as_table(), file);
    std::erase_if(own, [&](const CLI::ConfigItem& item) { return is_excluded(**command, item.name); });
    sections += fmt::format("{}[{}]", sections.empty() ? "" : ", ", name);
    if (std::find(chosen.begin(), chosen.end(), *command) == chosen.end()) continue;
    found = true;
    std::move(own.begin(), own.end(), std::back_inserter(taken));
  }
  if (!found && !sections.empty() && !chosen.empty())
    refuse("[--config] {} has no section [{}]; it has {}", file, chosen[0]->get_name(), sections);
  return taken;
}

bool config_gives(const std::string& file, const std::string& command, const std::string& option) {
  std::ifstream input(file);
  const std::string text(std::istreambuf_iterator<char>(input), {});
  if (misplaced_character(text)) return false;
  try {
    const toml::table root = toml::parse(text);
    const toml::table* section = root.get_as<toml::table>(command);
    return section && (option.empty() || section->contains(option));
  } catch (const toml::parse_error&) {
    return false;
  }
}

std::string TomlConfig::to_config(const CLI::App*, bool, bool, std::string) const {
  fail("[--config] options are read from TOML, not written; a run's are in its config.json");
}

}  // namespace elbo
