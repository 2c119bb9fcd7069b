// Rows of a batch that several processes share: which of them each process has, and their noise, which is
// what one process draws for them. Knows nothing of the processes.
#pragma once

#include "tensor/random.h"

namespace elbo {

struct BatchRows {
  int64_t first = 0;
  int64_t all = 0;  ///< rows of the whole batch; 0: this process has all of them

  /// Rows of the whole batch, of which this process has `own`.
  int64_t all_of(int64_t own) const { return all > 0 ? all : own; }
};

/// Where part `part` of `parts` begins among so many rows, and the part before it ends. Parts differ by a row
/// at most.
constexpr int64_t part_begin(int64_t rows, int64_t part, int64_t parts) { return rows * part / parts; }

/// Fills out, (N, k) or (S, N, k), with rows first .. first + N - 1 of what fill_normal draws for (all, k) or
/// (S, all, k), one member's.
void fill_normal_rows(const Tensor& out, const RandomKey& key, const BatchRows& rows);

}  // namespace elbo
