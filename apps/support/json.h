// json: the JSON that runs write and read.
//
// Objects keep the order in which they were filled, so files read as they were meant. Numbers are printed
// with every digit needed to read the same double back. Wraps nlohmann-json; a header that only passes Json
// along includes this one, and a .cpp that looks inside includes <nlohmann/json.hpp>.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

namespace elbo {

using Json = nlohmann::ordered_json;

/// The number, or null for one that JSON cannot hold.
Json finite_or_null(double value);
Json finite_or_null(const std::vector<double>& values);
/// And back: NaN for null.
double number_or_nan(const Json& value);
std::vector<double> numbers_or_nan(const Json& list);

/// Indented text ending in a line break. Bytes that are not UTF-8 are replaced, not-finite numbers are null.
std::string json_text(const Json& value);

/// One phrase for each number in `value` that JSON cannot hold, e.g. "metrics.elbo is nan, written as null".
std::vector<std::string> not_finite_notes(const Json& value);

/// Every leaf of nested objects with its dotted name, to be read by people: {"a": {"b": [1, 2]}} gives "a.b"
/// and "1, 2"; strings have no quotes.
std::vector<std::pair<std::string, std::string>> flatten(const Json& value);

/// The parsed file. Throws Error when it is missing or not JSON, naming the file and the place.
Json read_json(const std::string& path);
/// Throws Json::exception for what is not JSON, and Error for what is so deep that who visits it would run
/// out of stack.
Json parse_json(const std::string& text);

}  // namespace elbo
