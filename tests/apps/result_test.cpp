// result.json and the JSON helpers: the fields, the digits, and what JSON cannot hold.
#include "apps/support/result.h"

#include <doctest/doctest.h>

#include <cmath>
#include <sstream>

#include "apps/support/json.h"
#include "tensor/error.h"
#include "tensor/file.h"
#include "tests/temporary_directory.h"

namespace elbo {

TEST_SUITE("apps") {
  TEST_CASE("a result has the four parts in their order, with units and provenance") {
    Result result("train", Json{{"latent", 5}}, describe_provenance(2, "OpenBLAS"));
    result.provenance.seed = 18446744073709551615u;
    result.provenance.data = {"mnist", "abc123", 1000, 784, "x = p/255"};
    result.provenance.started = std::chrono::system_clock::from_time_t(951782400);
    result.set("elbo", -1.0 / 3, kNatsPerPoint);
    result.set("kl_per_dim", std::vector<double>{1, 2});
    const Json json = Json::parse(json_text(result.to_json()));
    std::vector<std::string> keys;
    for (const auto& [key, value] : json.items()) keys.push_back(key);
    CHECK(keys == std::vector<std::string>{"command", "config", "metrics", "provenance"});
    CHECK(json["command"] == "train");
    CHECK(json["config"]["latent"] == 5);
    CHECK(json["metrics"]["elbo"].get<double>() == -1.0 / 3);
    CHECK(json["metrics"]["kl_per_dim"][1] == 2);
    const Json& origin = json["provenance"];
    CHECK(origin["seed"].get<uint64_t>() == 18446744073709551615u);
    CHECK(origin["threads"] == 2);
    CHECK(origin["blas"] == "OpenBLAS");
    CHECK(origin["device"] == "cpu");
    CHECK(origin["started"] == "2000-02-29T00:00:00Z");
    CHECK(origin["data"] == Json{{"name", "mnist"},
                                 {"split", "train"},
                                 {"fingerprint", "abc123"},
                                 {"N", 1000},
                                 {"D", 784},
                                 {"preprocessing", "x = p/255"}});
    CHECK(origin["units"] == Json{{"elbo", "nats per data point"}});
    CHECK(origin["wall_seconds"].get<double>() >= 0);
    for (const std::string name : {"version", "compiler", "build", "cpu"})
      CHECK_MESSAGE(!origin[name].get<std::string>().empty(), name);
    CHECK_FALSE(origin.contains("notes"));
  }

  TEST_CASE("numbers that are not finite become null, and a note says which") {
    Result result("train", Json{{"beta", 1}}, describe_provenance(1, ""));
    result.set("elbo", std::nan(""));
    result.set("curve", std::vector<double>{1, INFINITY});
    const Json json = Json::parse(json_text(result.to_json()));
    CHECK(json["metrics"]["elbo"].is_null());
    CHECK(json["metrics"]["curve"][0] == 1);
    CHECK(json["metrics"]["curve"][1].is_null());
    CHECK(json["provenance"]["notes"] ==
          Json{"metrics.elbo is nan, written as null", "metrics.curve[1] is inf, written as null"});
  }

  TEST_CASE("a processor's name is found in the words of x86, ARM and others") {
    const auto name = [](const std::string& text) {
      std::istringstream file(text);
      return processor_name(file);
    };
    CHECK(name("processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7763\nflags\t\t: fpu\n") ==
          "AMD EPYC 7763");
    CHECK(name("processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n"
               "CPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\n") ==
          "ARM, implementer 0x41, part 0xd0c");
    CHECK(name("processor\t: 0\ncpu\t\t: POWER9, altivec supported\n") == "POWER9, altivec supported");
    CHECK(name(": odd\n\nno colon\n") == "unknown");
    CHECK(name("") == "unknown");
  }

  TEST_CASE("every double reads back from JSON as it was") {
    for (double value : {0.1, 1e-320, 1.7976931348623157e308, -2.0 / 3, 950.7000000000001})
      CHECK(Json::parse(json_text(Json{{"x", value}}))["x"].get<double>() == value);
  }

  TEST_CASE("text that is not UTF-8 can be written") {
    CHECK(Json::parse(json_text(Json{{"path", "a\xff"}}))["path"] == "a\xef\xbf\xbd");
  }

  TEST_CASE("flatten gives dotted names and readable values") {
    const auto leaves = flatten(
        Json{{"a", {{"b", {1, 2}}, {"c", "text"}}}, {"d", 0.5}, {"e", Json::object()}, {"f", nullptr}});
    using Pair = std::pair<std::string, std::string>;
    CHECK(leaves ==
          std::vector<Pair>{{"a.b", "1, 2"}, {"a.c", "text"}, {"d", "0.5"}, {"e", "{}"}, {"f", "null"}});
    const Json list = Json::array({Json{{"x", "one"}, {"y", 2}}, Json{{"x", "three"}}});
    CHECK(flatten(Json{{"a", list}}) == std::vector<Pair>{{"a", "x one, y 2; x three"}});
  }

  TEST_CASE("a file that is not JSON is refused with its name") {
    const TemporaryDirectory directory;
    write_file_atomically(directory / "x.json", "{\"a\": 1,");
    CHECK_THROWS_WITH_AS(read_json(directory / "x.json"), doctest::Contains("x.json' is not JSON"), Error);
    CHECK_THROWS_AS(read_json(directory / "absent.json"), Error);
    write_file_atomically(directory / "x.json", std::string(1000000, '['));
    CHECK_THROWS_AS(read_json(directory / "x.json"), Error);
  }
}

}  // namespace elbo
