#include "apps/support/json.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

/// Calls visit(dotted name, element) for every element of `value` that is no object, nor, where
/// `into_arrays`, an array.
template <class Visit>
void for_each_leaf(const Json& value, const std::string& name, bool into_arrays, const Visit& visit) {
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, child] : value.items())
      for_each_leaf(child, name.empty() ? key : name + "." + key, into_arrays, visit);
  } else if (into_arrays && value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i)
      for_each_leaf(value[i], fmt::format("{}[{}]", name, i), into_arrays, visit);
  } else {
    visit(name, value);
  }
}

}  // namespace

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json finite_or_null(const std::vector<double>& values) {
  Json list = Json::array();
  for (double value : values) list.push_back(finite_or_null(value));
  return list;
}

double number_or_nan(const Json& value) { return value.is_null() ? std::nan("") : value.get<double>(); }

std::vector<double> numbers_or_nan(const Json& list) {
  std::vector<double> numbers;
  for (const Json& value : list) numbers.push_back(number_or_nan(value));
  return numbers;
}

std::string json_text(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::vector<std::string> not_finite_notes(const Json& value) {
  std::vector<std::string> notes;
  for_each_leaf(value, "", true, [&](const std::string& name, const Json& leaf) {
    if (!leaf.is_number_float()) return;
    const double number = leaf.get<double>();
    if (!std::isfinite(number)) notes.push_back(fmt::format("{} is {}, written as null", name, number));
  });
  return notes;
}

std::vector<std::pair<std::string, std::string>> flatten(const Json& value) {
  const auto text_of = [](const Json& leaf) {
    return leaf.is_string() ? leaf.get<std::string>()
                            : leaf.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  const auto text_of_element = [&](const Json& element) {
    if (!element.is_object()) return text_of(element);
    std::string text;
    for (const auto& [name, member] : element.items())
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, text_of(member));
    return text;
  };
  std::vector<std::pair<std::string, std::string>> leaves;
  for_each_leaf(value, "", false, [&](const std::string& name, const Json& leaf) {
    std::string text;
    if (leaf.is_array())
      for (const Json& element : leaf)
        text += (text.empty() ? "" : element.is_object() ? "; " : ", ") + text_of_element(element);
    else
      text = text_of(leaf);
    leaves.emplace_back(name, text);
  });
  return leaves;
}

Json parse_json(const std::string& text) {
  static constexpr int kDeepest = 100;  // what visits a value calls itself as often as it is deep
  return Json::parse(text, [](int depth, Json::parse_event_t, const Json&) {
    if (depth > kDeepest) fail("[json] lists and objects stand more than {} deep in each other", kDeepest);
    return true;
  });
}

Json read_json(const std::string& path) {
  const std::string text = read_file(path);
  try {
    return parse_json(text);
  } catch (const Error& error) {
    fail("{}: {}; was it edited by hand?", quote(path), error.what());
  } catch (const Json::parse_error& error) {
    fail("[json] {} is not JSON: it breaks off or goes wrong at byte {}; was it edited by hand?", quote(path),
         error.byte);
  } catch (const Json::out_of_range&) {
    fail("[json] {} has a number that double precision does not hold; was it edited by hand?", quote(path));
  }
}

}  // namespace elbo
