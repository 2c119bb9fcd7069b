// Units that several processes share: each is published once, whoever is taken for dead and wakes; whoever
// takes a unit over goes on from what was left.
#include "apps/experiment/unit_claims.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "apps/experiment/run_state.h"
#include "apps/support/folder_files.h"
#include "tensor/file.h"
#include "tests/error_of.h"
#include "tests/temporary_directory.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

constexpr double kLong = 1e6;  // seconds: no heartbeat within a test

const Json kKept{{"unit", "A"}, {"seconds", 1.5}, {"origins", Json::array()}, {"result", {{"x", 0.1}}}};

Unit unit_of(const std::string& key) { return {.key = key, .title = key}; }

/// Makes a holder of this process look like one elsewhere that keeps silent.
void freeze(const RunDirectory& directory, const std::string& claim) {
  write_file_atomically(
      directory.path() + "/running/" + claim,
      R"({"host":"elsewhere","worker":"w","since":"","seconds":1,"share":0,"text":"","beat":1,)"
      R"("lease":1e-6,"let_go":false,"machine":"another","pid":1,"began":"1"})");
}

std::unique_ptr<ClaimedUnit> take_over(UnitClaims& claims, const std::string& key) {
  std::unique_ptr<ClaimedUnit> claimed;
  for (int look = 0; look < 10 && !claimed; ++look) claimed = claims.take(unit_of(key));
  return claimed;
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("a unit is worked on in a folder of its own, which gets the unit's name when it is done") {
    const TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    UnitClaims claims(directory, kLong);
    const auto claimed = claims.take(unit_of("a"));
    REQUIRE(claimed);
    CHECK(claimed->folder() == "running/a.1/");
    CHECK_FALSE(claimed->resuming());
    directory.write_text(claimed->folder() + "deep/note.txt", "n");
    CHECK_FALSE(claims.is_done(unit_of("a")));
    CHECK_FALSE(claims.take(unit_of("a")));
    CHECK(claimed->publish(kKept));
    CHECK(claims.is_done(unit_of("a")));
    CHECK(kept_unit(directory.path(), "a") == kKept);
    CHECK(read_file(place / "run/a/deep/note.txt") == "n");
    CHECK_FALSE(fs::exists(place / "run/running"));
    CHECK_FALSE(claims.take(unit_of("a")));
  }

  TEST_CASE("one that lets go leaves its folder to the next") {
    const TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    UnitClaims claims(directory, kLong);
    for (int attempt = 1; attempt <= 3; ++attempt) {
      const auto claimed = claims.take(unit_of("a"));
      REQUIRE(claimed);
      CHECK(claimed->resuming() == (attempt > 1));
      const std::string file = directory.file(claimed->folder() + "checkpoint");
      const std::string before = fs::exists(file) ? read_file(file) : "";
      CHECK(before == std::string(static_cast<size_t>(attempt - 1), 'x'));
      write_file_atomically(file, before + "x");
      write_file_atomically(file + ".tmp-1-0", "half");  // of a write that was cut off
      if (attempt < 3) continue;
      CHECK(claimed->publish(kKept));
    }
    CHECK(read_file(place / "run/a/checkpoint") == "xxx");
    CHECK(fs::exists(place / "run/a/checkpoint.tmp-1-0"));  // this attempt's own
    CHECK_FALSE(fs::exists(place / "run/running"));
  }

  TEST_CASE("what an earlier version began in the unit's own folder is taken up") {
    const TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    directory.write_text("a/checkpoint", "c");
    UnitClaims claims(directory, kLong);
    const auto claimed = claims.take(unit_of("a"));
    REQUIRE(claimed);
    CHECK(claimed->resuming());
    CHECK(read_file(directory.file(claimed->folder() + "checkpoint")) == "c");
    CHECK(claimed->publish(kKept));
  }

  TEST_CASE("a silent holder's files are copied, and what it does when it wakes counts for nothing") {
    const TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    UnitClaims one(directory, kLong), other(directory, kLong);
    const auto frozen = one.take(unit_of("a"));
    REQUIRE(frozen);
    directory.write_text(frozen->folder() + "checkpoint", "of the first");
    freeze(directory, "a.1.claim");
    const auto second = take_over(other, "a");
    REQUIRE(second);
    CHECK(second->folder() == "running/a.2/");
    CHECK(second->resuming());
    CHECK(frozen->lease().lost());
    CHECK(read_file(place / "run/running/a.1/checkpoint") ==
          "of the first");  // what it has open is still its own
    // It wakes and writes before it notices.
    directory.write_text(frozen->folder() + "checkpoint", "spoilt");
    CHECK(read_file(directory.file(second->folder() + "checkpoint")) == "of the first");

    SUBCASE("the second publishes first") {
      CHECK(second->publish(kKept));
      CHECK_FALSE(frozen->publish({{"result", "another"}}));
    }
    SUBCASE("the first publishes first") {
      CHECK_FALSE(frozen->publish({{"result", "another"}}));
      CHECK(second->publish(kKept));
    }
    CHECK(kept_unit(directory.path(), "a") == kKept);
    CHECK(read_file(place / "run/a/checkpoint") == "of the first");
  }

  TEST_CASE("of two that both believe a unit theirs one publishes it") {
    const TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    UnitClaims claims(directory, kLong);
    const auto first = claims.take(unit_of("a"));
    REQUIRE(first);
    // Somebody's folder has the unit's name already, and no claim says so.
    directory.write_json("a/unit.json", kKept);
    CHECK_FALSE(first->publish({{"result", "another"}}));
    CHECK(kept_unit(directory.path(), "a") == kKept);
    CHECK_FALSE(fs::exists(place / "run/running/a.1"));
  }

  TEST_CASE("who loses a unit and wakes clears away what others no longer need") {
    const TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    UnitClaims one(directory, kLong), other(directory, kLong);
    const auto frozen = one.take(unit_of("a"));
    directory.write_text(frozen->folder() + "checkpoint", "of the first");
    freeze(directory, "a.1.claim");
    const auto second = take_over(other, "a");
    REQUIRE(second);
    frozen->clear_away();  // the other is still at it, and may have to be followed
    CHECK(fs::exists(place / "run/running/a.1/checkpoint"));
    CHECK(second->publish(kKept));
    CHECK_FALSE(fs::exists(place / "run/running"));
    directory.write_text(frozen->folder() + "checkpoint", "late");
    frozen->clear_away();
    CHECK_FALSE(fs::exists(place / "run/running"));
    CHECK(kept_unit(directory.path(), "a") == kKept);
  }

  TEST_CASE("processes that share a run do each unit once, and all see the whole") {
    const TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    constexpr size_t kUnits = 30;
    std::vector<std::atomic<int>> ran(kUnits);
    std::vector<Unit> units;
    for (size_t i = 0; i < kUnits; ++i)
      units.push_back({.key = fmt::format("u-{}", i), .title = "u", .run = [&ran, i](const UnitPlace& where) {
                         ++ran[i];
                         where.directory.write_text(where.folder + "x", "x");
                         return Json{{"i", i}};
                       }});
    std::vector<Outcomes> outcomes(4);
    std::vector<std::thread> processes;
    for (Outcomes& mine : outcomes)
      processes.emplace_back([&] {
        mine =
            run_units(units, directory, {.name = "test", .quiet = true, .lease = 0.6, .largest_first = true});
      });
    for (std::thread& process : processes) process.join();
    for (const std::atomic<int>& times : ran) CHECK(times == 1);
    for (const Outcomes& mine : outcomes) {
      REQUIRE(mine.count() == kUnits);
      for (size_t i = 0; i < kUnits; ++i) CHECK(mine.at(units[i].key).at("i") == i);
      CHECK(mine.keys().front() == "u-0");
    }
    CHECK_FALSE(fs::exists(place / "run/running"));
  }

  TEST_CASE("those who share a run begin with the largest unit, and others with the first") {
    for (const bool largest_first : {false, true}) {
      const TemporaryDirectory place;
      RunDirectory directory("test", place / "run");
      std::string ran;
      std::vector<Unit> units;
      for (const auto& [key, cost] : {std::pair("a", 2.0), std::pair("b", 1.0), std::pair("c", 3.0)})
        units.push_back({.key = key, .title = key, .cost = cost, .run = [&ran, name = key](const UnitPlace&) {
                           ran += name;
                           return Json(1);
                         }});
      const Outcomes outcomes =
          run_units(units, directory, {.name = "test", .quiet = true, .largest_first = largest_first});
      CHECK(ran == (largest_first ? "cab" : "abc"));
      CHECK(outcomes.keys() == std::vector<std::string>{"a", "b", "c"});
    }
  }

  TEST_CASE("a unit that is taken over while it runs is left, and its result is the other's") {
    const TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    int ran = 0;
    const Unit unit{.key = "a", .title = "A", .run = [&](const UnitPlace& where) -> Json {
                      if (++ran > 1) return {{"attempt", ran}};
                      // Another process takes it, and lets it go at once.
                      write_file_atomically(
                          where.directory.path() + "/running/a.2.claim",
                          R"({"host":"b","worker":"w","since":"","seconds":1,"share":0,"text":"",)"
                          R"("let_go":true,"machine":"another","pid":1,"began":"1"})");
                      for (int step = 0; step < 20000; ++step) {  // until it is told, long before
                        where.progress(0.5, {});
                        std::this_thread::sleep_for(std::chrono::milliseconds(1));
                      }
                      return {{"attempt", "lost"}};
                    }};
    const Outcomes outcomes = run_units({unit}, directory, {.name = "test", .quiet = true, .lease = 0.06});
    CHECK(ran == 2);
    CHECK(outcomes.at("a").at("attempt") == 2);
    CHECK_FALSE(fs::exists(place / "run/running"));
  }

  TEST_CASE("how far a run is, and for how long") {
    const TemporaryDirectory place;
    RunDirectory directory("test", place / "run");
    directory.write_config(Json::object());
    CHECK(error_of([&] { read_run_state(place / "run"); }).find("has no units") != std::string::npos);
    Json list = Json::array();
    for (const char* key : {"a", "b", "c", "d"})
      list.push_back({{"key", key}, {"title", key}, {"cost", key[0] == 'd' ? 4 : 2}});
    directory.write_json(kUnits, list);
    UnitClaims claims(directory, kLong);
    CHECK(claims.take(unit_of("a"))->publish({{"unit", "a"}, {"seconds", 30}, {"result", 1}}));
    const auto running = claims.take(unit_of("b"));
    running->lease().say(0.5, [] { return "half"; });
    claims.take(unit_of("c"));  // begun, and left
    RunState state = read_run_state(place / "run");
    CHECK(state.command == "test");
    CHECK(state.done() == 1);
    CHECK(state.running() == 1);
    CHECK_FALSE(state.units[2].is_running());
    CHECK(state.units[2].lease);
    CHECK_FALSE(state.units[3].lease);
    // As the heartbeat has it, which has not been written since: 2 of 10, and 15 seconds for 1.
    CHECK(state.share() == doctest::Approx(0.2));
    CHECK(state.seconds_left() == doctest::Approx(8 * 15));
    state.units[1].lease->share = 0.5;
    CHECK(state.share() == doctest::Approx(0.3));
    CHECK(state.seconds_left() == doctest::Approx(7 * 15));
    state.units[2].lease->let_go = false;
    state.units[2].lease->share = 1;
    CHECK(state.seconds_left() == doctest::Approx(4 * 15));  // the largest, which one process must do
    state.units[2].lease.reset();
    state.units[1].lease.reset();
    CHECK(std::isnan(state.seconds_left()));  // nobody is at work
  }

  TEST_CASE("a folder's files arrive as they were, and nowhere else") {
    const TemporaryDirectory place;
    fs::create_directories(place / "a/deep");
    write_file_atomically(place / "a/x", std::string("1\0\n", 3));
    write_file_atomically(place / "a/deep/y", "");
    const std::string packed = pack_at_rest(place / "a").value();
    fs::create_directories(place / "b");
    write_file_atomically(place / "b/old", "gone then");
    unpack(packed, place / "b");
    CHECK(read_file(place / "b/x") == std::string("1\0\n", 3));
    CHECK(read_file(place / "b/deep/y").empty());
    CHECK_FALSE(fs::exists(place / "b/old"));
    CHECK(copy_at_rest(place / "a", place / "c"));
    CHECK(pack_at_rest(place / "c") == packed);
    CHECK(error_of([&] { unpack(packed.substr(0, packed.size() - 4), place / "d"); }).find("too early") !=
          std::string::npos);
    std::string outside = packed;
    const size_t name = outside.find("deep/y");
    outside.replace(name, 6, "../../");
    CHECK(error_of([&] { unpack(outside, place / "d"); }).find("belongs elsewhere") != std::string::npos);
    CHECK_FALSE(pack_at_rest(place / "nothing"));
  }
}

}  // namespace elbo
