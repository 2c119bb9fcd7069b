#include "apps/ledger/publication.h"

namespace elbo::ledger {

Json value_at(const Json& json, const std::string& path) {
  const Json* at = &json;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    if (!at->is_object() || !at->contains(name)) return nullptr;
    at = &at->at(name);
    begin = end + 1;
  }
  return *at;
}

std::string text_at(const Json& json, const std::string& path) {
  const Json value = value_at(json, path);
  return value.is_string() ? value.get<std::string>() : "";
}

double metric(const Json& result, const std::string& path) {
  const Json value = value_at(result, "metrics." + path);
  return value.is_number() ? value.get<double>() : std::nan("");
}

Line claim_line(const std::string& item, const std::string& claim, const std::string& words, int skip) {
  return {.item = item,
          .what = claim,
          .words = words,
          .read = [claim, skip](const Json& result) -> std::optional<Reading> {
            int left = skip;
            for (const Json& own : value_at(result, "metrics.claims")) {
              if (!own.at("claim").get<std::string>().starts_with(claim) || left-- > 0) continue;
              Reading reading{.here = own.at("here"), .note = own.at("note")};
              if (own.at("holds").is_boolean()) reading.holds = own.at("holds").get<bool>();
              reading.not_shown = own.value("not_shown", false);
              return reading;
            }
            return std::nullopt;
          },
          .judged_there = true};
}

Line picture_line(const std::string& item, const std::string& what, const std::string& words) {
  return {.item = item, .what = what, .words = words};
}

}  // namespace elbo::ledger
