#include "apps/training/options.h"

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "apps/support/arguments.h"
#include "apps/support/interrupt.h"
#include "apps/support/log.h"
#include "apps/support/progress.h"
#include "apps/support/text.h"
#include "tensor/blas.h"
#include "tensor/conv.h"
#include "tensor/cuda/conv.h"
#include "tensor/cuda/device.h"
#include "tensor/cuda/gemm.h"
#include "tensor/file.h"
#include "tensor/gemm.h"
#include "tensor/parallel.h"

namespace elbo {

void add_data_options(Arguments& arguments, DataOptions& o) {
  arguments.begin_group("Data");
  std::string kinds;
  for (const DatasetKind& kind : dataset_kinds())
    kinds += (kinds.empty() ? "" : ", ") + kind.name + kind.argument;
  arguments.add_text("--data", o.data, "Data set: " + kinds).show_default();
  o.preprocess_argument =
      arguments.add_text("--preprocess", o.preprocess, "none, scale (p/255), dequantize ((p+u)/256) or logit")
          .show_default();
  o.alpha_argument =
      arguments
          .add_number("--alpha", o.alpha,
                      "Of the logit: s = alpha + (1 - 2 alpha) x; 0 means the papers' value", {0, 0.499L})
          .show_default();
  arguments.add_flag("--standardize", o.standardize,
                     "Then move and scale each dimension to mean 0 and standard deviation 1 over the data");
  arguments.add_number("--limit", o.limit, "Use the first N points only; 0 means all", kIndex);
  arguments
      .add_number("--validation", o.division.validation,
                  "Then hold so many training points out for validation, where the data have no file of such "
                  "points: a share below 1, or how many",
                  {0, 1e9L})
      .show_default();
  arguments
      .add_number("--test", o.division.test, "Hold so many training points out for test, likewise", {0, 1e9L})
      .show_default();
  arguments
      .add_number("--split-seed", o.division.seed, "Which points are held out; --seed has no part in that",
                  kSeed)
      .show_default();
  const Argument subset = arguments.add_number(
      "--subset", o.subset, "Then use N of the points that are left, drawn at random by --seed; 0 means all",
      kIndex);
  if (o.subset > 0) subset.show_default();
}

void add_run_options(Arguments& arguments, RunOptions& o, bool writes_run) {
  arguments.begin_group("Run");
  arguments.add_number("--seed", o.seed, "Seed of everything random", kSeed).show_default();
  arguments.add_text("--device", o.device, "auto (a GPU if there is one), cpu or cuda").show_default();
  arguments.add_text("--precision", o.precision, "Of matrix products on a GPU: f32, tf32 or bf16")
      .show_default();
  arguments.add_number("--threads", o.threads, "Threads; 0 means all cores", {0, 1024});
  arguments.add_flag("--json", o.json, "Print the result alone, as JSON, on standard output");
  if (writes_run) arguments.add_text("--out", o.out, "Run directory to create; runs/COMMAND-TIME by default");
}

Device device_of(const RunOptions& o) {
  if (o.device == "cpu") return Device::cpu;
  if (o.device == "auto") return cuda::available() ? Device::cuda : Device::cpu;
  if (o.device != "cuda") fail("[--device] unknown device '{}'; there are auto, cpu, cuda", o.device);
  if (!cuda::available()) fail("[--device] {}; use --device cpu", cuda::why_not());
  return Device::cuda;
}

void apply(const RunOptions& o) {
  device_of(o);
  set_matmul_precision(parse_matmul_precision(o.precision));
  if (o.threads > 0) set_threads(o.threads);
}

void apply_on_cpu(RunOptions& o) {
  if (o.device == "cuda") fail("[--device] this command runs on the CPU only; leave --device away");
  if (o.device == "auto") o.device = "cpu";
  apply(o);
}

Dataset load_points(const DataOptions& o, uint64_t seed) {
  // Most data are there at once; where they are not, the user sees how far it is, and may stop it.
  std::optional<Progress> progress;
  std::optional<InterruptGuard> guard;
  LoadOptions options{
      .limit = o.limit, .division = o.division, .split = o.split, .subset = o.subset, .seed = seed};
  options.progress = [&](int64_t done, int64_t total) {
    if (!progress) progress.emplace(total, "decode");
    if (!guard) guard.emplace();
    progress->update(done);
    return !interrupted();
  };
  options.note = [](const std::string& line) { log_line("elbo: " + line); };
  return load_dataset(o.data, options);
}

void check_alpha(const DataOptions& o, Preprocessing::Kind kind) {
  if (o.alpha_argument && o.alpha_argument->given() && kind != Preprocessing::Kind::logit)
    fail("[--alpha] is for --preprocess logit, not {}", name(kind));
}

LoadedData load_data(const DataOptions& o, uint64_t seed) {
  LoadedData data;
  data.dataset = load_points(o, seed);
  using Kind = Preprocessing::Kind;
  const bool pixels = data.dataset.has_pixels(), binary = data.dataset.binary;
  Kind& kind = data.preprocessing.kind;
  kind = parse_preprocessing(o.preprocess);
  // Data that are not pixels have nothing to scale: a default steps aside, an explicit wish is an error.
  const bool named = o.preprocess_argument && o.preprocess_argument->given();
  const bool steps_aside = o.preprocess_is_default || (kind == Kind::scale && !named);
  if (!pixels && steps_aside) kind = Kind::none;
  if (binary && (steps_aside || kind == Kind::scale)) kind = Kind::none;  // they reach from 0 to 1 already
  data.preprocessing.alpha = o.alpha != 0 ? o.alpha : default_alpha(data.dataset);
  check_preprocessing(data.dataset, data.preprocessing);
  check_alpha(o, kind);
  data.seed = seed;
  if (binary)
    log_line(
        fmt::format("elbo: the pixels of {} are 0 and 1 only; taken as they are", quote(data.dataset.name)));
  if (o.standardize) {
    const Spread spread = spread_of(data);
    data.preprocessing = followed_by(data.preprocessing, spread.mean, spread.scale);
    log_line(
        fmt::format("elbo: standardized; {:+.3f} nats turn an ELBO or log-likelihood of these numbers into "
                    "that of the data",
                    standardize_log_jacobian(data.preprocessing)));
  }
  return data;
}

Json describe_gpu() {
  const cuda::Description gpu = cuda::describe();
  return {{"name", gpu.name},
          {"compute_capability", gpu.capability},
          {"multiprocessors", gpu.multiprocessors},
          {"memory_bytes", gpu.memory},
          {"driver_cuda", gpu.driver},
          {"runtime_cuda", gpu.runtime},
          {"blas", cuda::blas_name()},
          {"convolutions", cuda::cudnn_name()},
          {"emulated", gpu.emulated}};
}

void set_data_units(Result& result, const LoadedData& data,
                    std::initializer_list<std::pair<const char*, double>> nats) {
  if (!data.preprocessing.scale.defined()) return;
  const double constant = standardize_log_jacobian(data.preprocessing);
  result.set("standardize_log_jacobian", constant, "nats, - sum of ln scale: what --standardize takes off");
  for (const auto& [what, value] : nats) {
    const double before = value + constant;
    result.set(std::string(what) + "_data_units", std::isfinite(before) ? Json(before) : Json(nullptr),
               kNatsPerPoint);
  }
}

Provenance provenance_of(const RunOptions& run) {
  Provenance provenance = describe_provenance(threads(), blas().name);
  provenance.convolutions = cpu_convolutions_name();
  provenance.seed = run.seed;
  if (device_of(run) == Device::cuda)
    provenance.device = fmt::format("{}, CUDA {}, {}, products in {}", cuda::describe().name,
                                    cuda::describe().runtime, cuda::blas_name(), run.precision);
  return provenance;
}

Provenance provenance_of(const RunOptions& run, const LoadedData& data) {
  Provenance provenance = provenance_of(run);
  std::string preprocessing = name(data.preprocessing.kind);
  if (data.preprocessing.kind == Preprocessing::Kind::logit)
    preprocessing += fmt::format(", alpha {}", data.preprocessing.alpha);
  if (data.preprocessing.scale.defined()) preprocessing += ", standardized";
  provenance.data = {data.dataset.name,     data.dataset.fingerprint,
                     data.dataset.points(), data.dataset.dimensions(),
                     preprocessing,         name(data.dataset.split)};
  return provenance;
}

std::string absolute_specification(const std::string& spec) {
  const size_t colon = spec.find(':');
  if (colon == std::string::npos || colon + 1 == spec.size()) return spec;
  if (const DatasetKind* const kind = find_kind(spec); kind && !kind->has_path)
    return plain_specification(spec);
  return spec.substr(0, colon + 1) + std::filesystem::absolute(spec.substr(colon + 1)).string();
}

Json to_json(const RunOptions& run) {
  return {{"seed", run.seed}, {"device", run.device}, {"precision", run.precision}, {"threads", threads()}};
}

Json to_json(const DataOptions& data, const RunOptions& run) {
  const std::string where = absolute_specification(data.data);
  if (valid_utf8(where) != where)
    fail("[--data] {} is not UTF-8, which the record of a run must be; rename it, or name a link to it",
         quote(valid_utf8(where)));
  Json config{{"data", where},       {"preprocess", data.preprocess}, {"alpha", data.alpha},
              {"limit", data.limit}, {"subset", data.subset},         {"standardize", data.standardize}};
  config.update(to_json(run));
  // Where nothing is held out, no word of it.
  const Division& division = data.division;
  if (division.validation > 0) config["validation"] = division.validation;
  if (division.test > 0) config["test"] = division.test;
  if (division.any() || division.seed > 0) config["split_seed"] = division.seed;
  if (data.split != Split::train) config["split"] = name(data.split);
  return config;
}

void restore(DataOptions& data, RunOptions& run, const Json& config) {
  config.at("data").get_to(data.data);
  config.at("preprocess").get_to(data.preprocess);
  config.at("alpha").get_to(data.alpha);
  config.at("limit").get_to(data.limit);
  config.at("subset").get_to(data.subset);
  data.standardize = config.value("standardize", false);  // runs of earlier versions do not say
  data.division = {.validation = config.value("validation", 0.0),
                   .test = config.value("test", 0.0),
                   .seed = config.value("split_seed", uint64_t{0})};
  restore(run, config);
}

void restore(RunOptions& run, const Json& config) {
  config.at("seed").get_to(run.seed);
  run.precision = config.value("precision", run.precision);
  // As it began: a BLAS that does not repeat itself may sum otherwise on more threads.
  if (run.threads == 0) config.at("threads").get_to(run.threads);
}

}  // namespace elbo
