// The experiment of docs/new-experiment.md compiles, runs, is resumed and says what the page promises.
#include <doctest/doctest.h>
#include <CLI/CLI.hpp>

#include <nlohmann/json.hpp>

#include "tensor/file.h"
#include "tests/temporary_directory.h"

#include "docs_code/new-experiment.1.inc"

namespace elbo {
namespace {

#include "docs_code/new-experiment.2.inc"
#include "docs_code/new-experiment.3.inc"
#include "docs_code/new-experiment.4.inc"
#include "docs_code/new-experiment.5.inc"

/// Runs the command with these options; its report lies in `directory` then.
void run_beta(std::vector<std::string> options) {
  CLI::App app{"elbo", "elbo"};
  Arguments arguments(app);
  beta_command.add_options(arguments);
  std::reverse(options.begin(), options.end());  // as CLI11 takes them
  app.parse(options);
}

}  // namespace

TEST_SUITE("docs") {
  TEST_CASE("the experiment of the documentation runs, in part and then whole") {
    TemporaryDirectory place;
    const std::string out = place / "run";
    run_beta({"--data", "digits", "--limit", "60", "--hidden", "8", "--latent", "2", "--betas", "1,8",
              "--quick", "--only", "beta-8", "--seed", "3", "--json", "--out", out});
    const auto metrics = [&] { return read_json(out + "/result.json").at("metrics"); };
    CHECK(metrics().at("rows").size() == 1);
    CHECK(metrics().at("claims")[0].at("holds").is_null());
    run_beta({"--resume", out, "--json"});
    REQUIRE(metrics().at("rows").size() == 2);
    CHECK(metrics().at("rows")[1].at("beta") == 8);
    CHECK(metrics().at("claims")[0].at("holds").is_boolean());
    CHECK(read_file(out + "/report.html").find("a larger β uses fewer units") != std::string::npos);
    CHECK(std::filesystem::exists(out + "/beta-1/members/01.safetensors"));

    // Told once more, a run that is done keeps the time that it took.
    const auto origin = [&] { return read_json(out + "/result.json").at("provenance"); };
    const double seconds = origin().at("unit_seconds").get<double>();
    CHECK(seconds > 0);
    run_beta({"--resume", out, "--json"});
    CHECK(origin().at("unit_seconds") == seconds);
    CHECK(origin().at("unit_origins") == Json::array({Json{{"commit", origin().at("commit")},
                                                           {"cpu", origin().at("cpu")},
                                                           {"device", origin().at("device")},
                                                           {"units", 2}}}));
  }
}

}  // namespace elbo
