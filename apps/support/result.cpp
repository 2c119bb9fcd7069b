#include "apps/support/result.h"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "apps/support/text.h"
#include "tensor/vector_instructions.h"

// What the build says about itself; CMake passes these.
#ifndef ELBO_VERSION
#  define ELBO_VERSION "unknown"
#endif
#ifndef ELBO_COMMIT
#  define ELBO_COMMIT ""
#endif
#ifndef ELBO_BUILD_TYPE
#  define ELBO_BUILD_TYPE ""
#endif
#ifndef ELBO_BUILD_FLAGS
#  define ELBO_BUILD_FLAGS ""
#endif

namespace elbo {
namespace {

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "g++ " __VERSION__;
#else
  return "unknown";
#endif
}

std::string build() {
  std::string text = ELBO_BUILD_TYPE;
  const auto add = [&](const std::string& part) {
    if (!part.empty()) text += (text.empty() ? "" : ", ") + part;
  };
  add(ELBO_BUILD_FLAGS);
  add(vector_instructions());
#ifndef NDEBUG
  add("with assertions");
#endif
  return text;
}

}  // namespace

std::string processor_name(std::istream& cpuinfo) {
  // x86 says "model name". ARM has numbers for who made it and what it is; others say "cpu" or "uarch".
  std::string implementer, part, other;
  for (std::string line; std::getline(cpuinfo, line);) {
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    const std::string key = line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1);
    const std::string value = line.substr(colon + 2);
    if (key == "model name") return value;
    if (key == "CPU implementer") implementer = value;
    if (key == "CPU part") part = value;
    if (key == "cpu" || key == "uarch") other = value;
  }
  if (!implementer.empty()) return fmt::format("ARM, implementer {}, part {}", implementer, part);
  return other.empty() ? "unknown" : other;
}

const char* version() { return ELBO_VERSION; }

Provenance describe_provenance(int threads, const std::string& blas) {
  Provenance p;
  p.version = version();
  p.commit = ELBO_COMMIT;
  p.compiler = compiler();
  while (p.compiler.ends_with(' ')) p.compiler.pop_back();
  p.build = build();
  std::ifstream cpuinfo("/proc/cpuinfo");
  p.cpu = processor_name(cpuinfo);
  p.threads = threads;
  p.blas = blas;
  p.started = std::chrono::system_clock::now();
  return p;
}

Json origin_of(const Provenance& p) { return {{"commit", p.commit}, {"cpu", p.cpu}, {"device", p.device}}; }

Json to_json(const Provenance& p) {
  Json json{{"version", p.version}, {"commit", p.commit}, {"compiler", p.compiler},
            {"build", p.build},     {"cpu", p.cpu},       {"device", p.device},
            {"threads", p.threads}, {"blas", p.blas},     {"convolutions", p.convolutions},
            {"seed", p.seed}};
  if (!p.data.name.empty())  // a command that reads none has none
    json["data"] = {{"name", p.data.name}, {"split", p.data.split},  {"fingerprint", p.data.fingerprint},
                    {"N", p.data.points},  {"D", p.data.dimensions}, {"preprocessing", p.data.preprocessing}};
  json["started"] = format_utc(p.started);
  json["wall_seconds"] = std::round(p.wall_seconds * 1000) / 1000;
  if (p.unit_seconds) json["unit_seconds"] = std::round(*p.unit_seconds * 1000) / 1000;
  if (!p.unit_origins.is_null()) json["unit_origins"] = p.unit_origins;
  return json;
}

Result::Result(std::string command, const Json& config, Provenance origin)
    : provenance(std::move(origin)),
      command_(std::move(command)),
      config_(config),
      metrics_(Json::object()),
      units_(Json::object()) {}

void Result::set(const std::string& name, const Json& value, const std::string& unit) {
  metrics_[name] = value;
  if (!unit.empty()) units_[name] = unit;
}

Json Result::to_json() {
  if (provenance.wall_seconds == 0)
    provenance.wall_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  Json origin = elbo::to_json(provenance);
  if (!units_.empty()) origin["units"] = units_;
  Json json{{"command", command_}, {"config", config_}, {"metrics", metrics_}};
  const std::vector<std::string> notes = not_finite_notes(json);
  if (!notes.empty()) origin["notes"] = notes;
  json["provenance"] = std::move(origin);
  return json;
}

}  // namespace elbo
