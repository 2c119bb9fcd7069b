// Ranks in builds without MPI: there are none.
#include <cstdlib>

#include "apps/support/ranks.h"
#include "tensor/error.h"

namespace elbo {

Ranks::Ranks() {
  fail(
      "[mpi] this elbo was built without MPI; install it (Debian: libopenmpi-dev openmpi-bin) and build "
      "again, or do without mpirun (elbo sweep: --launcher local)");
}

Ranks::~Ranks() = default;

void Ranks::send(int, std::string_view) {}

std::optional<RankMessage> Ranks::receive() { return std::nullopt; }

void Ranks::exchange(const std::byte*, std::span<const int64_t>, std::byte*, RankWaiting) {}
void Ranks::gather(std::byte*, std::span<const int64_t>, RankWaiting) {}
void Ranks::wait_for_all() {}
void Ranks::abort(int status) { std::_Exit(status); }

Ranks* Ranks::joined() { return nullptr; }
bool Ranks::can_join() { return false; }

}  // namespace elbo
