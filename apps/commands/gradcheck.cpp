// elbo gradcheck: every op against central differences, f32 against f64, and fused ops against their twins.
#include <nlohmann/json.hpp>
#include <set>

#include "apps/command.h"
#include "apps/support/json.h"
#include "apps/support/table.h"
#include "apps/training/options.h"
#include "vae/op_table.h"

namespace elbo {
namespace {

struct Options {
  std::string op;
  RunOptions run;
};

/// The columns of a row that the GPU has; empty where it is not asked for.
struct GpuColumns {
  bool passes = true;
  Json error = nullptr, float_error = nullptr;
  std::string text, float_text;
};
GpuColumns check_on_gpu(const OpRow& row, Device device) {
  if (device == Device::cpu) return {};
  const GpuCheck check = check_op_on_gpu(row);
  return {elbo::passes(check), check.error, check.float_error, fmt::format("{:.1e}", check.error),
          fmt::format("{:.1e}", check.float_error)};
}

void gradcheck(const Options& options) {
  apply(options.run);
  const Device device = device_of(options.run);
  Table table({"op", "shapes", Table::number("gradient"), Table::number("adds up"), Table::number("f32"),
               Table::number("twin"), Table::number("GPU f64"), Table::number("GPU f32"),
               Table::verdict("agrees")});
  Json ops = Json::array();
  int64_t failed = 0, checked = 0;
  std::set<std::string> names;
  for (const OpRow& row : op_table()) {
    names.insert(row.name);
    if (!options.op.empty() && row.name != options.op) continue;
    const OpCheck check = check_op(row);
    const bool has_twin = check.twin_error >= 0;
    const GpuColumns gpu = check_on_gpu(row, device);
    const bool agrees = passes(check) && gpu.passes;
    ++checked;
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
                   {"passes", agrees}});
  }
  if (checked == 0)
    fail("[gradcheck] there is no op '{}'; there are: {}", options.op, fmt::join(names, ", "));
  if (options.run.json) {
    fmt::print("{}", json_text({{"ops", ops}, {"failed", failed}}));
  } else {
    fmt::print(
        "{}\nWorst relative error over all elements, random cotangent.\n"
        "gradient: f64 against central differences, at most {:.0e}.  adds up: f64, on top of another "
        "gradient "
        "and from two uses, at most {:.0e}.\nf32: value and gradient against f64, at most {:.0e}.\ntwin: "
        "fused op against its definition in plain ops, f64, at most {:.0e}.\nGPU: value "
        "and "
        "gradient there against the CPU's, at most {:.0e} in f64 and {:.0e} in f32{}.\n"
        "{} rows, {} failed\n",
        table.text(), kGradientTolerance, kAdditionTolerance, kFloatTolerance, kTwinTolerance, kGpuTolerance,
        kGpuFloatTolerance, device == Device::cpu ? "; not checked in this run" : "", checked, failed);
  }
  if (failed > 0) fail("[gradcheck] {} of {} rows failed", failed, checked);
}

void add_options(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  arguments.add_text("--op", options->op, "Check the rows of this op only");
  arguments.add_text("--device", options->run.device, "Compare a GPU with the CPU, too: auto, cpu or cuda")
      .show_default();
  arguments.add_flag("--json", options->run.json, "Print as JSON");
  arguments.run([options] { gradcheck(*options); });
}

}  // namespace

const Command gradcheck_command{"gradcheck", "Check every op's gradient and print the table", "", "2 s",
                                add_options};

}  // namespace elbo
