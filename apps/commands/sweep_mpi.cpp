// elbo sweep --launcher mpi: every rank that mpirun started runs this. The root begins the run and reports;
// the others get what they need from it by messages.
#include <cstdio>

#include "apps/command.h"
#include "apps/commands/sweep.h"
#include "apps/support/rank_letters.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {

void work_at_rank(Ranks& ranks) {
  const RankLetter letter = next_letter(ranks);
  if (letter.word != "begin") return;  // "end": there is nothing to do
  try {
    const OwnFolder folder;
    write_file_atomically(folder.path() + "/config.json", letter.files);
    std::vector<std::string> words{letter.about.at("experiment"), "--resume", folder.path()};
    for (const std::string word : letter.about.at("words")) words.push_back(word);
    run_command_line(words);
  } catch (const std::exception& error) {
    say_failed(ranks, error);
    while (next_letter(ranks).word != "end") continue;
  }
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
