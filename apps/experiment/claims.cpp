#include "apps/experiment/claims.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace elbo {

Claim claim_of(const PublishedNumber& n) {
  const auto squared = [](double error) { return std::isfinite(error) ? error * error : 0; };
  const double allowed = n.tolerance + 2 * std::sqrt(squared(n.paper_error) + squared(n.here_error));
  Claim claim{.claim = n.unit.empty() ? n.what : fmt::format("{} ({})", n.what, n.unit),
              .paper = with_error(n.paper, n.paper_error, n.digits),
              .here = with_error(n.here, n.here_error, n.digits),
              .holds = {},
              .note = n.note};
  if (n.comparable) claim.holds = std::abs(n.here - n.paper) <= allowed;
  return claim;
}

void judge_above_zero(Claim& claim, const Interval& interval) {
  claim.not_shown = !(std::abs(interval.middle) > interval.half);
  if (!claim.not_shown) claim.holds = interval.middle > 0;
}

Table claims_table(const std::vector<Claim>& claims) {
  Table table({"claim", "paper", "here", Table::verdict("holds"), "settings"});
  for (const Claim& claim : claims)
    table.row({claim.claim, claim.paper, claim.here,
               claim.holds       ? verdict(*claim.holds)
               : claim.not_shown ? "not shown"
                                 : "not judged",
               claim.note});
  return table;
}

Json to_json(const std::vector<Claim>& claims) {
  Json list = Json::array();
  for (const Claim& claim : claims)
    list.push_back({{"claim", claim.claim},
                    {"paper", claim.paper},
                    {"here", claim.here},
                    {"holds", claim.holds ? Json(*claim.holds) : Json(nullptr)},
                    {"not_shown", claim.not_shown},
                    {"note", claim.note}});
  return list;
}

}  // namespace elbo
