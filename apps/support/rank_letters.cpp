#include "apps/support/rank_letters.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "apps/support/leases.h"
#include "tensor/error.h"
#include "tensor/file.h"
#include "tensor/parallel.h"

namespace elbo {

void send(Ranks& ranks, int to, const std::string& word, const Json& about, std::string_view files) {
  const std::string head = Json{word, about}.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string bytes = head + '\n';
  bytes += files;
  ranks.send(to, bytes);
}

RankLetter letter_in(const RankMessage& message) {
  const size_t end = message.bytes.find('\n');
  Json head = Json::parse(message.bytes.substr(0, end), nullptr, false);
  if (end == std::string::npos || !head.is_array() || head.size() != 2 || !head[0].is_string())
    fail("[mpi] rank {} says what this elbo does not understand; are all of the same version?", message.from);
  return {head[0], std::move(head[1]), message.bytes.substr(end + 1)};
}

RankLetter next_letter(Ranks& ranks) {
  while (true) {
    if (const auto message = ranks.receive()) return letter_in(*message);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void say_failed(Ranks& ranks, const std::exception& error) {
  send(ranks, 0, "failed", {{"host", host_name()}, {"error", error.what()}});
}

void end_ranks(Ranks& ranks) {
  for (int rank = 1; rank < ranks.count(); ++rank) send(ranks, rank, "end");
}

int64_t threads_of(const Ranks& ranks) {
  const int64_t mine = threads(), all = ::sysconf(_SC_NPROCESSORS_ONLN);
  return mine < all ? mine : std::max<int64_t>(all / ranks.here(), 1);
}

OwnFolder::OwnFolder() {
  std::error_code error;
  const std::string place = std::filesystem::temp_directory_path(error).string();
  std::string name = place + "/elbo-rank-XXXXXX";
  if (error || !::mkdtemp(name.data()))
    fail("[mpi] this rank cannot make a folder in {}; set TMPDIR to another place",
         error ? "its place for temporary files" : quote(place));
  path_ = name;
}

OwnFolder::~OwnFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace elbo
