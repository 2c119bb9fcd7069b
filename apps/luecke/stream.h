// Lücke et al., appendix A, its last words: linear VAEs that learn from streams of data whose law changes,
// and what their variances alone say of the likelihood meanwhile.
#pragma once

#include "apps/experiment/experiment.h"
#include "apps/experiment/units.h"

namespace elbo::luecke {

/// PCA data of one toy, then of another.
struct StreamOptions {
  int64_t points = 10000;  ///< of each toy, in batches that come again and again
  int64_t steps = 3000;    ///< batches of each
  uint64_t seed = 0;
};

inline constexpr const char* kStream = "stream";  ///< the unit's key

Unit stream_unit(const StreamOptions& options);
/// Its figure, what it found and its claim. `unlike`: why that is not judged; empty: it is.
void present_stream(const StreamOptions& options, const Json& found, const std::string& unlike,
                    Presentation& p);

}  // namespace elbo::luecke
