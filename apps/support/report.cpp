#include "apps/support/report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/support/html.h"
#include "apps/support/svg.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

constexpr std::string_view kStyle = R"(
:root { color-scheme: light; --ink: #1c1f23; --soft: #5b626b; --rule: #dfe3e8;
  --ok: #00664a; --fails: #a33b00; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 50rem; padding: 2rem 1.25rem 3rem; background: #fff; color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans",
    "Liberation Sans", Arial, sans-serif;
  overflow-wrap: break-word; -webkit-text-size-adjust: 100%; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .75rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 2.5rem 0 .5rem; padding-top: .9rem;
  border-top: 1px solid var(--rule); }
p { margin: .6rem 0; }
.summary { font-size: 1.1rem; color: #343a41; }
figure { margin: 1.5rem 0; }
figcaption { font-size: .9rem; color: var(--soft); margin: .4rem 0; }
figcaption b { color: var(--ink); }
.scroll { overflow-x: auto; }
/* Shadows where a table goes on beyond the edge. */
.scroll:has(table) { background:
    linear-gradient(to right, #fff 30%, #fff0) 0 0 / 2rem 100% local,
    linear-gradient(to left, #fff 30%, #fff0) 100% 0 / 2rem 100% local,
    linear-gradient(to right, #1c1f2326, #1c1f2300) 0 0 / .6rem 100%,
    linear-gradient(to left, #1c1f2326, #1c1f2300) 100% 0 / .6rem 100%;
  background-repeat: no-repeat; }
figure svg { display: block; height: auto; margin: 0 auto; }
figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; image-rendering: pixelated; }
.labels { display: flex; margin: .2rem auto; font-size: clamp(.5rem, 1.9vw, .85rem);
  font-variant-numeric: tabular-nums; color: var(--soft); }
.labels span { flex: 1 1 0; min-width: 0; text-align: center; }
details { margin: 1rem 0; padding: 0 1rem; border: 1px solid var(--rule); border-radius: 6px; }
details[open] { padding-bottom: .25rem; }
summary { margin: 0 -1rem; padding: .6rem 1rem; font-weight: 600; cursor: pointer; }
summary:focus-visible { outline: 2px solid var(--ink); border-radius: 6px; }
.missing { border: 1px dashed #aab2bb; padding: .75rem 1rem; color: var(--soft); }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .8rem; text-align: left; vertical-align: baseline;
  border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { padding-left: .1rem; }
thead th { border-bottom: 1.5px solid var(--ink);
  font-weight: 600; vertical-align: bottom; }
.number { text-align: right; }
td.number { white-space: nowrap; }
.ok, .fails { font-weight: 600; white-space: nowrap; }
.ok { color: var(--ok); }
.fails { color: var(--fails); }
.pairs { width: 100%; }
.pairs th { font-weight: 400; color: var(--soft); width: 38%; }
.pairs th, .pairs td { overflow-wrap: anywhere; vertical-align: top; }
footer { margin-top: 3rem; padding-top: .9rem; border-top: 1px solid var(--rule); font-size: .9rem; }
footer h2 { border: 0; margin: 0; padding: 0; font-size: 1rem; }
@media (max-width: 32rem) {
  body { padding: 1.25rem 1rem 2rem; }
  h1 { font-size: 1.45rem; }
  table { font-size: .84rem; line-height: 1.4; }
  th, td { padding: .3rem .45rem; }
  details { padding: 0 .5rem; margin: 1rem -.5rem; }
  summary { margin: 0 -.5rem; padding: .6rem .5rem; }
}
@media print {
  html { font-size: 10pt; }
  body { max-width: none; padding: 0; }
  figure, tr, .pairs tr { break-inside: avoid; }
  h2 { break-after: avoid; }
  .scroll { overflow: visible; }
  .scroll:has(table) { background: none; }
  figure svg { min-width: 0 !important; max-width: 100%; }
}
)";

std::string pairs_table(const Json& value) {
  std::string html = "<table class=\"pairs\"><tbody>\n";
  for (const auto& [name, text] : flatten(value))
    html +=
        fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escape_html(name), escape_html(text));
  return html + "</tbody></table>\n";
}

std::string cell_class(Table::Kind kind, const std::string& text) {
  if (kind == Table::Kind::number) return " class=\"number\"";
  if (kind != Table::Kind::verdict) return "";
  return text.starts_with("ok") ? " class=\"ok\"" : text.starts_with("fails") ? " class=\"fails\"" : "";
}

/// A verdict with a sign before its word; other cells as they are.
std::string cell_text(Table::Kind kind, const std::string& text) {
  const bool verdict = kind == Table::Kind::verdict;
  const char* sign = verdict && text.starts_with("ok")      ? "✓ "
                     : verdict && text.starts_with("fails") ? "✗ "
                                                            : "";
  return sign + escape_html(text);
}

}  // namespace

Report::Report(std::string title, std::string summary)
    : title_(std::move(title)), summary_(std::move(summary)) {}

void Report::section(std::string_view heading) {
  body_ += fmt::format("<h2>{}</h2>\n", escape_html(heading));
}

void Report::paragraph(std::string_view text) { body_ += fmt::format("<p>{}</p>\n", escape_html(text)); }

void Report::table(const Table& table, std::string_view caption) {
  body_ +=
      fmt::format("<figure><figcaption><b>Table {}.</b> {}</figcaption>\n", ++tables_, escape_html(caption));
  body_ += "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>";
  for (const Table::Column& column : table.columns())
    body_ +=
        fmt::format("<th scope=\"col\"{}>{}</th>", cell_class(column.kind, ""), escape_html(column.header));
  body_ += "</tr></thead>\n<tbody>\n";
  for (const auto& cells : table.rows()) {
    body_ += "<tr>";
    for (size_t i = 0; i < cells.size(); ++i) {
      const Table::Kind kind = table.columns()[i].kind;
      body_ += fmt::format("<td{}>{}</td>", cell_class(kind, cells[i]), cell_text(kind, cells[i]));
    }
    body_ += "</tr>\n";
  }
  body_ += "</tbody></table></div></figure>\n";
}

void Report::figure(const Drawing& drawing, std::string_view caption) {
  ++figures_;
  body_ += "<figure>";
  if (drawing.svg.empty())
    body_ += missing_html(drawing);
  else
    body_ += fmt::format(
        "<div class=\"scroll\" tabindex=\"0\">{}</div>\n",
        inline_svg(shrink_svg(drawing.svg), fmt::format("figure{}-", figures_), std::string(caption)));
  body_ +=
      fmt::format("<figcaption><b>Figure {}.</b> {}</figcaption></figure>\n", figures_, escape_html(caption));
}

void Report::image(const Picture& picture, std::string_view caption, const std::vector<std::string>& labels) {
  body_ += "<figure>" + image_html(picture, caption);
  if (!labels.empty()) {
    body_ += fmt::format("<div class=\"labels\" style=\"max-width:{}px\">", picture.width);
    for (const std::string& label : labels) body_ += fmt::format("<span>{}</span>", escape_html(label));
    body_ += "</div>\n";
  }
  body_ += fmt::format("<figcaption><b>Figure {}.</b> {}</figcaption></figure>\n", ++figures_,
                       escape_html(caption));
}

void Report::sequence(const std::vector<Frame>& frames, std::string_view caption) {
  if (frames.empty()) fail("[report] a sequence has no pictures: {}", quote(std::string(caption)));
  has_sequences_ = true;
  ++figures_;
  body_ +=
      "<figure class=\"sequence\">" + sequence_html(frames, fmt::format("figure{}-", figures_), caption) +
      fmt::format("<figcaption><b>Figure {}.</b> {}</figcaption></figure>\n", figures_, escape_html(caption));
}

void Report::begin_fold(std::string_view heading, bool open) {
  body_ += fmt::format("<details{}>\n<summary>{}</summary>\n", open ? " open" : "", escape_html(heading));
}

void Report::end_fold() { body_ += "</details>\n"; }

void Report::configuration(const Json& config) {
  section("Configuration");
  body_ += pairs_table(config);
}

void Report::provenance(const Json& provenance) {
  foot_ = "<footer>\n<h2>Where these numbers come from</h2>\n" + pairs_table(provenance) + "</footer>\n";
}

std::string Report::html() const {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{0}</title>\n<style>{1}{5}</style>\n</head>\n<body>\n<main>\n<h1>{0}</h1>\n"
      "<p class=\"summary\">{2}</p>\n{3}</main>\n{4}{6}</body>\n</html>\n",
      escape_html(title_), kStyle, escape_html(summary_), body_, foot_, has_sequences_ ? kSequenceStyle : "",
      has_sequences_ ? kSequenceScript : "");
}

}  // namespace elbo
