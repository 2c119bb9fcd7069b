// A paper's claims beside what came out here.
#include "apps/experiment/claims.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

namespace elbo {

TEST_SUITE("apps") {
  TEST_CASE("a number agrees within the tolerance and twice both errors together") {
    PublishedNumber n{
        .what = "ELBO", .unit = "nats", .paper = 10, .paper_error = 3, .here = 19.9, .here_error = 4};
    CHECK(claim_of(n).holds == true);  // 2 sqrt(3^2 + 4^2) = 10
    n.here = 20.1;
    CHECK(claim_of(n).holds == false);
    n.tolerance = 0.2;
    CHECK(claim_of(n).holds == true);
    n.here = -0.3;
    CHECK(claim_of(n).holds == false);
    n.paper_error = n.here_error = std::nan("");
    n.here = 10.1;
    CHECK(claim_of(n).holds == true);
    n.here = std::nan("");
    CHECK(claim_of(n).holds == false);
    n.comparable = false;
    CHECK_FALSE(claim_of(n).holds.has_value());
  }

  TEST_CASE("a difference is above 0, below, or neither by its interval") {
    const auto judged = [](const Interval& interval) {
      Claim claim;
      judge_above_zero(claim, interval);
      return std::pair(claim.holds, claim.not_shown);
    };
    CHECK(judged({1, 0.9}) == std::pair(std::optional(true), false));
    CHECK(judged({-1, 0.9}) == std::pair(std::optional(false), false));
    const std::optional<bool> open;
    CHECK(judged({1, 1.1}) == std::pair(open, true));
    CHECK(judged({-1, 1.1}) == std::pair(open, true));
    CHECK(judged({1, std::nan("")}) == std::pair(open, true));
    Claim claim{.claim = "nearer"};
    judge_above_zero(claim, {1, 2});
    CHECK(claims_table({claim}).rows()[0][3] == "not shown");
    CHECK(to_json({claim})[0].at("not_shown") == true);
    CHECK(to_json({Claim{}})[0].at("not_shown") == false);
  }

  TEST_CASE("claims are said in a table and in JSON") {
    const std::vector<Claim> claims{
        claim_of({.what = "ELBO", .unit = "nats", .paper = 1, .here = 1.25, .here_error = 0.5, .digits = 1}),
        {.claim = "curves cross", .paper = "yes", .here = "no", .holds = false, .note = "k = 3"},
        {.claim = "larger", .paper = "yes", .here = "not seen", .holds = {}, .note = "another data set"}};
    const Table table = claims_table(claims);
    CHECK(table.rows()[0] == std::vector<std::string>{"ELBO (nats)", "1.0", "1.2 ± 0.5", "ok", ""});
    CHECK(table.rows()[1] == std::vector<std::string>{"curves cross", "yes", "no", "fails", "k = 3"});
    CHECK(table.rows()[2][3] == "not judged");
    const Json json = to_json(claims);
    CHECK(json[0].at("holds") == true);
    CHECK(json[2].at("holds").is_null());
    CHECK(json[1].at("claim") == "curves cross");
  }
}

}  // namespace elbo
