// elbo sweep --launcher mpi: every rank that mpirun started runs this. The root begins the run and reports;
// the others get what they need from it by messages.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "apps/command.h"
#include "apps/commands/sweep.h"
#include "apps/experiment/rank_units.h"
#include "apps/support/leases.h"
#include "apps/support/ranks.h"
#include "apps/support/run_directory.h"
#include "tensor/error.h"
#include "tensor/file.h"
#include "tensor/parallel.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

/// A folder of this rank's, for as long as it works.
class OwnFolder {
 public:
  OwnFolder() {
    std::string name = (fs::temp_directory_path() / "elbo-rank-XXXXXX").string();
    if (!::mkdtemp(name.data()))
      fail("[mpi] cannot make a folder in {}; set TMPDIR to another place", quote(name));
    path_ = name;
  }
  ~OwnFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  OwnFolder(const OwnFolder&) = delete;
  OwnFolder& operator=(const OwnFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

RankMessage next_message(Ranks& ranks) {
  while (true) {
    if (auto message = ranks.receive()) return *std::move(message);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

/// The cores of this process, if mpirun gave it some; else its share of all.
int64_t threads_of(const Ranks& ranks) {
  const int64_t mine = threads(), all = ::sysconf(_SC_NPROCESSORS_ONLN);
  return mine < all ? mine : std::max<int64_t>(all / ranks.here(), 1);
}

}  // namespace

void work_at_rank(Ranks& ranks) {
  const RankLetter letter = letter_in(next_message(ranks));
  if (letter.word != "begin") return;  // "end": there is nothing to do
  try {
    const OwnFolder folder;
    write_file_atomically(folder.path() + "/config.json", letter.files);
    std::vector<std::string> words{letter.about.at("experiment"), "--resume", folder.path()};
    for (const std::string word : letter.about.at("words")) words.push_back(word);
    run_command_line(words);
  } catch (const std::exception& error) {
    send(ranks, 0, "failed", {{"host", host_name()}, {"error", error.what()}});
    while (letter_in(next_message(ranks)).word != "end") continue;
  }
}

void end_ranks(Ranks& ranks) {
  for (int rank = 1; rank < ranks.count(); ++rank) send(ranks, rank, "end");
}

void sweep_with_mpi(Sweep& sweep, Ranks& ranks) {
  sweep.begin(threads_of(ranks));
  std::vector<std::string> words = sweep.worker();
  words.erase(words.begin(), words.begin() + 3);  // name, --resume, directory
  const std::string config = read_file(sweep.directory + "/config.json");
  for (int rank = 1; rank < ranks.count(); ++rank)
    send(ranks, rank, "begin", {{"experiment", sweep.experiment}, {"words", words}}, config);
  run_command_line(sweep.ending());
  std::fflush(stdout);  // mpirun may end this process as soon as another has ended
}

}  // namespace elbo
