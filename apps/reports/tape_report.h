// What a trace of tapes (autograd/trace.h) looks like: a table, a drawing, and the same as JSON.
#pragma once

#include <string>
#include <vector>

#include "apps/support/json.h"
#include "apps/support/table.h"
#include "autograd/trace.h"

namespace elbo {

/// Tapes of one step that are alike: their ops, inputs and shapes are the same, only the numbers differ.
struct TracedTape {
  std::vector<TapeTrace::Op>
      ops;           ///< times are medians, over the repeated steps and the tapes that are alike
  double count = 1;  ///< in one step, on average
};

/// The tapes of a step, from traces of it taken several times. Some methods record a tape more often in one
/// step than in another.
std::vector<TracedTape> traced_tapes(const std::vector<std::vector<TapeTrace::Recorded>>& steps);

/// A row for each op: its inputs by number or name, the shapes of its outputs, and what it costs. An op whose
/// input has a gradient already when its own comes is marked by +.
Table tape_table(const std::vector<TapeTrace::Op>& ops);

/// Ops from the first at the top to the loss at the bottom; arrows are values, the other way gradients. Wide
/// enough for a phone.
std::string tape_svg(const std::vector<TapeTrace::Op>& ops, const std::string& title);

Json to_json(const TracedTape& tape);

/// Sums over the ops.
struct TapeTotals {
  int64_t saved_bytes = 0;
  double forward_seconds = 0, backward_seconds = 0;
  int64_t meetings = 0;  ///< gradients that were added to one that was there
};
TapeTotals totals_of(const std::vector<TapeTrace::Op>& ops);

/// "0.4 µs", "12 µs", "3.1 ms", "1.2 s"; "0", "64 B", "12 KiB", "3.1 MiB".
std::string seconds_text(double seconds);
std::string bytes_text(int64_t bytes);

}  // namespace elbo
