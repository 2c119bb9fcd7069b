#include <fmt/ranges.h>

#include <algorithm>

#include "apps/ledger/ledger.h"

namespace elbo::ledger {
namespace {

std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|' || c == '*' || c == '<') escaped += '\\';
    escaped += c == '\n' ? ' ' : c;
  }
  return escaped;
}

std::string sources_of(const std::vector<const Entry*>& entries, const std::string& from) {
  std::vector<const KeptResult*> seen;
  std::string text;
  for (const Entry* e : entries) {
    if (!e->source || std::find(seen.begin(), seen.end(), e->source) != seen.end()) continue;
    seen.push_back(e->source);
    text += fmt::format("- `{}/{}`: {}.{}\n", from, e->source->path, origin_text(*e->source),
                        e->differences.empty()
                            ? ""
                            : fmt::format(" Settings that differ: {}.", fmt::join(e->differences, "; ")));
  }
  return text;
}

std::string item_text(const Item& item, const std::vector<const Entry*>& entries, const std::string& from) {
  const Run& run = *entries.front()->run;
  std::string text = fmt::format("### {}\n\n{}. Made by `elbo reproduce {}`, which runs `elbo {}`.{}{}\n\n",
                                 item.id, item.title, item.id,
                                 fmt::join(
                                     [&] {
                                       std::vector<std::string> words{run.command};
                                       words.insert(words.end(), run.arguments.begin(), run.arguments.end());
                                       words.insert(words.end(), run.full.begin(), run.full.end());
                                       return words;
                                     }(),
                                     " "),
                                 item.note.empty() ? "" : " " + item.note,
                                 run.unstated.empty() ? "" : fmt::format(" In the paper, {}.", run.unstated));
  const std::string sources = sources_of(entries, from);
  if (!sources.empty()) text += sources + "\n";
  text += "| what | paper | here | verdict |\n|---|---|---|---|\n";
  for (const Entry* e : entries) {
    const bool ran = e->source != nullptr;
    const std::string verdict = e->comparison.verdict == Verdict::not_run && !e->run_without_it
                                    ? "not run at full settings"
                                    : verdict_text(*e);
    const std::string& why = e->comparison.why;
    text += fmt::format("| {} | {} | {} | {}{} |\n", cell(e->line->what), cell(paper_text(*e->line)),
                        ran ? cell(here_text(*e)) : "", verdict,
                        why.empty() ? "" : fmt::format(" ({})", cell(why)));
  }
  return text + "\n";
}

}  // namespace

std::string markdown(const Ledger& ledger, const std::string& from) {
  std::string text = fmt::format(
      "# Reproduction\n\nEvery published number and claim of the four papers beside what came out here, from "
      "the results "
      "in `{0}`. This page is written by\n\n```sh\nelbo reproduce --from {0} --markdown "
      "docs/reproduction.md\n```\n\nand "
      "not by hand; a test checks that it is up to date. `elbo reproduce --from {0} --out DIR` writes the "
      "same as a "
      "page and as JSON.\n\n",
      from);
  text += "| verdict | lines |";
  for (const Publication& paper : ledger.papers) text += fmt::format(" {} |", paper.key);
  text += "\n|---|---|" + [&] {
    std::string rule;
    for (size_t i = 0; i < ledger.papers.size(); ++i) rule += "---|";
    return rule;
  }() + "\n";
  for (const Verdict verdict :
       {Verdict::within_error, Verdict::equivalent, Verdict::not_told_apart, Verdict::different,
        Verdict::holds, Verdict::fails, Verdict::not_comparable, Verdict::not_run}) {
    text +=
        fmt::format("| {} | {} |", verdict == Verdict::not_run ? "not run at full settings" : word(verdict),
                    ledger.count(verdict));
    for (const Publication& paper : ledger.papers)
      text += fmt::format(" {} |", ledger.count(verdict, &paper));
    text += "\n";
  }
  text += fmt::format("\n{} of them are too good.\n\n## How verdicts are made\n\n", ledger.too_good());
  for (const std::string& paragraph : method_text()) text += paragraph + "\n\n";
  for (const Publication& paper : ledger.papers) {
    text += fmt::format("## {}\n\n", paper.title);
    for (const Item& item : paper.items) {
      std::vector<const Entry*> own;
      for (const Entry& entry : ledger.entries)
        if (entry.item == &item) own.push_back(&entry);
      if (!own.empty()) text += item_text(item, own, from);
    }
  }
  while (text.ends_with("\n\n")) text.pop_back();
  return text;
}

}  // namespace elbo::ledger
