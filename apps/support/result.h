// result: what a run found, and everything needed to judge or repeat it: result.json.
//
//   Result result("train", config, describe_provenance(threads, blas().name));   // when the run begins
//   result.provenance.data = {"mnist", fingerprint, N, D};
//   result.set("elbo", elbo, kNatsPerPoint);
//   run.write_json("result.json", result.to_json());                             // when it ends
//
// Knows the machine and the build, nothing of models.
#pragma once

#include <chrono>
#include <cstdint>
#include <istream>
#include <nlohmann/json.hpp>
#include <string>

#include "apps/support/json.h"

namespace elbo {

/// The unit of elbo, kl and likelihoods: summed over dimensions, averaged over data points.
inline constexpr const char* kNatsPerPoint = "nats per data point";

/// Of elbo, e.g. "0.1.0".
const char* version();

struct Provenance {
  std::string version;  ///< of elbo
  std::string commit;   ///< that it was configured at, "+" where files differed; empty where there was no git
  std::string compiler;  ///< name and version
  std::string build;     ///< build type, flags and instruction set, as far as known
  std::string cpu;       ///< the processor's own name
  std::string device = "cpu";
  int threads = 1;
  std::string blas;
  std::string convolutions;  ///< what convolves images on the CPU
  uint64_t seed = 0;
  struct Data {
    std::string name, fingerprint;
    int64_t points = 0, dimensions = 0;  ///< N and D
    std::string preprocessing;
    std::string split = "train";  ///< which part of the data set the numbers are of
  } data;
  std::chrono::system_clock::time_point started;
  double wall_seconds = 0;             ///< of this process
  std::optional<double> unit_seconds;  ///< of an experiment: of its units, whichever processes ran them
  Json unit_origins;                   ///< and by processes of which origins, each with "units", their number
};

/// The processor's own name in the text of /proc/cpuinfo; "unknown" where it has none.
std::string processor_name(std::istream& cpuinfo);

/// Build, processor and the time of the call as the start; the rest is for the caller to fill in.
Provenance describe_provenance(int threads, const std::string& blas);

/// In what processes that share a run are most likely to differ: {"commit", "cpu", "device"}, as text.
Json origin_of(const Provenance& provenance);

/// The provenance as JSON: the same names, data as an object with N and D, times as UTC and seconds.
Json to_json(const Provenance& provenance);

class Result {
 public:
  Result(std::string command, const Json& config, Provenance provenance);

  /// Stores metrics[name]; `unit` is kept under provenance.units, and left out where empty.
  void set(const std::string& name, const Json& value, const std::string& unit = "");
  const Json& metrics() const { return metrics_; }

  /// {"command", "config", "metrics", "provenance"}. Wall time runs to the first call; what JSON cannot hold
  /// becomes null and is said under provenance.notes.
  Json to_json();

  Provenance provenance;

 private:
  std::string command_;
  Json config_, metrics_, units_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace elbo
