// elbo gradcheck: every op against central differences, f32 against f64, and fused ops against their twins.
#include <fmt/ranges.h>
#include <fnmatch.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "apps/command.h"
#include "apps/support/json.h"
#include "apps/support/table.h"
#include "apps/training/options.h"
#include "vae/op_table.h"

namespace elbo {
namespace {

struct Options {
  std::vector<std::string> ops;  // patterns; none: all
  RunOptions run;
};

bool matches(const std::string& name, const std::string& pattern) {
  return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

/// The rows that one of the patterns names; throws for a pattern that names none.
std::vector<OpRow> chosen_rows(const std::vector<std::string>& patterns) {
  const std::vector<OpRow> all = op_table();
  if (patterns.empty()) return all;
  for (const std::string& pattern : patterns) {
    if (std::any_of(all.begin(), all.end(), [&](const OpRow& row) { return matches(row.name, pattern); }))
      continue;
    std::set<std::string> names;
    for (const OpRow& row : all) names.insert(row.name);
    fail("[gradcheck] there is no op '{}'; there are: {}", pattern, fmt::join(names, ", "));
  }
  std::vector<OpRow> rows;
  for (const OpRow& row : all)
    if (std::any_of(patterns.begin(), patterns.end(),
                    [&](const std::string& p) { return matches(row.name, p); }))
      rows.push_back(row);
  return rows;
}

/// Of each kind of comparison, the row that came nearest to its tolerance.
struct Weakest {
  struct Found {
    std::string op, shapes;
    Comparison comparison;
  };
  std::vector<Found> found;

  void take_in(const OpCheck& check, const std::vector<Comparison>& all) {
    for (const Comparison& comparison : all) {
      const auto same = std::find_if(found.begin(), found.end(), [&](const Found& f) {
        return std::string_view(f.comparison.what) == comparison.what;
      });
      if (same == found.end())
        found.push_back({check.name, check.shapes, comparison});
      else if (comparison.error > same->comparison.error)
        *same = {check.name, check.shapes, comparison};
    }
  }
  std::string text() const {
    std::string lines;
    for (const Found& f : found) lines += fmt::format("  {} {}, {}\n", f.op, f.shapes, f.comparison.str());
    return lines;
  }
};

Json to_json(const Comparison& comparison) {
  return {{"compared", comparison.what},       {"error", comparison.error},
          {"tolerance", comparison.tolerance}, {"place", comparison.at.place},
          {"found", comparison.at.found},      {"expected", comparison.at.expected}};
}

/// The columns of a row that the GPU has; empty where it is not asked for.
struct GpuColumns {
  std::vector<Comparison> comparisons;
  Json error = nullptr, float_error = nullptr;
  std::string text, float_text;
};
GpuColumns check_on_gpu(const OpRow& row, Device device) {
  if (device == Device::cpu) return {};
  const GpuCheck check = check_op_on_gpu(row);
  return {comparisons(check), check.error, check.float_error, fmt::format("{:.1e}", check.error),
          fmt::format("{:.1e}", check.float_error)};
}

void gradcheck(const Options& options) {
  apply(options.run);
  const Device device = device_of(options.run);
  Table table({"op", "shapes", Table::number("gradient"), Table::number("adds up"), Table::number("f32"),
               Table::number("twin"), Table::number("GPU f64"), Table::number("GPU f32"),
               Table::verdict("agrees")});
  Json ops = Json::array();
  int64_t failed = 0;
  Weakest weakest;
  std::string failures;
  const std::vector<OpRow> rows = chosen_rows(options.ops);
  for (const OpRow& row : rows) {
    const OpCheck check = check_op(row);
    const bool has_twin = check.twin_error >= 0;
    const GpuColumns gpu = check_on_gpu(row, device);
    std::vector<Comparison> compared = comparisons(check);
    compared.insert(compared.end(), gpu.comparisons.begin(), gpu.comparisons.end());
    weakest.take_in(check, compared);
    bool agrees = true;
    Json where = Json::array();
    for (const Comparison& comparison : compared) {
      where.push_back(to_json(comparison));
      if (comparison.passes()) continue;
      agrees = false;
      failures += fmt::format("  {} {}, {}\n", check.name, check.shapes, comparison.str());
    }
    failed += agrees ? 0 : 1;
    table.row({check.name, check.shapes, fmt::format("{:.1e}", check.gradient_error),
               fmt::format("{:.1e}", check.addition_error), fmt::format("{:.1e}", check.float_error),
               has_twin ? fmt::format("{:.1e}", check.twin_error) : "", gpu.text, gpu.float_text,
               verdict(agrees)});
    ops.push_back({{"name", check.name},
                   {"shapes", check.shapes},
                   {"device", name(device)},
                   {"error", check.gradient_error},
                   {"addition_error", check.addition_error},
                   {"float_error", check.float_error},
                   {"twin_error", has_twin ? Json(check.twin_error) : Json(nullptr)},
                   {"gpu_error", gpu.error},
                   {"gpu_float_error", gpu.float_error},
                   {"comparisons", where},
                   {"passes", agrees}});
  }
  if (options.run.json) {
    Json worst = Json::array();
    for (const Weakest::Found& found : weakest.found) {
      worst.push_back(to_json(found.comparison));
      worst.back().update({{"op", found.op}, {"shapes", found.shapes}});
    }
    fmt::print("{}", json_text({{"ops", ops}, {"failed", failed}, {"weakest", worst}}));
  } else {
    fmt::print(
        "{}\nWorst relative error over all elements, random cotangent.\n"
        "gradient: f64 against central differences, at most {:.0e}.  adds up: f64, on top of another "
        "gradient "
        "and from two uses, at most {:.0e}.\nf32: value and gradient against f64, at most {:.0e}.\ntwin: "
        "fused op against its definition in plain ops, f64, at most {:.0e}.\nGPU: value "
        "and "
        "gradient there against the CPU's, at most {:.0e} in f64 and {:.0e} in f32{}.\n"
        "\nWhere they were weakest:\n{}{}\n{} rows, {} failed\n",
        table.text(), kGradientTolerance, kAdditionTolerance, kFloatTolerance, kTwinTolerance, kGpuTolerance,
        kGpuFloatTolerance, device == Device::cpu ? "; not checked in this run" : "", weakest.text(),
        failures.empty() ? "" : "\nWhat failed:\n" + failures, rows.size(), failed);
  }
  if (failed > 0) fail("[gradcheck] {} of {} rows failed", failed, rows.size());
}

void add_options(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  arguments.add_texts("--op", options->ops,
                      "Check the rows of these ops only: names or patterns, as 'conv*'");
  arguments.add_text("--device", options->run.device, "Compare a GPU with the CPU, too: auto, cpu or cuda")
      .show_default();
  arguments.add_flag("--json", options->run.json, "Print as JSON");
  arguments.run([options] { gradcheck(*options); });
}

}  // namespace

const Command gradcheck_command{"gradcheck", "Check every op's gradient and print the table", "", "2 s",
                                add_options};

}  // namespace elbo
