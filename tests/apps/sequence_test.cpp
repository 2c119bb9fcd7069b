// Sequences in a report: one file, every picture in it, the last one without scripts.
#include "apps/support/sequence.h"

#include <doctest/doctest.h>

#include <cmath>

#include "apps/support/figure_parts.h"
#include "apps/support/report.h"
#include "tests/apps/drawn_figure.h"
#include "tests/apps/page_fault.h"

namespace elbo {
namespace {

constexpr const char* kSvg = "<svg viewBox=\"0 0 560 400\"><g><rect/><text>picture</text></g></svg>";

std::vector<Frame> three() {
  return {{"epoch 1", Drawing{"figures", "a", kSvg, ""}},
          {"epoch <10> & \"100\"", Drawing{"figures", "b", kSvg, ""}},
          {"end", Picture{"figures", "c", "PNG", 130, 64}}};
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("a sequence holds every picture with its label, and a player that only a script shows") {
    const std::string html = sequence_html(three(), "f-", "Caption");
    CHECK(fault_in("<figure>" + html + "</figure>") == "");
    CHECK(count(html, "<div class=\"frame\">") == 3);
    size_t at = 0;
    for (const std::string label : {"epoch 1", "epoch &lt;10&gt; &amp; &quot;100&quot;", "end"}) {
      at = html.find("<p class=\"step\">" + label + "</p>", at + 1);
      CHECK_MESSAGE(at != std::string::npos, label);
    }
    CHECK(mentions(html, "<div class=\"player\" hidden><button type=\"button\">Play</button>"));
    CHECK(mentions(
        html, "<input type=\"range\" min=\"1\" max=\"3\" value=\"3\" step=\"1\" aria-label=\"Picture\">"));
    CHECK(mentions(html, "aria-label=\"Caption (epoch 1)\""));
    // The last child of .frames, which is what shows without scripts, is the last picture.
    CHECK(mentions(html, "alt=\"Caption\">\n</div>\n</div>\n<div class=\"player\""));
    CHECK(mentions(std::string(kSequenceStyle), ".frame { display: none; }"));
    CHECK(mentions(std::string(kSequenceStyle),
                   ".frames:not(.live) .frame:last-child, .frame.shown { display: block; }"));
  }

  TEST_CASE("one picture has no player, and what could not be drawn is said once") {
    CHECK_FALSE(mentions(sequence_html({three()[0]}, "f-", "c"), "player"));
    auto frames = three();
    for (size_t i : {0, 1}) frames[i].picture = Drawing{"figures", "n", "", "gnuplot was not found"};
    const std::string html = sequence_html(frames, "f-", "c");
    CHECK(fault_in("<figure>" + html + "</figure>") == "");
    CHECK(count(html, "gnuplot was not found") == 1);
    CHECK(mentions(html, "Nor were 1 more pictures."));
    CHECK(count(html, "<div class=\"frame\">") == 1);
    frames.pop_back();
    CHECK(fault_in("<figure>" + sequence_html(frames, "f-", "c") + "</figure>") == "");
  }

  TEST_CASE("a report with sequences is one file with one script, which asks for nothing") {
    Report report("Title", "Summary.");
    report.figure({"figures", "a", kSvg, ""}, "One.");
    CHECK_FALSE(mentions(report.html(), "<script"));
    CHECK_FALSE(mentions(report.html(), ".player"));
    report.sequence(three(), "Two, <i>");
    report.sequence(three(), "Three.");
    const std::string html = report.html();
    CHECK(fault_in(html) == "");
    CHECK(count(html, "<script") == 1);
    CHECK(count(html, "<figure class=\"sequence\">") == 2);
    CHECK(mentions(html, "<b>Figure 2.</b> Two, &lt;i&gt;</figcaption>"));
    CHECK(mentions(html, "<b>Figure 3.</b> Three."));
    for (const std::string part :
         {"http:", "https:", "src=\"/", "srcset", "<link", "@import", "fetch(", "import "})
      CHECK_MESSAGE(!mentions(html, part), part);
    CHECK_THROWS_WITH(report.sequence({}, "None."), doctest::Contains("a sequence has no pictures"));
  }

  TEST_CASE("thirty scatters of a thousand points take less than 25 kB each") {
    if (!have_gnuplot()) return;
    std::vector<Figure> figures;
    std::vector<Figure*> all;
    for (int k = 0; k < 30; ++k) {
      Figure figure{.name = "z", .title = "Latent plane", .x = {"z1"}, .y = {"z2"}, .equal = true};
      std::vector<double> x, y;
      std::vector<int64_t> classes;
      for (int i = 0; i < 1000; ++i) {
        x.push_back(std::sin(1.7 * i + 0.1 * k) * (1 + i % 10));
        y.push_back(std::cos(2.3 * i - 0.1 * k) * (1 + i % 10));
        classes.push_back(i % 10);
      }
      figure.series = by_class(x, y, classes, {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"});
      figures.push_back(figure);
    }
    for (Figure& figure : figures) all.push_back(&figure);
    share_ranges(all);
    std::vector<Frame> frames;
    const TemporaryDirectory directory;
    for (int k = 0; k < 30; ++k)
      frames.push_back(
          {"step " + std::to_string(k), draw(figures[static_cast<size_t>(k)], directory.path())});
    const std::string html = sequence_html(frames, "f-", "c");
    CHECK(fault_in("<figure>" + html + "</figure>") == "");
    CHECK(html.size() < 30 * 25'000);
    CHECK(count(html, "Latent plane") == 1);  // shared
    CHECK(count(html, "h.01") == 30 * 1000 + 10);
  }
}

}  // namespace elbo
