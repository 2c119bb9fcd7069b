// Ranks by MPI. A message is its length and then pieces, as MPI counts bytes in an int.
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <thread>
#include <vector>

#include "apps/support/ranks.h"
#include "tensor/error.h"

namespace elbo {
namespace {

constexpr int kLength = 1, kPiece = 2;  // tags
constexpr std::chrono::microseconds kBetweenLooks{50}, kBetweenLooksAtEnd{1000}, kForLastWords{200'000};
constexpr uint64_t kLargestPiece = uint64_t{1} << 28;

Ranks* this_one = nullptr;

/// What lies between bounds, as MPI counts bytes.
struct Stretches {
  std::vector<int> sizes, begins;
  explicit Stretches(std::span<const int64_t> bounds) {
    if (bounds.back() > std::numeric_limits<int>::max())
      fail("[mpi] {} bytes at once are more than MPI can count; the model is too large for this",
           bounds.back());
    for (size_t p = 0; p + 1 < bounds.size(); ++p) {
      sizes.push_back(static_cast<int>(bounds[p + 1] - bounds[p]));
      begins.push_back(static_cast<int>(bounds[p]));
    }
  }
};

/// Returns when the request is done; asleep until then, but for what it does before each look.
template <class BeforeLook>
void sleep_until_done(MPI_Request request, std::chrono::microseconds between, const BeforeLook& before_look) {
  for (int done = 0; !done;) {
    before_look();
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    if (!done) std::this_thread::sleep_for(between);
  }
}

/// Returns when all ranks have called it.
template <class BeforeLook>
void meet(const BeforeLook& before_look) {
  MPI_Request request;
  MPI_Ibarrier(MPI_COMM_WORLD, &request);
  sleep_until_done(request, kBetweenLooksAtEnd, before_look);
}

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
  MPI_Comm_rank(local, &at_);
  MPI_Comm_free(&local);
  this_one = this;
}

Ranks::~Ranks() {
  this_one = nullptr;
  // One that was frozen may still be sending, which ends only when somebody receives it.
  meet([&] {
    while (receive()) continue;
  });
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

void Ranks::exchange(const std::byte* mine, std::span<const int64_t> bounds, std::byte* all,
                     RankWaiting waiting) {
  const std::lock_guard guard(mutex_);
  const Stretches out(bounds);
  const int own = out.sizes[static_cast<size_t>(rank_)];
  std::vector<int64_t> arriving;
  for (int p = 0; p <= count_; ++p) arriving.push_back(int64_t{p} * own);
  const Stretches in(arriving);
  if (waiting == RankWaiting::awake) {
    MPI_Alltoallv(mine, out.sizes.data(), out.begins.data(), MPI_BYTE, all, in.sizes.data(), in.begins.data(),
                  MPI_BYTE, MPI_COMM_WORLD);
    return;
  }
  MPI_Request request;
  MPI_Ialltoallv(mine, out.sizes.data(), out.begins.data(), MPI_BYTE, all, in.sizes.data(), in.begins.data(),
                 MPI_BYTE, MPI_COMM_WORLD, &request);
  sleep_until_done(request, kBetweenLooks, [] {});
}

void Ranks::gather(std::byte* whole, std::span<const int64_t> bounds, RankWaiting waiting) {
  const std::lock_guard guard(mutex_);
  const Stretches stretches(bounds);
  if (waiting == RankWaiting::awake) {
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, whole, stretches.sizes.data(), stretches.begins.data(),
                   MPI_BYTE, MPI_COMM_WORLD);
    return;
  }
  MPI_Request request;
  MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, whole, stretches.sizes.data(), stretches.begins.data(),
                  MPI_BYTE, MPI_COMM_WORLD, &request);
  sleep_until_done(request, kBetweenLooks, [] {});
}

void Ranks::wait_for_all() {
  const std::lock_guard guard(mutex_);
  meet([] {});
}

void Ranks::abort(int status) {
  // mpirun may drop what it has not passed on by then.
  std::this_thread::sleep_for(kForLastWords);
  MPI_Abort(MPI_COMM_WORLD, status);
  std::_Exit(status);
}

Ranks* Ranks::joined() { return this_one; }

bool Ranks::can_join() {
  int was_there = 0;
  MPI_Initialized(&was_there);
  return !was_there;
}

}  // namespace elbo
