#include <fmt/ranges.h>

#include <algorithm>

#include "apps/ledger/ledger.h"
#include "apps/support/html.h"

namespace elbo::ledger {
namespace {

constexpr std::string_view kStyle = R"(
:root { color-scheme: light; --ink: #1c1f23; --soft: #5b626b; --rule: #dfe3e8; --ok: #00664a; --bad: #a33b00; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 2rem 1.25rem 3rem; background: #fff; color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans",
    Arial, sans-serif; overflow-wrap: anywhere; -webkit-text-size-adjust: 100%; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .75rem; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 3rem 0 .5rem; padding-top: .9rem; border-top: 2px solid var(--ink); }
h3 { font-size: 1.05rem; margin: 2rem 0 .3rem; }
h3 code { margin-right: .5rem; }
p { margin: .5rem 0; }
.summary { font-size: 1.1rem; }
.soft { color: var(--soft); font-size: .88rem; }
code { font: .92em ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
a { color: #1a4f8b; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem .3rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--rule); }
thead th { border-bottom: 1.5px solid var(--ink); }
.counts { width: auto; overflow-wrap: normal; }
.counts td, .counts th { padding-right: 1.2rem; }
.counts td.n { text-align: right; }
.lines th { width: 22%; }
.lines th:first-child { width: 36%; }
.lines th:last-child { width: 20%; }
.good { color: var(--ok); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.none td { color: var(--soft); }
.why { display: block; color: var(--soft); font-size: .85rem; font-weight: 400; }
details { margin: 1rem 0; }
summary { cursor: pointer; font-weight: 600; }
nav ul { columns: 3; list-style: none; padding: 0; margin: .4rem 0; font-size: .92rem; }
nav li { break-inside: avoid; padding: .15rem 0; }
nav a { margin-right: .3rem; }
@media (max-width: 44rem) {
  body { padding: 1.25rem 1rem 2rem; }
  h1 { font-size: 1.45rem; }
  nav ul { columns: 2; }
  .counts { font-size: .8rem; width: 100%; }
  .counts td, .counts th { padding-right: .3rem; }
  .lines thead { display: none; }
  .lines, .lines tbody, .lines tr, .lines td { display: block; }
  .lines tr { padding: .45rem 0; border-bottom: 1px solid var(--rule); }
  .lines td { border: 0; padding: 0; }
  .lines td:first-child { font-weight: 600; }
  .lines td[data-label]:not(:empty)::before { content: attr(data-label) " "; color: var(--soft); }
  .lines tr.none { padding: .25rem 0; }
  .lines tr.none td:first-child { font-weight: 400; }
  .lines tr.none td { display: inline; }
  .lines tr.none td + td::before { content: "· "; }
}
@media print { body { max-width: none; padding: 0; font-size: 10pt; } tr { break-inside: avoid; } }
)";

const char* class_of(const Entry& entry) {
  switch (entry.comparison.verdict) {
    case Verdict::within_error:
    case Verdict::equivalent:
    case Verdict::holds:
      return "good";
    case Verdict::different:
    case Verdict::fails:
      return "bad";
    default:
      return "";
  }
}

/// A sign before a verdict, so that it does not rest on colour.
std::string sign_of(const Entry& entry) {
  const std::string kind = class_of(entry);
  return kind == "good" ? "✓ " : kind == "bad" ? "✗ " : "";
}

std::string anchor_of(const Item& item) {
  std::string name = item.id;
  std::replace(name.begin(), name.end(), '/', '-');
  return name;
}

std::string counts_table(const Ledger& ledger) {
  std::string html = "<table class=\"counts\"><thead><tr><th>verdict</th><th>lines</th>";
  for (const Publication& paper : ledger.papers) html += fmt::format("<th>{}</th>", escape_html(paper.key));
  html += "</tr></thead><tbody>\n";
  for (const Verdict verdict :
       {Verdict::within_error, Verdict::equivalent, Verdict::not_told_apart, Verdict::different,
        Verdict::holds, Verdict::fails, Verdict::not_comparable, Verdict::not_run}) {
    html += fmt::format("<tr><td>{}</td><td class=\"n\">{}</td>", word(verdict), ledger.count(verdict));
    for (const Publication& paper : ledger.papers)
      html += fmt::format("<td class=\"n\">{}</td>", ledger.count(verdict, &paper));
    html += "</tr>\n";
  }
  return html + "</tbody></table>\n";
}

std::string sources_of(const std::vector<const Entry*>& entries) {
  std::vector<const KeptResult*> seen;
  std::string html;
  for (const Entry* e : entries) {
    if (!e->source || std::find(seen.begin(), seen.end(), e->source) != seen.end()) continue;
    seen.push_back(e->source);
    html += fmt::format("<p class=\"soft\">From <code>{}</code>: {}.", escape_html(e->source->path),
                        escape_html(origin_text(*e->source)));
    if (!e->differences.empty())
      html += fmt::format(" Settings that differ: {}.",
                          escape_html(fmt::format("{}", fmt::join(e->differences, "; "))));
    html += "</p>\n";
  }
  return html;
}

std::string line_html(const Entry& entry, bool several) {
  const Comparison& c = entry.comparison;
  const bool ran = entry.source != nullptr;
  std::string why = c.why;
  if (several && ran) why += (why.empty() ? "from " : "; from ") + entry.source->path;
  return fmt::format(
      "<tr{}><td>{}</td><td data-label=\"paper\">{}</td><td data-label=\"here\">{}</td><td class=\"{}\">{}{}"
      "{}</td></tr>\n",
      c.verdict == Verdict::not_run ? " class=\"none\"" : "", escape_html(entry.line->what),
      escape_html(paper_text(*entry.line)), escape_html(here_text(entry)), class_of(entry), sign_of(entry),
      escape_html(verdict_text(entry)),
      why.empty() ? "" : fmt::format("<span class=\"why\">{}</span>", escape_html(why)));
}

std::string item_html(const Item& item, const std::vector<const Entry*>& entries) {
  const KeptResult* source = nullptr;
  bool several = false;
  for (const Entry* e : entries) {
    several = several || (source && e->source && e->source != source);
    if (!source) source = e->source;
  }
  const Run& run = *entries.front()->run;
  std::string html = fmt::format("<section id=\"{}\"><h3><code>{}</code> {}</h3>\n", anchor_of(item),
                                 escape_html(item.id), escape_html(item.title));
  html += fmt::format(
      "<p class=\"soft\">Again: <code>{}</code>.{}{}</p>\n", escape_html(command_of(item, source)),
      item.note.empty() ? "" : " " + escape_html(item.note),
      run.unstated.empty() ? "" : fmt::format(" In the paper, {}.", escape_html(run.unstated)));
  html += sources_of(entries);
  html +=
      "<table "
      "class=\"lines\"><thead><tr><th>what</th><th>paper</th><th>here</th><th>verdict</th></tr></thead>"
      "<tbody>\n";
  for (const Entry* e : entries) html += line_html(*e, several);
  return html + "</tbody></table></section>\n";
}

}  // namespace

std::string page(const Ledger& ledger) {
  const auto ran = std::count_if(ledger.entries.begin(), ledger.entries.end(),
                                 [](const Entry& entry) { return entry.source != nullptr; });
  const int64_t compared = static_cast<int64_t>(ledger.entries.size()) - ledger.count(Verdict::not_run) -
                           ledger.count(Verdict::not_comparable);
  std::string body = fmt::format(
      "<p class=\"summary\">{} published numbers and claims of four papers beside what came out here: {} "
      "were run, of which {} can be compared. {}</p>\n",
      ledger.entries.size(), ran, compared,
      ledger.too_good() == 0 ? "None is too good." : fmt::format("{} are too good.", ledger.too_good()));
  body += counts_table(ledger) + "<details><summary>How verdicts are made</summary>\n";
  for (const std::string& paragraph : method_text())
    body += fmt::format("<p>{}</p>\n", escape_html(paragraph));
  body += "</details>\n";
  std::string sections, nav;
  for (const Publication& paper : ledger.papers) {
    sections += fmt::format("<h2>{}</h2>\n", escape_html(paper.title));
    nav += "<ul>\n";
    for (const Item& item : paper.items) {
      std::vector<const Entry*> own;
      for (const Entry& entry : ledger.entries)
        if (entry.item == &item) own.push_back(&entry);
      if (own.empty()) continue;
      sections += item_html(item, own);
      const auto run =
          std::count_if(own.begin(), own.end(), [](const Entry* e) { return e->source != nullptr; });
      nav += fmt::format("<li><a href=\"#{}\">{}</a> <span class=\"soft\">{} of {}</span></li>\n",
                         anchor_of(item), escape_html(item.id), run, own.size());
    }
    nav += "</ul>\n";
  }
  body += "<nav><p class=\"soft\">Lines that were run, of each figure and table:</p>\n" + nav + "</nav>\n" +
          sections;
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Ledger</title>\n"
      "<style>{}</style>\n</head>\n<body>\n<main>\n<h1>What was published, and what came out "
      "here</h1>\n{}</main>\n"
      "</body>\n</html>\n",
      kStyle, body);
}

}  // namespace elbo::ledger
