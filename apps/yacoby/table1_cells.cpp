// Which settings of which methods are trained on which data.
#include <algorithm>
#include <set>

#include "apps/yacoby/table1.h"

namespace elbo::yacoby {
namespace {

std::vector<Method> methods_of(const Table1Options& o) {
  std::vector<Method> methods;
  for (const std::string& text : o.methods) methods.push_back(parse_method(text));
  return methods.empty() ? all_methods() : methods;
}

}  // namespace

std::vector<const DataKind*> kinds_of(const Table1Options& o) {
  std::vector<const DataKind*> kinds;
  for (const std::string& key : o.kinds) kinds.push_back(&data_kind(key));
  if (kinds.empty())
    for (const DataKind& kind : data_kinds()) kinds.push_back(&kind);
  return kinds;
}

std::vector<Cell> cells_of(const Table1Options& o) {
  std::vector<Cell> cells;
  std::set<std::string> unknown(o.settings.begin(), o.settings.end());
  for (const DataKind* kind : kinds_of(o))
    for (const Method method : methods_of(o))
      for (const Setting& setting : grid_of(*kind, method)) {
        unknown.erase(key_of(setting));
        const bool wanted = o.settings.empty() || std::find(o.settings.begin(), o.settings.end(),
                                                            key_of(setting)) != o.settings.end();
        if (wanted) cells.push_back({kind, setting});
      }
  if (!unknown.empty())
    fail("[--settings] there is no {} among these data and methods; --dry-run lists the units",
         *unknown.begin());
  return cells;
}

}  // namespace elbo::yacoby
