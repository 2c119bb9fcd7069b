#include "apps/training/agreement.h"

#include <cstdint>

namespace elbo {
namespace {

/// 16 bits that tell the parameters apart (FNV-1a over their words, folded): so few that sums of their
/// squares over a thousand processes are exact.
double fingerprint_of(const ParameterStore& parameters) {
  const Tensor values = parameters.values().to(Device::cpu);
  const auto* const words = static_cast<const uint32_t*>(values.bytes());
  const int64_t count = values.byte_count() / static_cast<int64_t>(sizeof(uint32_t));
  uint64_t hash = 0xcbf29ce484222325;
  for (int64_t i = 0; i < count; ++i) hash = (hash ^ words[i]) * 0x100000001b3;
  hash ^= hash >> 32;
  return static_cast<double>((hash ^ (hash >> 16)) & 0xffff);
}

}  // namespace

void agree(AllReduce& all_reduce, bool took_long, const ParameterStore& parameters,
           std::optional<FoundHeldOut>& found) {
  if (took_long) all_reduce.wait_for_all();
  const double own = fingerprint_of(parameters);
  // Only what process 0 has counts: the others add zeros.
  const bool measured = all_reduce.rank() == 0;
  const size_t members = parameters.members() > 0 ? static_cast<size_t>(parameters.members()) : 1;
  std::vector<double> numbers{own, own * own, measured && found ? 1.0 : 0.0};
  for (size_t m = 0; m < members; ++m) {
    const HeldOut x = measured && found && (*found)[m] ? *(*found)[m] : HeldOut{};
    numbers.insert(numbers.end(), {measured && found && (*found)[m] ? 1.0 : 0.0, x.elbo, x.standard_error,
                                   x.expected_log_likelihood, x.kl});
  }
  all_reduce.sum(numbers);
  // The squares' mean is the mean's square where all are equal, and nowhere else.
  if (numbers[1] * static_cast<double>(all_reduce.count()) != numbers[0] * numbers[0])
    fail(
        "[mpi] the ranks' parameters are not the same any more, as on processors or with libraries that "
        "differ; give them machines of one kind");
  if (numbers[2] == 0) {
    found.reset();
    return;
  }
  found.emplace(members);
  for (size_t m = 0; m < members; ++m) {
    const double* const x = &numbers[3 + 5 * m];
    if (x[0] != 0) (*found)[m] = {x[1], x[2], x[3], x[4]};
  }
}

}  // namespace elbo
