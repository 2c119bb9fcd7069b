// elbo train under mpirun: the ranks train one model, each on its own rows of every batch. The root reads the
// command line, has the run directory, measures and reports; the others get the run, as it is, by a message.
#include <cstdio>
#include <new>
#include <typeinfo>

#include "apps/commands/train.h"
#include "apps/support/folder_files.h"
#include "apps/support/leases.h"
#include "apps/support/log.h"
#include "apps/support/rank_letters.h"
#include "tensor/cuda/device.h"
#include "tensor/file.h"

namespace elbo {
namespace {

/// What needs a whole batch in one place, or decides by what one process sees.
void check_shareable(const TrainOptions& o) {
  const auto refuse = [](const std::string& what) {
    fail("[mpi] {} cannot be shared by several processes; leave mpirun away", what);
  };
  const TrainingOptions& t = o.training;
  if (t.model == "linear") refuse("--model linear");
  if (t.model == "conv" && t.network == "asperti") refuse("batch normalisation (--network asperti)");
  if (t.penalty != "kl") refuse("--penalty " + t.penalty + ", which is of a batch's mean KL,");
  if (t.method == "libi") refuse("--method libi");
  if (t.method == "lagging" && t.lagging_segments == 0) refuse("--method lagging without --lagging-segments");
  if (o.calibration.by_law()) refuse("--choose-sigma2");
  if (o.calibration.grow_latent) refuse("--grow-latent");
}

std::string reason(const std::exception& error) {
  return typeid(error) == typeid(std::bad_alloc) ? "out of memory" : error.what();
}

/// At the others, who were given the same options as the root.
void take_part(Ranks& ranks, const TrainOptions& given) {
  const RankLetter letter = next_letter(ranks);
  if (letter.word != "begin") return;  // "end": there is nothing to do
  std::optional<Muted> muted(std::in_place);
  RankAllReduce all_reduce(ranks);  // until all have what this process sent last
  try {
    if (letter.about.at("given") != to_json(given))
      fail("[mpi] these are other options than those of the root; all ranks take the same");
    const OwnFolder folder;
    unpack(letter.files, folder.path());
    TrainOptions o;
    o.run.threads = letter.about.at("threads");
    if (o.run.threads == 0) o.run.threads = static_cast<int>(threads_of(ranks));
    restore(o, letter.about.at("config"));
    o.run.device = letter.about.at("device");
    o.resume = folder.path();
    apply(o.run);
    take_part_in_deep(o, all_reduce);
    if (device_of(o.run) == Device::cuda) cuda::synchronize();
  } catch (const std::exception& error) {
    let_root_speak_first();
    muted.reset();
    log_line(fmt::format("elbo: rank {} on {}: {}", ranks.rank(), host_name(), reason(error)));
    ranks.abort(2);
  }
  ranks.wait_for_all();
}

}  // namespace

void RankedTraining::begin(const TrainOptions& options, const RunDirectory& directory) {
  const auto files = pack_at_rest(directory.path());
  if (!files) fail("[mpi] the files of {} change all the time", quote(directory.path()));
  const Json about{{"given", given_},
                   {"config", to_json(options)},
                   {"threads", threads_},
                   {"device", device_of(options.run) == Device::cuda ? "cuda" : "cpu"}};
  has_begun_ = goes_on_ = true;
  for (int rank = 1; rank < ranks_.count(); ++rank) send(ranks_, rank, "begin", about, *files);
}

void train_at_ranks(TrainOptions options, const std::function<TrainOptions(TrainOptions)>& prepare) {
  Ranks ranks;
  if (ranks.count() != launched().count)
    fail(
        "[mpi] {} processes were started, but MPI knows of {}; elbo needs the mpirun of the MPI that it was "
        "built with",
        launched().count, ranks.count());
  cuda::choose(ranks.at());  // MPI may have looked at the GPUs, so that hiding them would be too late
  if (ranks.rank() > 0) return take_part(ranks, options);
  RankedTraining ranked(ranks, options);
  try {
    if (options.run.threads == 0) options.run.threads = static_cast<int>(threads_of(ranks));
    const TrainOptions o = prepare(std::move(options));
    check_shareable(o);
    apply(o.run);
    train_deep(o, &ranked);
  } catch (const std::exception& error) {
    if (!ranked.has_begun()) end_ranks(ranks);
    if (ranked.goes_on()) {
      log_line(fmt::format("elbo: {}", reason(error)));
      ranks.abort(2);
    }
    if (ranked.has_begun()) ranks.wait_for_all();
    throw;
  }
  std::fflush(stdout);  // mpirun may end this process as soon as another has ended
  ranked.has_begun() ? ranks.wait_for_all() : end_ranks(ranks);
}

}  // namespace elbo
