// Leases: one holder at a time, whoever comes and goes; what others see of a holder that is gone, silent or
// alive.
#include "apps/support/leases.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/support/json.h"
#include "tensor/file.h"
#include "tests/error_of.h"
#include "tests/file_size_limit.h"
#include "tests/temporary_directory.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

constexpr double kLong = 1e6;    // seconds: no heartbeat within a test
constexpr double kShort = 1e-6;  // shorter than the time between any two looks

/// What a holder on another machine has written.
std::string from_elsewhere(int beat, double lease = kShort) {
  return Json{{"host", "elsewhere"},  {"worker", "process 1"}, {"since", "2024-01-31T12:05:01Z"},
              {"seconds", 7.5},       {"share", 0.25},         {"text", "ELBO 3 nats"},
              {"beat", beat},         {"lease", lease},        {"let_go", false},
              {"machine", "another"}, {"pid", ::getpid()},     {"began", "1"}}
      .dump();
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("what somebody has nobody else gets, until it is let go or finished") {
    const TemporaryDirectory place;
    const std::string folder = place / "running";
    Leases one(folder, kLong), other(folder, kLong);
    {
      const auto lease = one.take("k-1.5");
      REQUIRE(lease);
      CHECK(lease->number() == 1);
      CHECK_FALSE(lease->lost());
      CHECK_FALSE(other.take("k-1.5"));
      CHECK_FALSE(one.take("k-1.5"));
      CHECK(other.take("k-1"));  // another piece of work
      CHECK_FALSE(other.is_over("k-1.5", 1));
    }
    CHECK(other.is_over("k-1.5", 1));
    const auto again = other.take("k-1.5", "rank 2 on b");
    REQUIRE(again);
    CHECK(again->number() == 2);
    again->say(0.5, [] { return "half of it"; });
    const std::vector<LeaseReport> reports = read_leases(folder);
    REQUIRE(reports.size() == 2);  // k-1 was let go, and nobody finished it
    CHECK(reports[0].let_go);
    CHECK(reports[1].name == "k-1.5");
    CHECK(reports[1].number == 2);
    CHECK(reports[1].worker == "rank 2 on b");
    CHECK_FALSE(reports[1].dead);
    again->finish();
    CHECK(last_lease(folder, "k-1.5") == 0);
    CHECK(last_lease(folder, "k-1") == 1);
  }

  TEST_CASE("a holder of this machine that is gone has lost its work at once") {
    const TemporaryDirectory place;
    const pid_t child = ::fork();
    if (child == 0) {
      Leases leases(place / "running", kLong);
      const auto lease = leases.take("a");
      ::_exit(lease ? 0 : 1);  // as if it were killed: nothing is let go
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    REQUIRE(status == 0);
    const std::vector<LeaseReport> reports = read_leases(place / "running");
    REQUIRE(reports.size() == 1);
    CHECK(reports[0].dead);
    CHECK_FALSE(reports[0].let_go);
    Leases leases(place / "running", kLong);
    CHECK(leases.is_over("a", 1));
    const auto lease = leases.take("a");
    REQUIRE(lease);
    CHECK(lease->number() == 2);
  }

  TEST_CASE("a holder elsewhere loses its work when it was seen to be silent for a lease, and not before") {
    const TemporaryDirectory place;
    const std::string folder = place / "running", file = folder + "/a.1.claim";
    fs::create_directory(folder);
    write_file_atomically(file, from_elsewhere(1));
    Leases leases(folder, kLong);
    // Each look counts for a sixth of the lease at most, however long ago the last one was.
    for (int look = 0; look < 6; ++look) CHECK_FALSE(leases.take("a"));
    write_file_atomically(file, from_elsewhere(2));  // it lives, and all begins anew
    for (int look = 0; look < 6; ++look) CHECK_FALSE(leases.take("a"));
    CHECK_FALSE(leases.is_over("a", 1));  // it may wake
    std::unique_ptr<Lease> lease;
    for (int look = 0; look < 2 && !lease; ++look) lease = leases.take("a");
    REQUIRE(lease);
    CHECK(lease->number() == 2);
    const LeaseReport report = read_leases(folder).at(0);
    CHECK(report.number == 2);
    CHECK(report.host != "elsewhere");
  }

  TEST_CASE("one that is alive is never taken for dead, however often it is looked at") {
    const TemporaryDirectory place;
    const std::string folder = place / "running", file = folder + "/a.1.claim";
    fs::create_directory(folder);
    Leases leases(folder, kLong);
    for (int beat = 0; beat < 100; ++beat) {
      write_file_atomically(file, from_elsewhere(beat));
      CHECK_FALSE(leases.take("a"));
    }
    write_file_atomically(file, from_elsewhere(0, kLong));
    for (int look = 0; look < 100; ++look) CHECK_FALSE(leases.take("a"));
  }

  TEST_CASE("whose work was taken over knows it, and lets the new holder's alone") {
    const TemporaryDirectory place;
    const std::string folder = place / "running";
    Leases leases(folder, kLong);
    auto lease = leases.take("a");
    REQUIRE(lease);
    write_file_atomically(folder + "/a.2.claim", from_elsewhere(1, kLong));
    CHECK_FALSE(lease->known_lost());
    CHECK(lease->lost());
    CHECK(lease->known_lost());
    lease.reset();
    CHECK(read_leases(folder).at(0).host == "elsewhere");
    fs::remove(folder + "/a.1.claim");
    fs::remove(folder + "/a.2.claim");
    lease = leases.take("a");
    REQUIRE(lease);
    fs::remove(folder + "/a.1.claim");  // somebody finished the work
    CHECK(lease->lost());
    lease.reset();
    CHECK(last_lease(folder, "a") == 0);  // nor does it come back
  }

  TEST_CASE("a file that does not say whose it is counts as somebody's for a lease") {
    const TemporaryDirectory place;
    const std::string folder = place / "running";
    fs::create_directory(folder);
    write_file_atomically(folder + "/a.1.claim", "");  // made and not yet written, or on a full disk
    Leases leases(folder, kShort);
    CHECK_FALSE(leases.take("a"));
    std::unique_ptr<Lease> lease;
    for (int look = 0; look < 8 && !lease; ++look) lease = leases.take("a");
    REQUIRE(lease);
    CHECK(lease->number() == 2);
  }

  TEST_CASE("on a full disk nothing is taken, and nothing is left behind") {
    const TemporaryDirectory place;
    Leases leases(place / "running", kLong);
    {
      const FileSizeLimit full(100);
      const std::string error = error_of([&] { leases.take("a"); });
      CHECK(error.find("a.1.claim") != std::string::npos);
      CHECK(error.find('\n') == std::string::npos);
    }
    CHECK(last_lease(place / "running", "a") == 0);
    CHECK(leases.take("a"));
  }
}

}  // namespace elbo
