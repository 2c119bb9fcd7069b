// Ensembles in parts: how they are divided, who joins them, and what becomes of the parts.
#include "apps/experiment/parts.h"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "apps/experiment/unit_claims.h"
#include "tests/error_of.h"
#include "tests/temporary_directory.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

/// An ensemble whose members' results are their numbers, and a unit that is none.
std::vector<Unit> plan(int64_t members) {
  const auto numbers = [](const MemberRange& range) {
    Json list = Json::array();
    for (int64_t m = 0; m < range.count; ++m) list.push_back(range.first + m);
    return list;
  };
  return {{.key = "a",
           .title = "A",
           .cost = 10,
           .run =
               [=](const UnitPlace&) {
                 return numbers({0, members});
               },
           .ensemble = EnsembleParts{
               .members = members,
               .run = [=](const UnitPlace&, const MemberRange& range) { return numbers(range); },
               .join =
                   [](const UnitPlace&, const std::vector<PartOutcome>& parts) {
                     Json all = Json::array();
                     for (const PartOutcome& part : parts) append(all, part.result);
                     return all;
                   }}},
          {.key = "b", .title = "B", .run = [](const UnitPlace&) { return Json("alone"); }}};
}

std::vector<std::string> keys_of(const std::vector<Unit>& units) {
  std::vector<std::string> keys;
  for (const Unit& unit : units) keys.push_back(unit.key);
  return keys;
}

const Json kKept{{"unit", "A"}, {"seconds", 1}, {"result", Json::array()}};

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE(
      "an ensemble is divided into parts of about as many members, and what joins them comes after them") {
    const std::vector<Unit> units = in_parts(plan(10), 4);
    CHECK(keys_of(units) ==
          std::vector<std::string>{"a.members-0-2", "a.members-3-5", "a.members-6-9", "a", "b"});
    CHECK(units[0].cost == doctest::Approx(3));
    CHECK(units[2].cost == doctest::Approx(4));
    CHECK(units[2].title == "A, members 6 to 9");
    CHECK(units[3].parts == std::vector<std::string>{"a.members-0-2", "a.members-3-5", "a.members-6-9"});
    CHECK(in_parts(plan(2), 1)[1].title == "A, member 1");
    CHECK(keys_of(in_parts(plan(10), 0)) == std::vector<std::string>{"a", "b"});
    CHECK(error_of([] {
            in_parts(plan(4), 4);
          }).find("[--split] no unit here is an ensemble of more than 4") == 0);
  }

  TEST_CASE("parts are run and joined in order, and then they are gone") {
    const TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    const std::vector<Unit> units = in_parts(plan(10), 4);
    const auto by = [](const char* commit) { return Json{{"commit", commit}}; };
    const Outcomes some =
        run_units(units, directory, {.name = "test", .origin = by("one"), .only = {"b"}, .quiet = true});
    CHECK(some.keys() == std::vector<std::string>{"b"});
    run_units({units[0]}, directory, {.name = "test", .origin = by("two"), .quiet = true});
    run_units({units[1], units[2]}, directory, {.name = "test", .origin = by("three"), .quiet = true});
    const Outcomes all = run_units(units, directory, {.name = "test", .origin = by("four"), .quiet = true});
    CHECK(all.keys() == std::vector<std::string>{"a", "b"});
    CHECK(all.at("a") == Json{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    CHECK_FALSE(fs::exists(place / "run/a.members-0-2"));
    CHECK_FALSE(fs::exists(place / "run/running"));
    // By whom the parts were run, and by whom they were joined.
    CHECK(read_json(place / "run/a/unit.json").at("origins") ==
          Json::array({by("two"), by("three"), by("four")}));
  }

  TEST_CASE("a unit cannot be joined before its parts are there, and parts are done with it") {
    const TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    const std::vector<Unit> units = in_parts(plan(2), 1);
    UnitClaims claims(directory, 1e6);
    CHECK(claims.take(units[0])->publish(kKept));
    CHECK(claims.is_done(units[0]));
    CHECK_FALSE(claims.is_ready(units[2]));
    CHECK(claims.take(units[1])->publish(kKept));
    CHECK(claims.is_ready(units[2]));
    CHECK(claims.take(units[2])->publish(kKept));
    for (const Unit& unit : {units[0], units[1], units[2]}) {
      CHECK(claims.is_done(unit));
      CHECK_FALSE(claims.take(unit));
    }
  }

  TEST_CASE("who finds parts missing waits, and joins them") {
    const TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    const std::vector<Unit> units = in_parts(plan(2), 1);
    std::thread others([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      for (const Unit& part : {units[0], units[1]})
        CHECK(UnitClaims(directory, 1e6).take(part)->publish(kKept));
    });
    const Outcomes found = run_units({units[2]}, directory, {.name = "test", .quiet = true, .lease = 3});
    others.join();
    CHECK(found.keys() == std::vector<std::string>{"a"});
  }

  TEST_CASE("a part that comes after the whole leaves everything as it is") {
    const TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    const std::vector<Unit> units = in_parts(plan(2), 1);
    UnitClaims claims(directory, 1e6);
    const auto late = claims.take(units[0]);
    directory.write_text(late->folder() + "note.txt", "half");
    directory.write_json("a/unit.json", kKept);  // the whole, from others
    CHECK_FALSE(late->publish(kKept));
    CHECK_FALSE(fs::exists(place / "run/a.members-0-0"));
    CHECK_FALSE(fs::exists(place / ("run/" + late->folder())));
  }

  TEST_CASE("tidying removes parts that a killed joiner left, and none whose whole is not there") {
    const TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    const std::vector<Unit> units = in_parts(plan(2), 1);
    for (const char* key : {"a.members-0-0", "a.members-1-1", "b"})
      directory.write_json(std::string(key) + "/unit.json", kKept);
    const UnitClaims claims(directory, 1e6);
    claims.tidy(units);
    CHECK(fs::exists(place / "run/a.members-1-1/unit.json"));
    directory.write_json("a/unit.json", kKept);
    directory.write_text("running/a.1/note.txt", "half");
    claims.tidy(units);
    for (const char* gone : {"a.members-0-0", "a.members-1-1", "running"})
      CHECK_FALSE(fs::exists(place / (std::string("run/") + gone)));
    for (const char* kept : {"a", "b"})
      CHECK(fs::exists(place / (std::string("run/") + kept + "/unit.json")));
  }
}

}  // namespace elbo
