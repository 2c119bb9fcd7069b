// Ranks in builds without MPI: there are none.
#include "apps/support/ranks.h"
#include "tensor/error.h"

namespace elbo {

Ranks::Ranks() {
  fail(
      "[mpi] this elbo was built without MPI; install it (Debian: libopenmpi-dev openmpi-bin) and build "
      "again, or "
      "take --launcher local");
}

Ranks::~Ranks() = default;

void Ranks::send(int, std::string_view) {}

std::optional<RankMessage> Ranks::receive() { return std::nullopt; }

Ranks* Ranks::joined() { return nullptr; }

}  // namespace elbo
