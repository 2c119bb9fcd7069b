// elbo gradcheck: every op against central differences, f32 against f64, and fused ops against their twins.
#include <nlohmann/json.hpp>
#include <set>

#include "apps/command.h"
#include "apps/support/json.h"
#include "apps/support/table.h"
#include "vae/op_table.h"

namespace elbo {
namespace {

struct Options {
  std::string op;
  bool json = false;
};

void gradcheck(const Options& options) {
  Table table({"op", "shapes", Table::number("gradient"), Table::number("f32"), Table::number("twin"),
               Table::verdict("agrees")});
  Json ops = Json::array();
  int64_t failed = 0, checked = 0;
  std::set<std::string> names;
  for (const OpRow& row : op_table()) {
    names.insert(row.name);
    if (!options.op.empty() && row.name != options.op) continue;
    const OpCheck check = check_op(row);
    const bool has_twin = check.twin_error >= 0;
    ++checked;
    failed += passes(check) ? 0 : 1;
    table.row({check.name, check.shapes, fmt::format("{:.1e}", check.gradient_error),
               fmt::format("{:.1e}", check.float_error),
               has_twin ? fmt::format("{:.1e}", check.twin_error) : "", verdict(passes(check))});
    ops.push_back({{"name", check.name},
                   {"shapes", check.shapes},
                   {"device", "cpu"},
                   {"error", check.gradient_error},
                   {"float_error", check.float_error},
                   {"twin_error", has_twin ? Json(check.twin_error) : Json(nullptr)},
                   {"passes", passes(check)}});
  }
  if (checked == 0)
    fail("[gradcheck] there is no op '{}'; there are: {}", options.op, fmt::join(names, ", "));
  if (options.json) {
    fmt::print("{}", json_text({{"ops", ops}, {"failed", failed}}));
  } else {
    fmt::print(
        "{}\nWorst relative error over all elements, on the CPU, random cotangent.\n"
        "gradient: f64 against central differences, at most {:.0e}.  f32: value and gradient against f64, at "
        "most {:.0e}.\ntwin: fused op against its definition in plain ops, f64, at most {:.0e}.\n"
        "{} rows, {} failed\n",
        table.text(), kGradientTolerance, kFloatTolerance, kTwinTolerance, checked, failed);
  }
  if (failed > 0) fail("[gradcheck] {} of {} rows failed", failed, checked);
}

void add_options(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--op", options->op, "Check the rows of this op only");
  app.add_flag("--json", options->json, "Print as JSON");
  app.callback([options] { gradcheck(*options); });
}

}  // namespace

const Command gradcheck_command{"gradcheck", "Check every op's gradient and print the table", "", "2 s",
                                add_options};

}  // namespace elbo
