// elbo proofread: whether the numbers of a published table of Gaussian VAEs fit each other.
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/ledger/proofread.h"
#include "apps/support/table.h"
#include "tensor/error.h"

namespace elbo {
namespace {

struct Options {
  std::vector<std::string> files;
  ledger::ProofOptions proof;
  double constant = 0;
  bool has_constant = false, json = false;
};

void proofread(Options o) {
  if (o.has_constant) o.proof.constant = o.constant;
  std::vector<ledger::ProofTable> tables;
  size_t rows = 0;
  for (const std::string& file : o.files) {
    tables.push_back(ledger::proof_table(file));
    rows += tables.back().rows.size();
  }
  const std::vector<ledger::Finding> findings = ledger::proofread(tables, o.proof);
  if (o.json) {
    Json list = Json::array();
    for (const ledger::Finding& f : findings)
      list.push_back({{"table", f.table}, {"row", f.row}, {"columns", f.columns}, {"what", f.what}});
    fmt::print("{}", json_text({{"rows", rows}, {"findings", list}}));
    return;
  }
  if (findings.empty()) {
    fmt::print("{} rows of {} table{}: nothing that does not fit\n", rows, tables.size(),
               tables.size() == 1 ? "" : "s");
    return;
  }
  Table table({"table", "row", "columns", "what does not fit"});
  for (const ledger::Finding& f : findings) table.row({f.table, f.row, f.columns, f.what});
  fmt::print("{}", table.text());
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  arguments
      .add_paths(
          "tables", o->files,
          "CSV files with a header: sigma2, elbo, and elbo_tuned, sigma2_tuned, kl, collapse_percent, "
          "learned "
          "where they are known. Numbers as printed, their last digit counts; deviations as a ± b or in "
          "columns such as elbo_deviation; other columns name the rows")
      .required();
  arguments
      .add_number("--dimensions", o->proof.dimensions, "Dimensions of the data, D: 784 of MNIST",
                  Bounds{1, 1e9L})
      .required();
  arguments
      .add_number("--tolerance", o->proof.tolerance,
                  "Percent of the ELBO by which estimates may miss each other beside rounding",
                  Bounds{0, 100})
      .show_default();
  arguments.add_number("--constant", o->constant,
                       "What was added to the ELBOs, in nats; without it, what most rows leave for it",
                       Bounds{-1e12L, 1e12L});
  arguments.add_flag("--json", o->json, "Print the findings as JSON alone");
  arguments.run([o, &arguments] {
    o->has_constant = arguments.given("--constant");
    proofread(*o);
  });
}

}  // namespace

const Command proofread_command{"proofread", "Whether a published table's σ², ELBOs and KL fit each other",
                                "", "", add_options};

}  // namespace elbo
