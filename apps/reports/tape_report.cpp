#include "apps/reports/tape_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/support/statistics.h"

namespace elbo {
namespace {

using Op = TapeTrace::Op;
using Input = TapeTrace::Input;

bool alike(const Input& a, const Input& b) {
  return a.op == b.op && a.output == b.output && a.parameter == b.parameter && a.shape == b.shape;
}

bool alike(const Op& a, const Op& b) {
  return a.name == b.name && a.outputs == b.outputs &&
         std::equal(a.inputs.begin(), a.inputs.end(), b.inputs.begin(), b.inputs.end(),
                    [](const Input& x, const Input& y) { return alike(x, y); });
}

bool alike(const std::vector<Op>& a, const std::vector<Op>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Op& x, const Op& y) { return alike(x, y); });
}

std::string shapes_text(const std::vector<Shape>& shapes) {
  std::string text;
  for (const Shape& shape : shapes) text += (text.empty() ? "" : ", ") + shape.str();
  return text;
}

/// "3" or "3, its 2nd output" for what op 3 made, else the parameter's name or its shape as a constant.
std::string input_text(const Input& input, const std::vector<Op>& ops) {
  const std::string plus = input.met ? " +" : "";
  if (!input.parameter.empty()) return input.parameter + plus;
  if (input.op < 0) return input.shape.str();
  const bool several = ops[static_cast<size_t>(input.op)].outputs.size() > 1;
  return fmt::format("#{}{}{}", input.op + 1, several ? fmt::format("[{}]", input.output) : "", plus);
}

}  // namespace

std::vector<TracedTape> traced_tapes(const std::vector<std::vector<TapeTrace::Recorded>>& steps) {
  std::vector<TracedTape> tapes;
  std::vector<std::vector<const std::vector<Op>*>> sources;  // of each
  for (const std::vector<TapeTrace::Recorded>& step : steps)
    for (const TapeTrace::Recorded& recorded : step) {
      if (recorded.ops.empty()) continue;
      size_t at = 0;
      while (at < tapes.size() && !alike(tapes[at].ops, recorded.ops)) ++at;
      if (at == tapes.size()) {
        tapes.push_back({recorded.ops, 0});
        sources.emplace_back();
      }
      sources[at].push_back(&recorded.ops);
    }
  for (size_t t = 0; t < tapes.size(); ++t) {
    tapes[t].count = static_cast<double>(sources[t].size()) / static_cast<double>(steps.size());
    for (size_t i = 0; i < tapes[t].ops.size(); ++i) {
      std::vector<double> forward, backward;
      for (const std::vector<Op>* source : sources[t]) {
        forward.push_back((*source)[i].forward_seconds);
        backward.push_back((*source)[i].backward_seconds);
      }
      tapes[t].ops[i].forward_seconds = statistics_of(forward).median;
      tapes[t].ops[i].backward_seconds = statistics_of(backward).median;
      tapes[t].ops[i].saved_bytes = sources[t].back()->at(i).saved_bytes;
    }
  }
  return tapes;
}

Table tape_table(const std::vector<Op>& ops) {
  Table table({Table::number("#"), "op", "from", "output", Table::number("saved"), Table::number("forward"),
               Table::number("backward")});
  for (size_t i = 0; i < ops.size(); ++i) {
    const Op& op = ops[i];
    std::string from;
    for (const Input& input : op.inputs) from += (from.empty() ? "" : ", ") + input_text(input, ops);
    table.row({fmt::format("{}", i + 1), op.name, from, shapes_text(op.outputs), bytes_text(op.saved_bytes),
               seconds_text(op.forward_seconds),
               op.reached ? seconds_text(op.backward_seconds) : "not reached"});
  }
  return table;
}

Json to_json(const TracedTape& tape) {
  Json ops = Json::array();
  for (const Op& op : tape.ops) {
    Json inputs = Json::array(), outputs = Json::array();
    for (const Input& input : op.inputs) {
      Json entry{
          {"shape", input.shape.str()}, {"has_gradient", input.reached}, {"added_to_another", input.met}};
      if (input.op >= 0) entry.update({{"op", input.op + 1}, {"output", input.output}});
      if (!input.parameter.empty()) entry["parameter"] = input.parameter;
      inputs.push_back(entry);
    }
    for (const Shape& shape : op.outputs) outputs.push_back(shape.str());
    ops.push_back({{"op", op.name},
                   {"inputs", inputs},
                   {"outputs", outputs},
                   {"dtype", name(op.dtype)},
                   {"output_bytes", op.output_bytes},
                   {"saved_bytes", op.saved_bytes},
                   {"forward_seconds", op.forward_seconds},
                   {"backward_seconds", op.backward_seconds},
                   {"reached", op.reached}});
  }
  return {{"count", tape.count}, {"ops", ops}};
}

TapeTotals totals_of(const std::vector<Op>& ops) {
  TapeTotals totals;
  for (const Op& op : ops) {
    totals.saved_bytes += op.saved_bytes;
    totals.forward_seconds += op.forward_seconds;
    totals.backward_seconds += op.backward_seconds;
    totals.meetings +=
        std::count_if(op.inputs.begin(), op.inputs.end(), [](const Input& input) { return input.met; });
  }
  return totals;
}

std::string seconds_text(double seconds) {
  const auto digits = [](double value, const char* unit) {
    return fmt::format("{:.{}f} {}", value, value < 9.95 ? 1 : 0, unit);
  };
  if (seconds < 1e-3) return digits(seconds * 1e6, "µs");
  return seconds < 1 ? digits(seconds * 1e3, "ms") : digits(seconds, "s");
}

std::string bytes_text(int64_t bytes) {
  if (bytes == 0) return "0";
  double value = static_cast<double>(bytes);
  const char* unit = "B";
  for (const char* larger : {"KiB", "MiB", "GiB"}) {
    if (value < 1024) break;
    value /= 1024;
    unit = larger;
  }
  return fmt::format("{:.{}f} {}", value, value < 9.95 && bytes >= 1024 ? 1 : 0, unit);
}

}  // namespace elbo
