// Options that are numbers: decimal, finite, whole where the value is, and within bounds. One check for all
// of them, before anything else sees the value.
#pragma once

#include <CLI/CLI.hpp>
#include <cfloat>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

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

/// Gives an option the check, and its help the bounds.
CLI::Option* check_numbers(CLI::Option* option, bool whole, const Bounds& bounds);

/// An option for a number or, where the value is a vector, for a list of them between commas.
template <class T>
CLI::Option* add_number(CLI::App& app, const std::string& name, T& value, const std::string& help,
                        const Bounds& bounds) {
  return check_numbers(app.add_option(name, value, help), std::is_integral_v<T>, bounds);
}
template <class T>
CLI::Option* add_number(CLI::App& app, const std::string& name, std::vector<T>& values,
                        const std::string& help, const Bounds& bounds) {
  return check_numbers(app.add_option(name, values, help)->delimiter(','), std::is_integral_v<T>, bounds);
}

}  // namespace elbo
