#include "apps/number_option.h"

#include <fmt/format.h>

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

CLI::Option* check_numbers(CLI::Option* option, bool whole, const Bounds& bounds) {
  option->type_name(whole ? "INT" : "FLOAT");
  // CLI11 would read 010 as 8, so a whole number goes on as its value is written.
  return option->transform(CLI::Validator(
      [=](std::string& text) {
        const std::string fault = fault_of_number(text, whole, bounds);
        if (fault.empty() && whole) text = fmt::format("{:.0f}", *number_in(text, whole));
        return fault;
      },
      ""));
}

}  // namespace elbo
