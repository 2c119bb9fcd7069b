// What is said and drawn of a traced tape.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "apps/reports/tape_report.h"
#include "apps/support/report.h"
#include "autograd/ops.h"
#include "autograd/tape.h"

using namespace elbo;

namespace {

/// loss = sum(h h + exp h), h = tanh(w x); the value has three uses and gets three gradients.
std::vector<TapeTrace::Recorded> traced_step(int64_t rows = 4) {
  Parameter w{"w<1>", Tensor::full({3}, 0.5), Tensor::zeros({3}), false};
  TapeTrace trace;
  Tape tape;
  const Variable scaled = Variable(Tensor::full({rows, 3}, 1)) * w;
  const Variable h = tanh(scaled), squared = h * h, exponential = exp(h);
  tape.backward(sum(squared + exponential));
  return trace.tapes();
}

size_t count(const std::string& text, const std::string& word) {
  size_t found = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("a traced tape as a table says where values come from and where gradients met") {
    const std::vector<TracedTape> tapes = traced_tapes({traced_step(), traced_step(), traced_step()});
    REQUIRE(tapes.size() == 1);
    CHECK(tapes[0].count == 1);
    const Table table = tape_table(tapes[0].ops);
    REQUIRE(table.rows().size() == 6);
    CHECK(table.rows()[0][1] == "mul");
    CHECK(table.rows()[0][2] == "(4, 3), w<1>");
    CHECK(table.rows()[2][2] == "#2 +, #2 +");  // added to what exp gave
    CHECK(table.rows()[3][2] == "#2");
    CHECK(table.rows()[5][3] == "()");
    const TapeTotals totals = totals_of(tapes[0].ops);
    CHECK(totals.meetings == 2);
    CHECK(totals.saved_bytes > 0);
    CHECK(to_json(tapes[0])["ops"][2]["inputs"][0]["added_to_another"] == true);
    CHECK(to_json(tapes[0])["ops"][0]["inputs"][1]["parameter"] == "w<1>");
  }

  TEST_CASE("tapes of a step that are alike are told once, with how often they came on average") {
    std::vector<TapeTrace::Recorded> step = traced_step(), other = traced_step(5), twice = traced_step();
    step.insert(step.end(), twice.begin(), twice.end());
    step.insert(step.end(), other.begin(), other.end());
    const std::vector<TracedTape> tapes = traced_tapes({step, step});
    REQUIRE(tapes.size() == 2);
    CHECK(tapes[0].count == 2);
    CHECK(tapes[1].count == 1);
    CHECK(traced_tapes({step, traced_step()})[0].count == 1.5);
  }

  TEST_CASE("the drawing has a box for each op, a mark where gradients meet, and escapes names") {
    const std::vector<TapeTrace::Op> ops = traced_step()[0].ops;
    const std::string svg = tape_svg(ops, "A <tape>");
    CHECK(svg.starts_with("<svg"));
    CHECK(svg.ends_with("</svg>\n"));
    CHECK(count(svg, "rx=\"6\"") == ops.size());
    CHECK(svg.find("⊕ 3<") != std::string::npos);  // tanh's output
    CHECK(count(svg, "rx=\"9\"") == 1);
    CHECK(svg.find("w&lt;1&gt; (3,)") != std::string::npos);
    CHECK(svg.find("A &lt;tape&gt;") != std::string::npos);
    CHECK(svg.find("<1>") == std::string::npos);
  }

  TEST_CASE("numbers in a trace have units") {
    CHECK(seconds_text(4.2e-7) == "0.4 µs");
    CHECK(seconds_text(12.4e-6) == "12 µs");
    CHECK(seconds_text(3.14e-3) == "3.1 ms");
    CHECK(seconds_text(12) == "12 s");
    CHECK(bytes_text(0) == "0");
    CHECK(bytes_text(64) == "64 B");
    CHECK(bytes_text(1000) == "1000 B");
    CHECK(bytes_text(1536) == "1.5 KiB");
    CHECK(bytes_text(int64_t{12} << 20) == "12 MiB");
  }

  TEST_CASE("what is in a fold of a report can be opened and closed") {
    Report report("title", "summary");
    report.begin_fold("a <b>", true);
    report.paragraph("within");
    report.end_fold();
    report.begin_fold("closed", false);
    report.end_fold();
    const std::string html = report.html();
    CHECK(html.find("<details open>\n<summary>a &lt;b&gt;</summary>\n<p>within</p>\n</details>") !=
          std::string::npos);
    CHECK(html.find("<details>\n<summary>closed</summary>\n</details>") != std::string::npos);
  }
}
