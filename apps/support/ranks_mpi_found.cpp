// Ranks by MPI. A message is its length and then pieces, as MPI counts bytes in an int.
#include <mpi.h>

#include <algorithm>
#include <cstdint>

#include "apps/support/ranks.h"
#include "tensor/error.h"

namespace elbo {
namespace {

constexpr int kLength = 1, kPiece = 2;  // tags
constexpr uint64_t kLargestPiece = uint64_t{1} << 28;

Ranks* this_one = nullptr;

}  // namespace

Ranks::Ranks() {
  if (this_one) fail("[mpi] this process has joined the others already");
  int provided = 0;
  // A process that cannot go on ends all of them: MPI's own handling of errors stays.
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided);
  if (provided < MPI_THREAD_SERIALIZED) {
    MPI_Finalize();
    fail(
        "[mpi] this MPI allows calls from one thread only; use one that allows several, or --launcher local");
  }
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &count_);
  MPI_Comm local;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local);
  MPI_Comm_size(local, &here_);
  MPI_Comm_free(&local);
  this_one = this;
}

Ranks::~Ranks() {
  this_one = nullptr;
  MPI_Finalize();
}

void Ranks::send(int to, std::string_view bytes) {
  const std::lock_guard guard(mutex_);
  const uint64_t length = bytes.size();
  MPI_Send(&length, 1, MPI_UINT64_T, to, kLength, MPI_COMM_WORLD);
  while (!bytes.empty()) {
    const uint64_t piece = std::min<uint64_t>(bytes.size(), kLargestPiece);
    MPI_Send(bytes.data(), static_cast<int>(piece), MPI_BYTE, to, kPiece, MPI_COMM_WORLD);
    bytes.remove_prefix(piece);
  }
}

std::optional<RankMessage> Ranks::receive() {
  const std::lock_guard guard(mutex_);
  int there = 0;
  MPI_Status status;
  MPI_Iprobe(MPI_ANY_SOURCE, kLength, MPI_COMM_WORLD, &there, &status);
  if (!there) return std::nullopt;
  RankMessage message{status.MPI_SOURCE, ""};
  uint64_t length = 0;
  MPI_Recv(&length, 1, MPI_UINT64_T, message.from, kLength, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  message.bytes.resize(length);
  for (uint64_t done = 0; done < length;) {
    const uint64_t piece = std::min(length - done, kLargestPiece);
    MPI_Recv(message.bytes.data() + done, static_cast<int>(piece), MPI_BYTE, message.from, kPiece,
             MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    done += piece;
  }
  return message;
}

Ranks* Ranks::joined() { return this_one; }

}  // namespace elbo
