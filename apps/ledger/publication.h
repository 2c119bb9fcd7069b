// What a paper published, to stand beside what came out here: its figures and tables by a name each, the
// command that makes them, and a line for each number and each claim, with how it is read from a result.json.
//
//   Publication lucas_publication() {
//     return {.key = "lucas", .title = "Lucas et al. 2019, ...",
//             .runs = {{.key = "landscape", .command = "ppca-landscape", .settings = {...}}},
//             .items = {{.id = "lucas/fig1", .title = "...", .run = "landscape"}},
//             .lines = {claim_line("lucas/fig1", "the paper's words", ...)}};
//   }
//
// Each paper's room has one; it knows what its own results look like, and the ledger does not.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "apps/ledger/verdict.h"
#include "apps/support/json.h"

namespace elbo::ledger {

/// A setting of the paper's, and where a result.json says ours.
struct Setting {
  std::string at;  ///< "config.epochs", "provenance.data.N"
  std::string name;
  Json published{};
  bool at_least = false;  ///< more is no difference: runs, trials, samples
};

/// A run of a command that figures and tables are made from.
struct Run {
  std::string key;  ///< of its folder: "landscape", and "landscape-quick"
  std::string command;
  std::vector<std::string> arguments{};
  /// In addition: for the paper's settings, and for the quick form, which has its own.
  std::vector<std::string> full{}, quick{"--quick"};
  std::vector<Setting> settings{};
  std::string unstated{};  ///< what the paper does not say
  /// Whether a result.json is of this run; where it is empty, those of its command are.
  std::function<bool(const Json& result)> matches{};
};

struct Item {
  std::string id;                                 ///< "lucas/fig1"
  std::string title;                              ///< what it shows
  std::string run;                                ///< the key of its run
  std::vector<std::string> only{}, quick_only{};  ///< the units that it needs; none: all of them
  std::string note{};
};

/// What a result says of a line.
struct Reading {
  std::optional<Measured> number{};
  std::optional<bool> holds{};  ///< of a claim; nothing where it cannot be judged
  bool not_shown = false;       ///< it was judged, and the error leaves both open
  std::string here{};           ///< words; of a number they are made from it where empty
  std::string note{};           ///< why it is not judged
};

/// A published number, or a claim in words.
struct Line {
  std::string item;  ///< its id
  std::string what;  ///< "σ² fixed at 30: ELBO"
  std::string unit{};
  std::optional<PublishedNumber> number{};
  std::string words{};  ///< what the paper says, of a claim; of a number where it stands
  Better better = Better::neither;
  double margin = 0;     ///< of equivalence, in the unit
  std::string unlike{};  ///< why it cannot be compared, whatever the settings; empty: it can
  /// Nothing where this result has none of it. Null: nothing is measured, as of a picture.
  std::function<std::optional<Reading>(const Json& result)> read{};
  /// Whether the experiment itself says where settings are too far from the paper's (Reading::note).
  bool judged_there = false;
};

struct Publication {
  std::string key, title;
  std::vector<Run> runs{};
  std::vector<Item> items{};
  std::vector<Line> lines{};
};

/// The value at a dotted path; null where there is none.
Json value_at(const Json& json, const std::string& path);
/// The same where it is text; otherwise "".
std::string text_at(const Json& json, const std::string& path);
/// metrics.NAME as a number; NaN where there is none.
double metric(const Json& result, const std::string& path);

/// A line for a claim that the experiment itself judges: the entry of metrics.claims that begins with
/// `claim`, after `skip` others that do.
Line claim_line(const std::string& item, const std::string& claim, const std::string& words, int skip = 0);
/// A line for what only eyes can judge.
Line picture_line(const std::string& item, const std::string& what, const std::string& words);

}  // namespace elbo::ledger
