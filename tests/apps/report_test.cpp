// Reports: HTML in which every tag is closed, every text escaped, and every id its own.
#include "apps/support/report.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "apps/support/html.h"
#include "apps/support/svg.h"
#include "tests/apps/page_fault.h"
#include "tests/error_of.h"

namespace elbo {
namespace {

constexpr const char* kSvg = R"svg(<?xml version="1.0" encoding="utf-8"  standalone="no"?>
<svg
 viewBox="0 0 560 400"
 xmlns="http://www.w3.org/2000/svg"
 xmlns:xlink="http://www.w3.org/1999/xlink"
>
<title>Gnuplot</title>
<desc>Produced by GNUPLOT</desc>
<defs><circle id='dot' r='0.5'/><use xlink:href='#dot' id="other"/><filter id="box"/></defs>
<g id="plot_1" clip-path="url(#box)"><title>series</title><text>id="kept" &lt;b&gt; #dot</text></g>
</svg>
)svg";

const std::string kNasty = "<script>alert('1')</script> & \"quoted\" \x01\xff";
const std::string kEscaped =
    "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;quoted&quot;  \xef\xbf\xbd";

Report example() {
  Report report("ELBO & pPCA", "One paragraph.");
  report.section("Result");
  report.paragraph("Text.");
  Table table({"k", Table::number("ELBO"), Table::verdict("agrees")});
  table.row({"5", "950.7", verdict(true)});
  table.row({"50", "939.3", verdict(false)});
  table.row({"500", "", "not run"});
  report.table(table, "Values.");
  report.figure({"runs/1/figures", "first", kSvg, ""}, "One.");
  report.figure({"runs/1/figures", "second", kSvg, ""}, "Two.");
  report.figure({"runs/1/figures", "third", "", "gnuplot was not found"}, "Three.");
  report.image({"runs/1/figures", "fourth", std::string("\x89PNG\0", 5), 578, 116}, "Four.");
  report.image({"runs/1/figures", "fifth", "PNG", 130, 64}, "Five.", {"0.99", "<1>"});
  report.configuration(Json{{"latent", {1, 2}}, {"adam", {{"lr", 0.001}}}});
  report.provenance(Json{{"seed", 7}});
  return report;
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("the check of pages finds what it looks for") {
    CHECK(fault_in("<p><b>x</b></p>") == "");
    CHECK(fault_in("<p><b>x</p></b>") != "");
    CHECK(fault_in("<p>") != "");
    CHECK(fault_in("</p>") != "");
    CHECK(fault_in("<p id=\"a\"></p><p id=\"a\"></p>") != "");
    CHECK(fault_in("<use href='#a'/>") != "");
    CHECK(fault_in("<g clip-path=\"url(#a)\"/>") != "");
    CHECK(fault_in("<p title=\"x></p>") != "");
  }

  TEST_CASE("a report is well formed, with every part in it") {
    const std::string html = example().html();
    CHECK(fault_in(html) == "");
    CHECK(html.starts_with("<!DOCTYPE html>"));
    for (const std::string part : {"<title>ELBO &amp; pPCA</title>",
                                   "<h1>ELBO &amp; pPCA</h1>",
                                   "One paragraph.",
                                   "<h2>Result</h2>",
                                   "<p>Text.</p>",
                                   "<b>Table 1.</b> Values.",
                                   "<td class=\"number\">950.7</td>",
                                   "<td class=\"ok\">✓ ok</td>",
                                   "<td class=\"fails\">✗ fails</td>",
                                   "<td>not run</td>",
                                   "<b>Figure 1.</b> One.",
                                   "<b>Figure 3.</b> Three.",
                                   "gnuplot was not found",
                                   "figures/third.csv",
                                   "<b>Figure 4.</b> Four.",
                                   "max-width:130px\"><span>0.99</span><span>&lt;1&gt;</span></div>",
                                   "<b>Figure 5.</b> Five.",
                                   "<h2>Configuration</h2>",
                                   "<th scope=\"row\">adam.lr</th><td>0.001</td>",
                                   "<td>1, 2</td>",
                                   "<th scope=\"row\">seed</th><td>7</td>",
                                   "charset=\"utf-8\"",
                                   "name=\"viewport\""})
      CHECK_MESSAGE(mentions(html, part), part);
  }

  TEST_CASE("a report is complete in itself") {
    const std::string html = example().html();
    for (const std::string part : {"http:", "https:", "srcset", "<link", "<script", "@import", "url("})
      if (part == "url(")
        CHECK_FALSE(mentions(html, "url(\""));
      else
        CHECK_MESSAGE(!mentions(html, part), part);
    int images = 0;
    for (size_t at = 0; (at = html.find("src=", at)) != std::string::npos; ++at, ++images)
      CHECK(html.substr(at).starts_with("src=\"data:image/png;base64,"));
    CHECK(images == 2);
  }

  TEST_CASE("base64 agrees with RFC 4648's vectors and the alphabet's every letter") {
    CHECK(base64("") == "");
    CHECK(base64("f") == "Zg==");
    CHECK(base64("fo") == "Zm8=");
    CHECK(base64("foo") == "Zm9v");
    CHECK(base64("foob") == "Zm9vYg==");
    CHECK(base64("fooba") == "Zm9vYmE=");
    CHECK(base64("foobar") == "Zm9vYmFy");
    CHECK(base64(std::string(4, '\0')) == "AAAAAA==");
    CHECK(base64("\xff\xff\xff\xff\xff") == "//////8=");
    // 0 to 63 in six bits each.
    std::string bytes;
    for (unsigned i = 0; i < 64; i += 4) {
      const unsigned bits = i << 18 | (i + 1) << 12 | (i + 2) << 6 | (i + 3);
      for (int shift : {16, 8, 0}) bytes += static_cast<char>(bits >> shift & 255);
    }
    CHECK(base64(bytes) == "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
  }

  TEST_CASE("a picture is in the page with its size and its text, and its pixels stay sharp") {
    const std::string html = example().html();
    CHECK(mentions(html,
                   "<figure><img src=\"data:image/png;base64,iVBORwA=\" width=\"578\" height=\"116\" "
                   "alt=\"Four.\">"));
    const size_t begin = html.find("figure img {"), end = html.find('}', begin);
    REQUIRE(end != std::string::npos);
    const std::string style = html.substr(begin, end - begin);
    // Narrower than the page's column on a phone, with its sides in proportion.
    for (const std::string part : {"max-width: 100%;", "height: auto;", "image-rendering: pixelated;"})
      CHECK_MESSAGE(mentions(style, part), part);
  }

  TEST_CASE("all text is escaped, wherever it comes in") {
    CHECK(escape_html(kNasty) == kEscaped);
    Report report(kNasty, kNasty);
    report.section(kNasty);
    report.paragraph(kNasty);
    Table table({kNasty, Table::Column(kNasty, Table::Kind::verdict)});
    table.row({kNasty, "fails: " + kNasty});
    report.table(table, kNasty);
    report.figure({kNasty, kNasty, "", kNasty}, kNasty);
    report.figure({kNasty, kNasty, kSvg, ""}, kNasty);
    report.image({kNasty, kNasty, kNasty, 1, 1}, kNasty);
    report.sequence({{kNasty, Drawing{kNasty, kNasty, kSvg, ""}}, {"", Drawing{kNasty, kNasty, "", kNasty}}},
                    kNasty);
    report.configuration(Json{{kNasty, kNasty}});
    report.provenance(Json{{kNasty, Json::array({kNasty})}});
    const std::string html = report.html();
    CHECK(fault_in(html) == "");
    CHECK(html.find("<script>") == html.find(kSequenceScript));
    int found = 0;
    for (size_t at = 0; (at = html.find("&lt;script&gt;", at)) != std::string::npos; ++at) ++found;
    // Title twice, summary, heading, text, 2 headers, 2 cells, 4 captions, the descriptions of a figure and a
    // picture, 3 in the line for the missing figure's problem and files, and 2 in each of the two lists. The
    // sequence's caption, its picture's label and, of both, its description; 3 in its line for what is
    // missing.
    CHECK(found == 2 + 1 + 1 + 1 + 2 + 2 + 4 + 2 + 3 + 4 + 1 + 1 + 2 + 3);
  }

  TEST_CASE("an inlined SVG has ids of its own, and no head, program name or foreign address") {
    const std::string svg = inline_svg(kSvg, "f1-", "what it \"shows\"");
    CHECK(fault_in(svg) == "");
    for (const std::string part :
         {"id='f1-dot'", "href='#f1-dot'", "id=\"f1-other\"", "id=\"f1-plot_1\"", "url(#f1-box)",
          "viewBox=\"0 0 560 400\"", "aria-label=\"what it &quot;shows&quot;\"",
          "<text>id=\"kept\" &lt;b&gt; #dot</text>"})
      CHECK_MESSAGE(mentions(svg, part), part);
    for (const std::string part : {"Gnuplot", "GNUPLOT", "<?xml", "xmlns", "<title"})
      CHECK_MESSAGE(!mentions(svg, part), part);
  }

  TEST_CASE("text that is no SVG gives nothing, and a broken one ends") {
    CHECK(inline_svg("", "f", "d") == "");
    CHECK(inline_svg("no svg here", "f", "d") == "");
    CHECK(mentions(inline_svg("<svg viewBox=\"0 0 1 1\"", "f", "d"), "<svg"));
    CHECK(mentions(inline_svg("<svg><g", "f", "d"), "<g"));
  }
}

}  // namespace elbo
