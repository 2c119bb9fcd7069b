#include "apps/support/arguments.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <charconv>
#include <cmath>
#include <optional>

namespace elbo {
namespace {

template <class T>
std::optional<T> read(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<long double> number_in(std::string_view text, bool whole) {
  if (!whole) {
    const auto value = read<double>(text);
    return value && std::isfinite(*value) ? std::optional<long double>(*value) : std::nullopt;
  }
  if (const auto value = read<int64_t>(text)) return *value;
  if (const auto value = read<uint64_t>(text)) return *value;
  return std::nullopt;
}

/// "of at least 1", "above 0", "from 2 to 100".
std::string words(const Bounds& b) {
  const auto number = [](long double value) {
    return value == std::floor(value) ? fmt::format("{:.0f}", value) : fmt::format("{:g}", value);
  };
  const std::string least = b.least == kPositive.least ? "above 0" : "of at least " + number(b.least);
  if (b.most == kPositive.most || b.most == kIndex.most) return least;
  return fmt::format("from {} to {}", number(b.least), number(b.most));
}

}  // namespace

std::string fault_of_number(std::string_view text, bool whole, const Bounds& bounds) {
  const std::optional<long double> value = number_in(text, whole);
  if (value && *value >= bounds.least && *value <= bounds.most) return "";
  const bool tiny = value && *value > 0 && *value < kPositive.least;
  const bool huge = value && !whole && *value > kPositive.most;
  return fmt::format("'{}' is not a {} number {}{}", text, whole ? "whole" : "finite", words(bounds),
                     tiny || huge ? " in single precision" : "");
}

Argument Argument::show_default() const {
  option_->capture_default_str();
  return *this;
}
Argument Argument::show_default(const std::string& text) const {
  option_->default_str(text);
  return *this;
}
Argument Argument::required() const {
  option_->required();
  return *this;
}
Argument Argument::one_of(const std::vector<std::string>& texts) const {
  option_->check(CLI::IsMember(texts));
  return *this;
}
Argument Argument::values(int count) const {
  option_->expected(count);
  return *this;
}
Argument Argument::excludes(const Argument& other) const {
  option_->excludes(other.option_);
  return *this;
}
Argument Argument::needs(const Argument& other) const {
  option_->needs(other.option_);
  return *this;
}
Argument Argument::group(const std::string& heading) const {
  option_->group(heading);
  return *this;
}
std::string Argument::name() const { return option_->get_name(); }
bool Argument::given() const { return option_->count() > 0; }

std::string Argument::fault_in(std::string text) const {
  // CLI11 says where its validators end by an exception only.
  for (int i = 0;; ++i) try {
      const std::string fault = (*option_->get_validator(i))(text);
      if (!fault.empty()) return fault;
    } catch (const CLI::OptionNotFound&) {
      return "";
    }
}

void Arguments::begin_group(const std::string& heading) { app_->option_defaults()->group(heading); }

Argument Arguments::add_text(const std::string& name, std::string& value, const std::string& help) {
  return Argument(*app_->add_option(name, value, help));
}
Argument Arguments::add_texts(const std::string& name, std::vector<std::string>& values,
                              const std::string& help) {
  return Argument(*app_->add_option(name, values, help)->delimiter(','));
}
Argument Arguments::add_paths(const std::string& name, std::vector<std::string>& values,
                              const std::string& help) {
  return Argument(*app_->add_option(name, values, help));
}
Argument Arguments::add_widths(const std::string& name, std::string& value, const std::string& help) {
  const auto keep = [&value](const std::vector<std::string>& list) {
    value = fmt::format("{}", fmt::join(list, ","));
  };
  CLI::Option* option = app_->add_option_function<std::vector<std::string>>(name, keep, help);
  return Argument(*option->delimiter(',')->type_name("WIDTH"));
}
Argument Arguments::add_flag(const std::string& name, bool& value, const std::string& help) {
  CLI::Option* option = app_->add_flag(name, value, help);
  // Given twice, the two would say different things, or the same.
  if (name.find('!') != std::string::npos) option->multi_option_policy(CLI::MultiOptionPolicy::Throw);
  return Argument(*option);
}

template <class T>
Argument Arguments::add_number(const std::string& name, T& value, const std::string& help,
                               const Bounds& bounds) {
  CLI::Option* option = app_->add_option(name, value, help);
  if constexpr (!std::is_arithmetic_v<T>) option->delimiter(',');
  const bool whole = std::is_integral_v<T> || std::is_same_v<T, std::vector<int64_t>>;
  option->type_name(whole ? "INT" : "FLOAT");
  // CLI11 would read 010 as 8, so a whole number goes on as its value is written.
  option->transform(CLI::Validator(
      [=](std::string& text) {
        const std::string fault = fault_of_number(text, whole, bounds);
        if (fault.empty() && whole) text = fmt::format("{:.0f}", *number_in(text, whole));
        return fault;
      },
      ""));
  return Argument(*option);
}
template Argument Arguments::add_number(const std::string&, int&, const std::string&, const Bounds&);
template Argument Arguments::add_number(const std::string&, int64_t&, const std::string&, const Bounds&);
template Argument Arguments::add_number(const std::string&, uint64_t&, const std::string&, const Bounds&);
template Argument Arguments::add_number(const std::string&, double&, const std::string&, const Bounds&);
template Argument Arguments::add_number(const std::string&, std::vector<int64_t>&, const std::string&,
                                        const Bounds&);
template Argument Arguments::add_number(const std::string&, std::vector<double>&, const std::string&,
                                        const Bounds&);

void Arguments::accept_rest() {
  app_->fallthrough(false);  // nor has the program's own --config anything to say to it
  app_->allow_extras();
}

std::vector<std::string> Arguments::rest() const { return app_->remaining(); }

std::string Arguments::config_file() const {
  const CLI::App* program = app_->get_parent();
  const CLI::Option* config = program ? program->get_config_ptr() : nullptr;
  return config && config->count() > 0 ? config->as<std::string>() : "";
}

void Arguments::footer(const std::string& text) { app_->footer(text); }
void Arguments::run(std::function<void()> command) { app_->callback(std::move(command)); }

std::vector<Argument> Arguments::all() const {
  std::vector<Argument> arguments;
  for (CLI::Option* option : app_->get_options()) arguments.emplace_back(*option);
  return arguments;
}
Argument Arguments::at(const std::string& name) const { return Argument(*app_->get_option(name)); }
std::optional<Argument> Arguments::find(const std::string& name) const {
  CLI::Option* const option = app_->get_option_no_throw(name);
  return option ? std::optional(Argument(*option)) : std::nullopt;
}

}  // namespace elbo
