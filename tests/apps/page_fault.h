// fault_in: whether a page is well formed, for tests of what is written as HTML.
#pragma once

#include <cctype>
#include <set>
#include <string>
#include <vector>

namespace elbo {

/// What is wrong with a page: a tag that is not closed, a quote left open, an id used twice, or a reference
/// to no id. Empty when nothing is.
inline std::string fault_in(const std::string& html) {
  const std::set<std::string> without_end = {"!DOCTYPE", "meta", "img", "input"};
  std::vector<std::string> open, references;
  std::set<std::string> ids;
  for (size_t at = 0; (at = html.find('<', at)) != std::string::npos;) {
    // To the tag's end, reading its attributes on the way.
    size_t i = at + 1;
    while (i < html.size() && !std::isspace(static_cast<unsigned char>(html[i])) && html[i] != '>') ++i;
    std::string name = html.substr(at + 1, i - at - 1);
    std::string attribute;
    while (i < html.size() && html[i] != '>') {
      if (html[i] == '"' || html[i] == '\'') {
        const size_t end = html.find(html[i], i + 1);
        if (end == std::string::npos) return "open quote in " + name;
        const std::string value = html.substr(i + 1, end - i - 1);
        if (value.find('<') != std::string::npos) return "markup in an attribute of " + name;
        if (attribute.ends_with(" id=") && !ids.insert(value).second) return "id twice: " + value;
        if (attribute.ends_with("href=") && value.starts_with("#")) references.push_back(value.substr(1));
        if (value.starts_with("url(#")) references.push_back(value.substr(5, value.size() - 6));
        i = end;
        attribute.clear();
      } else {
        attribute += html[i] == '\n' ? ' ' : html[i];
      }
      ++i;
    }
    if (i >= html.size()) return "tag without end: " + name;
    if (name.starts_with('/')) {
      if (open.empty() || open.back() != name.substr(1)) return "unexpected </" + name.substr(1) + ">";
      open.pop_back();
    } else if (html[i - 1] != '/' && !without_end.contains(name)) {
      open.push_back(name);
    }
    at = name == "style" || name == "script" ? html.find("</" + name + ">", i) : i;
  }
  for (const std::string& reference : references)
    if (!ids.contains(reference)) return "reference to no id: " + reference;
  return open.empty() ? "" : "not closed: " + open.back();
}

}  // namespace elbo
