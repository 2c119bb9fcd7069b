#include "apps/bench/gpu.h"

#include <nlohmann/json.hpp>

#include "apps/support/table.h"
#include "tensor/cuda/gemm.h"
#include "tensor/gemm.h"

namespace elbo {
namespace {

struct Row {
  std::string name, error;
  GpuFigures figures{};
  double gigabytes_per_second() const { return figures.bytes / figures.timing.median * 1e-3; }
};

Row measure(const GpuCase& c, double seconds) {
  Row row{.name = c.name, .error = {}};
  try {
    row.figures = c.run(seconds);
    if (row.figures.is_step && !std::isfinite(row.figures.elbo))
      row.error = fmt::format("[bench] the ELBO is {}", row.figures.elbo);
  } catch (const Error& e) {
    row.error = e.what();
  }
  cuda::synchronize();
  // The next case has other sizes, and may need all the memory there is.
  release_cached_memory();
  return row;
}

/// `value` where there is something to say, null otherwise.
Json known(bool is_known, double value) { return is_known ? Json(value) : Json(nullptr); }

Json to_json(const Row& row, double copy) {
  const GpuFigures& f = row.figures;
  const double time = f.timing.median;
  const bool timed = f.timing.repeats > 0;
  return {{"name", row.name},
          {"error", row.error.empty() ? Json(nullptr) : Json(row.error)},
          {"microseconds", known(timed, time)},
          {"best_microseconds", known(timed, f.timing.best)},
          {"repeats", f.timing.repeats},
          {"runs", f.timing.runs},
          {"bytes", known(f.bytes > 0, f.bytes)},
          {"gbps", known(f.bytes > 0, row.gigabytes_per_second())},
          {"share_of_copy", known(f.bytes > 0 && copy > 0, row.gigabytes_per_second() / copy)},
          {"tflops", known(f.flops > 0, f.flops / time * 1e-6)},
          {"nodes", f.nodes > 0 ? Json(f.nodes) : Json(nullptr)},
          {"steps_per_second", known(f.is_step, 1e6 / time)},
          {"members", f.members > 0 ? Json(f.members) : Json(nullptr)},
          {"microseconds_per_member", known(f.members > 0, time / static_cast<double>(f.members))},
          {"elbo", known(f.is_step, f.elbo)}};
}

std::vector<std::string> cells(const Row& row, double copy) {
  if (row.figures.timing.repeats == 0) return {row.name, row.error, "", "", "", "", "", ""};
  const GpuFigures& f = row.figures;
  const double time = f.timing.median;
  const auto text = [](bool is_known, const char* format, double value) {
    return is_known ? fmt::format(fmt::runtime(format), value) : std::string();
  };
  return {row.name,
          fmt::format("{:.1f}", time),
          text(f.bytes > 0, "{:.0f}", row.gigabytes_per_second()),
          text(f.bytes > 0 && copy > 0, "{:.0f} %", 100 * row.gigabytes_per_second() / copy),
          text(f.flops > 0, "{:.1f}", f.flops / time * 1e-6),
          f.nodes > 0 ? std::to_string(f.nodes) : std::string(),
          text(f.members > 0, "{:.1f}", time / static_cast<double>(f.members)),
          text(f.is_step, "{:.1f}", f.elbo)};
}

Json device_json() {
  Json gpu = describe_gpu();
  gpu["free_bytes"] = cuda::describe().free;
  return gpu;
}

}  // namespace

bool gpu_is_emulated() { return cuda::describe().emulated; }

void bench_gpu(const BenchOptions& o) {
  std::vector<GpuCase> cases = gpu_kernel_cases();
  for (GpuCase& step : gpu_step_cases()) cases.push_back(std::move(step));
  std::string names;
  for (const GpuCase& c : cases) names += (names.empty() ? "" : ", ") + c.name;
  const auto is_wanted = [&](const GpuCase& c) { return o.only.empty() || c.name == o.only; };
  if (std::none_of(cases.begin(), cases.end(), is_wanted))
    fail("[bench] there is no case '{}'; on a GPU there are {}", o.only, names);

  // The yardstick, before everything else.
  double copy = 0;
  std::vector<Row> rows;
  if (!o.no_peak || is_wanted(cases.front())) {
    Row row = measure(cases.front(), o.only.empty() ? o.seconds : 0.2 * o.seconds);
    if (row.error.empty()) copy = row.gigabytes_per_second();
    if (is_wanted(cases.front())) rows.push_back(std::move(row));
  }
  for (size_t i = 1; i < cases.size(); ++i)
    if (is_wanted(cases[i])) rows.push_back(measure(cases[i], o.seconds));

  int64_t failed = 0;
  for (const Row& row : rows) failed += row.error.empty() ? 0 : 1;
  if (o.run.json) {
    Json list = Json::array();
    for (const Row& row : rows) list.push_back(to_json(row, copy));
    fmt::print("{}",
               json_text({{"device", device_json()}, {"copy_gbps", known(copy > 0, copy)}, {"cases", list}}));
  } else {
    Table table({"case", Table::number("us"), Table::number("GB/s"), Table::number("of copy"),
                 Table::number("Tflop/s"), Table::number("nodes"), Table::number("us/member"),
                 Table::number("ELBO")});
    for (const Row& row : rows) table.row(cells(row, copy));
    fmt::print("{}, {}\n\n{}\nGB/s counts what a kernel must move at least, once each way.\n",
               cuda::describe().name, cuda::blas_name(), table.text());
  }
  if (failed > 0) fail("[bench] {} of {} cases failed", failed, rows.size());
}

}  // namespace elbo
