// Proofreading: tables made by the formulas fit, whatever they are rounded to; a planted slip is found with
// its row and columns; the tables of Lucas et al. give the errors that are known.
#include "apps/ledger/proofread.h"

#include <doctest/doctest.h>
#include <fmt/ranges.h>

#include <cmath>
#include <random>
#include <set>

#include "tensor/file.h"
#include "tests/error_of.h"
#include "tests/source_file.h"
#include "tests/temporary_directory.h"

using namespace elbo;
using ledger::Finding;

namespace {

constexpr double kD = 784, kConstant = 272.6;
const double kLog2Pi = std::log(2 * std::acos(-1.0));

struct Row {
  double sigma2, tuned, kl;
  bool learned;
  double elbo() const {
    return kConstant - kD / 2 * (kLog2Pi + std::log(sigma2)) - kD * tuned / (2 * sigma2) - kl;
  }
  double elbo_tuned() const { return kConstant - kD / 2 * (kLog2Pi + std::log(tuned) + 1) - kl; }
};

std::vector<Row> made_up(std::mt19937& random) {
  std::uniform_real_distribution<double> uniform;
  std::vector<Row> rows;
  for (int i = 0; i < 12; ++i) {
    const double tuned = 0.5 + 3 * uniform(random);
    const bool learned = i >= 6;
    rows.push_back({learned ? tuned * (0.99 + 0.02 * uniform(random)) : std::pow(10.0, 1 - 0.5 * i), tuned,
                    10 + 200 * uniform(random), learned});
  }
  return rows;
}

std::string csv_of(const std::vector<Row>& rows, int digits) {
  std::string text = "start,learned,sigma^2,ELBO,tuned ELBO,tuned sigma2,KL\n";
  int i = 0;
  for (const Row& row : rows)
    text += fmt::format(
        "{},{},{},{:.{}f},{:.{}f},{:.{}f},{:.{}f}\n", ++i, row.learned ? "yes" : "no",
        row.learned ? fmt::format("{:.{}f}", row.sigma2, digits + 2) : fmt::format("{}", row.sigma2),
        row.elbo(), digits, row.elbo_tuned(), digits, row.tuned, digits + 2, row.kl, digits);
  return text;
}

std::vector<Finding> findings_of(const std::vector<std::string>& files, double dimensions,
                                 double tolerance = 0.5) {
  std::vector<ledger::ProofTable> tables;
  for (const std::string& file : files) tables.push_back(ledger::proof_table(file));
  return ledger::proofread(tables, {.dimensions = dimensions, .tolerance = tolerance});
}

std::vector<Finding> findings_of_text(const std::string& text, double tolerance) {
  TemporaryDirectory directory;
  const std::string file = directory / "table.csv";
  write_file_atomically(file, text);
  return findings_of({file}, kD, tolerance);
}

std::string golden(const std::string& name) { return source_file("tests/goldens/lucas_" + name + ".csv"); }

/// Rows with findings in columns that begin so, without their lines.
std::set<std::string> rows_of(const std::vector<Finding>& findings, const std::string& columns) {
  std::set<std::string> rows;
  for (const Finding& f : findings)
    if (f.columns.starts_with(columns)) rows.insert(f.row.substr(f.row.find("start ")));
  return rows;
}

std::set<std::string> fixed(const std::vector<const char*>& starts) {
  std::set<std::string> rows;
  for (const char* start : starts) rows.insert(fmt::format("start {}, learned no", start));
  return rows;
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("proofreading: rounded tables fit, without any tolerance") {
    std::mt19937 random(3);
    for (int i = 0; i < 40; ++i)
      for (const int digits : {0, 1, 2, 4}) {
        CAPTURE(digits);
        const std::string text = csv_of(made_up(random), digits);
        CAPTURE(text);
        const std::vector<Finding> findings = findings_of_text(text, 0);
        CHECK(findings.empty());
        if (!findings.empty()) MESSAGE(findings[0].row << ": " << findings[0].what);
      }
  }

  TEST_CASE("proofreading: a slip in any column is found, in its row") {
    std::mt19937 random(4);
    const std::vector<Row> rows = made_up(random);
    const std::string clean = csv_of(rows, 1);
    std::vector<std::string> lines;
    for (size_t begin = 0; begin < clean.size(); begin = clean.find('\n', begin) + 1)
      lines.push_back(clean.substr(begin, clean.find('\n', begin) - begin));
    for (const int column : {3, 4, 5, 6}) {
      CAPTURE(column);
      std::vector<std::string> cells;
      std::string rest = lines[3] + ",";
      for (size_t at; (at = rest.find(',')) != std::string::npos; rest.erase(0, at + 1))
        cells.push_back(rest.substr(0, at));
      // The last digit before the point, one more: of sigma^2 the second after it.
      std::string& cell = cells[static_cast<size_t>(column)];
      const size_t at = column == 5 ? cell.find('.') + 2 : cell.find('.') - (column == 6 ? 2 : 1);
      cell[at] = cell[at] == '9' ? '1' : static_cast<char>(cell[at] + 1);
      std::string text;
      for (size_t i = 0; i < lines.size(); ++i)
        text += (i == 3 ? fmt::format("{}", fmt::join(cells, ",")) : lines[i]) + "\n";
      CAPTURE(text);
      const std::vector<Finding> findings = findings_of_text(text, 0);
      REQUIRE(!findings.empty());
      for (const Finding& f : findings) CHECK(f.row.starts_with("line 4, start 3"));
    }
  }

  TEST_CASE("proofreading: what else cannot be") {
    const auto all = [](const std::string& text) {
      std::string said;
      for (const Finding& f : findings_of_text(text, 0)) said += f.row + ": " + f.what + "\n";
      return said;
    };
    CHECK(all("sigma2,elbo,elbo_tuned,kl,collapse_percent\n1,-100.0,-101.0,5.0,10\n")
              .find("tuning loses 0.9 nats") != std::string::npos);
    CHECK(all("sigma2,elbo,kl\n1,-100.0,-5.0\n").find("a KL of -5 is below 0") != std::string::npos);
    CHECK(all("sigma2,elbo,collapse_percent\n1,-100.0,142\n").find("142 % is no share") != std::string::npos);
    CHECK(all("sigma2,elbo\n1,-100.0\n").empty());
  }

  TEST_CASE("proofreading: the tables of Lucas et al. 2019 have the errors that are known") {
    const std::string identity = "sigma2, elbo, elbo_tuned, sigma2_tuned";
    const std::vector<Finding> one = findings_of({golden("table1_mnist")}, 784),
                               two = findings_of({golden("table2")}, 784),
                               three = findings_of({golden("table3")}, 12288),
                               four = findings_of({golden("table4")}, 784);
    CHECK(rows_of(one, identity) == fixed({"0.01", "0.001"}));
    CHECK(one.size() == 2);
    CHECK(rows_of(two, identity) == fixed({"0.003", "0.001"}));
    CHECK(two.size() == 2);
    CHECK(rows_of(three, identity) == fixed({"30", "0.03", "0.003", "0.001"}));
    CHECK(rows_of(three, "collapse_percent") == std::set<std::string>{"start 30, learned yes"});
    // Its trials were at odds: sigma^2 of 0.478 is no mean that an ELBO could follow.
    CHECK(rows_of(three, "elbo_tuned, sigma2_tuned, kl") ==
          std::set<std::string>{"start 30, learned yes", "start 0.001, learned yes"});
    // The tuning of fixed sigma^2 stopped early.
    CHECK(rows_of(four, identity) == fixed({"30", "10", "3", "1", "0.3", "0.1", "0.03", "0.01"}));
    CHECK(rows_of(four, "elbo_tuned, sigma2_tuned, kl") == fixed({"0.003"}));
  }

  TEST_CASE("proofreading: rows that were copied from another table, or values from another row") {
    const std::vector<Finding> together = findings_of({golden("table2"), golden("table1_mnist")}, 784);
    CHECK(rows_of(together, "elbo_tuned, sigma2_tuned, kl") == fixed({"0.01"}));
    const std::vector<Finding> celeba = findings_of({golden("table3"), golden("table5")}, 12288);
    CHECK(rows_of(celeba, "all") ==
          fixed({"30", "10", "3", "1", "0.3", "0.1", "0.03", "0.01", "0.003", "0.001"}));
    const std::vector<Finding> within = findings_of_text(
        "start,sigma2,elbo,elbo_tuned,sigma2_tuned,kl\na,1.0,-100.0,-90.0,0.9,5.0\nb,2.0,-120.0,-90.0,0.9,5."
        "0\n",
        100);
    REQUIRE(within.size() == 1);
    CHECK(within[0].what.find("the same three as of line 2") != std::string::npos);
    const auto copies = [](const std::string& rows) {
      return findings_of_text("start,sigma2,elbo,elbo_tuned,sigma2_tuned,kl\n" + rows, 784).size();
    };
    const std::string row = "10.0,-1200.13,-1149.80,5.75,30.25\n";
    CHECK(copies("a," + row + "b," + row) == 1);
    CHECK(copies("a," + row + "b,10.0,-1200.13,-1149.80,5.75,30.26\n") == 0);
    CHECK(findings_of_text("sigma2,elbo,kl\n10,-1200.13,30.25\n1,-1200.13,30.25\n", 784).size() == 1);
    CHECK(findings_of_text("sigma2,elbo,kl\n10,-1200.13,0\n1,-1200.13,0\n", 784).empty());  // collapsed
    CHECK(findings_of_text("sigma2,elbo\n10,-1200.13\n1,-1200.13\n", 784).empty());  // one number says little
  }

  TEST_CASE("proofreading: what is no table is refused, with its line") {
    const auto refusal = [](const std::string& text) { return error_of([&] { findings_of_text(text, 0); }); };
    CHECK(refusal("sigma2\n1\n").find("line 1: there is no column elbo; there are sigma2") !=
          std::string::npos);
    CHECK(refusal("sigma2,elbo,σ²\n1,2,3\n").find("line 1: there are two columns sigma2") !=
          std::string::npos);
    CHECK(refusal("sigma2,elbo,\n1,2,\n").find("line 1: column 3 has no name") != std::string::npos);
    CHECK(refusal("sigma2,elbo,learned\n1,2,maybe\n").find("'maybe' in column learned is neither") !=
          std::string::npos);
    CHECK(refusal("start,sigma2,elbo\n\"a,1,2\n").find("line 2: a quote is opened and not closed") !=
          std::string::npos);
    CHECK(refusal("sigma2,elbo\n1,2 ± -1\n").find("'2 ± -1' is no number") != std::string::npos);
    CHECK(refusal("sigma2,elbo,elbo_deviation\n1,2,-1\n").find("is no deviation") != std::string::npos);
    CHECK(refusal("sigma2,elbo\n1,x\n").find("line 2: 'x' is no number") != std::string::npos);
    CHECK(refusal("sigma2,elbo\n1\n").find("line 2: 1 cells under 2 columns") != std::string::npos);
    CHECK(refusal("sigma2,elbo\n0,1\n").find("must be above 0") != std::string::npos);
    CHECK(refusal("sigma2,elbo\n").find("has no rows") != std::string::npos);
    for (const char* number : {"0e99999", "1e200", "1e-300", "++1", "0e1e1"})
      CHECK(refusal(fmt::format("sigma2,elbo\n1,{}\n", number)).find("is no number") != std::string::npos);
    CHECK(refusal("sigma2,elbo\n1,0e" + std::string(400, '9') + "\n").find("is no number") !=
          std::string::npos);
    CHECK(refusal("sigma2,elbo,elbo_deviation\n1,2 ± 3,55\n").find("a deviation stands in the cell and in") !=
          std::string::npos);
    for (const char* cell : {"-1\"0\"0", "\"-1\"00", "\"1\" \"2\""})
      CHECK(
          refusal(fmt::format("sigma2,elbo\n1,{}\n", cell)).find("line 2: quotes are around a whole cell") !=
          std::string::npos);
    CHECK(refusal("sigma2,elbo\n \"1\" , +2\n+1e+1,-3e-0\n").empty());
  }
}
