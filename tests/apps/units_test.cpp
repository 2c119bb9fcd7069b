// Units of an experiment: which are run, what is kept, what a broken-off run leaves to the next.
#include "apps/experiment/units.h"

#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/support/interrupt.h"
#include "tensor/file.h"
#include "tests/error_of.h"
#include "tests/temporary_directory.h"

namespace elbo {
namespace {

/// Three units; each notes that it ran, and one of them stops the run.
struct Three {
  std::vector<std::string> ran;
  std::string stops;
  std::vector<Unit> units() {
    std::vector<Unit> all;
    for (const char* key : {"a", "b", "c"})
      all.push_back(
          {.key = key, .title = std::string("unit ") + key, .run = [this, key](const UnitPlace& place) {
             ran.push_back(key);
             place.directory.write_text(place.folder + "note.txt", key);
             place.progress(0.5, {});
             if (stops == key) std::raise(SIGTERM);
             return Json{{"name", key}, {"third", 1.0 / 3}, {"none", std::nan("")}};
           }});
    return all;
  }
};

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("units run in their order, each with a folder of its own, and their results are as read back") {
    TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    Three three;
    const Outcomes outcomes = run_units(three.units(), directory, {.name = "test", .quiet = true});
    CHECK(three.ran == std::vector<std::string>{"a", "b", "c"});
    CHECK(outcomes.keys() == three.ran);
    CHECK(read_file(directory.file("b/note.txt")) == "b");
    CHECK(outcomes.at("c").at("name") == "c");
    CHECK(outcomes.at("c").at("third") == 1.0 / 3);
    CHECK(outcomes.at("c").at("none").is_null());
    CHECK(error_of([&] { outcomes.at("d"); }).find("'d'") != std::string::npos);
  }

  TEST_CASE("a unit during which the run is interrupted has no result, and is the first of the next run") {
    TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    Three three{.ran = {}, .stops = "b"};
    {
      const InterruptGuard guard;
      CHECK(run_units(three.units(), directory, {.name = "test", .quiet = true}).keys() ==
            std::vector<std::string>{"a"});
    }
    CHECK(three.ran == std::vector<std::string>{"a", "b"});
    CHECK_FALSE(std::filesystem::exists(directory.file("b/unit.json")));
    Three again;
    const InterruptGuard guard;
    const Outcomes outcomes = run_units(again.units(), directory, {.name = "test", .quiet = true});
    CHECK(again.ran == std::vector<std::string>{"b", "c"});
    CHECK(outcomes.keys() == std::vector<std::string>{"a", "b", "c"});
    CHECK(outcomes.at("a").at("third") == 1.0 / 3);
  }

  TEST_CASE("whoever was at a unit is kept with it, also who was asked to stop or broke off") {
    TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    const auto origin = [](const char* commit) { return Json{{"commit", commit}, {"cpu", "c"}}; };
    const auto run = [&](const char* commit, std::vector<Unit> units) {
      const InterruptGuard guard;
      return run_units(units, directory, {.name = "test", .origin = origin(commit), .quiet = true}).origins();
    };
    const auto counted = [](std::vector<std::pair<const char*, int>> counts) {
      Json list = Json::array();
      for (const auto& [commit, units] : counts)
        list.push_back({{"commit", commit}, {"cpu", "c"}, {"units", units}});
      return list;
    };
    Three stopping{.ran = {}, .stops = "b"}, again;
    CHECK(run("first", stopping.units()) == counted({{"first", 1}}));
    std::vector<Unit> breaking = again.units();
    breaking[1].run = [](const UnitPlace&) -> Json { fail("broken off"); };
    CHECK_THROWS_AS(run("second", breaking), Error);
    CHECK(run("third", again.units()) == counted({{"first", 2}, {"second", 1}, {"third", 2}}));
    CHECK(run("fourth", again.units()) == counted({{"first", 2}, {"second", 1}, {"third", 2}}));
    CHECK(read_json(directory.file("b/unit.json")).at("origins") ==
          Json::array({origin("first"), origin("second"), origin("third")}));
    for (const char* name : {"origins.json", "seconds.json"})
      CHECK_FALSE(std::filesystem::exists(directory.path() + "/b/" + name));

    // An earlier version's unit, and one that somebody has edited.
    const auto rewrite = [&](const std::function<void(Json&)>& change) {
      Json kept = read_json(directory.file("a/unit.json"));
      change(kept);
      directory.write_json("a/unit.json", kept);
      return outcomes_in(again.units(), directory).origins();
    };
    const Json old = rewrite([](Json& kept) { kept.erase("origins"); });
    CHECK(old.at(0) == Json{{"commit", ""}, {"cpu", ""}, {"device", ""}, {"units", 1}});
    CHECK(old.size() == 4);
    for (const Json& damage : {Json(3), Json::array({3}), Json::object(), Json::array({Json{{"cpu", 1}}}),
                               Json::array({Json{{"units", "7"}}})})
      CHECK(error_of([&] { rewrite([&](Json& kept) { kept["origins"] = damage; }); }).find("a/unit.json") !=
            std::string::npos);
  }

  TEST_CASE("a unit that an earlier version began says so, and one that cannot be published loses nothing") {
    TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    const auto run = [&](const char* commit, std::vector<Unit> units) {
      const InterruptGuard guard;
      units.resize(1);
      const Json origin{{"commit", commit}};
      return run_units(units, directory, {.name = "test", .origin = origin, .quiet = true}).origins();
    };
    Three stopping{.ran = {}, .stops = "a"}, again;
    run("first", stopping.units());
    std::filesystem::remove(directory.file("running/a.1/origins.json"));  // as an earlier version leaves it
    std::vector<Unit> blocked = again.units();
    blocked[0].run = [&](const UnitPlace& at) {
      std::filesystem::create_directories(directory.path() + "/" + at.folder + "unit.json/full");
      return Json();
    };
    CHECK_THROWS_AS(run("second", blocked), Error);
    const std::string left = directory.path() + "/running/a.2/";
    CHECK(read_json(left + "seconds.json").get<double>() > 0);
    std::filesystem::remove_all(left + "unit.json");
    CHECK(run("third", again.units()) ==
          Json::array({Json{{"commit", ""}, {"cpu", ""}, {"device", ""}, {"units", 1}},
                       Json{{"commit", "second"}, {"units", 1}}, Json{{"commit", "third"}, {"units", 1}}}));
  }

  TEST_CASE("chosen units run, and what others left is there, in the experiment's order") {
    TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    Three three;
    const auto run = [&](std::vector<std::string> only) {
      return run_units(three.units(), directory, {.name = "test", .only = std::move(only), .quiet = true})
          .keys();
    };
    CHECK(run({"c"}) == std::vector<std::string>{"c"});
    CHECK(run({"c", "a"}) == std::vector<std::string>{"a", "c"});
    CHECK(run({"a"}) == std::vector<std::string>{"a", "c"});
    CHECK(three.ran == std::vector<std::string>{"c", "a"});
    CHECK(run({}) == std::vector<std::string>{"a", "b", "c"});
    CHECK(error_of([&] {
            check_keys(three.units(), {"a", "x"});
          }) == "[--only] there is no unit 'x'; there are a, b, c");
    std::vector<Unit> twice = three.units();
    twice[2].key = "a";
    CHECK(error_of([&] { check_keys(twice, {}); }).find("two units are called 'a'") != std::string::npos);
  }

  TEST_CASE("what cannot be measured costs as much as its share of what was") {
    std::vector<Unit> units(3);
    units.push_back({.key = "d", .title = "D", .cost = 2, .measure = []() -> double {
                       FAIL("measured twice");
                       return 0;
                     }});
    units[0] = {.key = "a", .title = "A", .cost = 2, .measure = [] { return 60.0; }};
    units[1] = {.key = "b", .title = "B", .cost = 6};
    units[2] = {.key = "c", .title = "C", .cost = 1, .measure = [] { return 30.0; }};
    const std::string text = cost_of(units);
    CAPTURE(text);
    CHECK(text.find("b     B     3 min 00 s") != std::string::npos);  // 6 of 3 that take 90 s
    CHECK(text.find("4 units, about 5 min 30 s") != std::string::npos);
  }

  TEST_CASE("seconds for many steps follow from a few of them") {
    int64_t taken = 0;
    const double seconds = seconds_for_steps(5, [&](int64_t n) { taken += n; });
    CHECK(taken >= 6);  // one to warm up
    CHECK(taken <= 9);
    CHECK(seconds < 1);
  }
}

}  // namespace elbo
