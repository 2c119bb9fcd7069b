#include "apps/commands/linear_sweeps.h"

#include <chrono>

#include "apps/support/figure.h"
#include "apps/support/interrupt.h"
#include "apps/support/progress.h"
#include "vae/decoder_alignment.h"
#include "vae/linear_polish.h"

namespace elbo {
namespace {

void record(Sweeps& sweeps, CsvFile& csv, int64_t sweep, LinearVae& vae, const DataMoments& moments,
            const Eigen& eigen, double seconds) {
  const LinearVaeWeights weights = linear_vae_weights(vae);
  const LinearVaeMetrics m = evaluate_linear_vae(weights, moments);
  const DecoderAlignment found = decoder_alignment(weights, eigen);
  sweeps.sweep.push_back(static_cast<double>(sweep));
  sweeps.elbo.push_back(m.elbo);
  sweeps.median_cosine.push_back(found.median);
  sweeps.worst_cosine.push_back(found.worst);
  sweeps.angle.push_back(found.angle);
  csv.row({sweep, m.elbo, found.median, found.worst, found.angle, m.log_likelihood, m.kl, m.sigma2, seconds});
}

}  // namespace

Sweeps polish_in_run(LinearVae& vae, const DataMoments& moments, const Eigen& eigen, RunDirectory& run,
                     const SweepOptions& o) {
  const std::vector<std::string> columns{"sweep",          "elbo", "median_cosine", "worst_cosine", "angle",
                                         "log_likelihood", "kl",   "sigma2",        "seconds"};
  const std::string file = "polish.csv";
  const auto begun = static_cast<double>(o.begun);
  CsvFile csv = o.begun > 0 ? run.csv(file, columns, begun) : run.csv(file, columns);
  Sweeps sweeps;
  if (o.begun > 0) {
    const auto known = read_columns(run.file(file), 5, begun);
    sweeps = {known[0], known[1], known[2], known[3], known[4]};
  }
  const auto seconds = [start = std::chrono::steady_clock::now()] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  double saved_at = 0;
  if (sweeps.sweep.empty()) record(sweeps, csv, o.begun, vae, moments, eigen, seconds());
  Progress progress(o.sweeps, "polish", {.quiet = o.quiet, .begun = o.begun});
  int64_t done = o.begun;
  while (done < o.sweeps && !interrupted()) {
    set_linear_vae_weights(vae, polish(linear_vae_weights(vae), moments, o.learn_sigma2));
    record(sweeps, csv, ++done, vae, moments, eigen, seconds());
    if (seconds() - saved_at > kSecondsBetweenCheckpoints) {
      csv.save();
      o.checkpoint(done);
      saved_at = seconds();
    }
    progress.update(done, [&] { return fmt::format("ELBO {:.3f} nats", sweeps.elbo.back()); });
  }
  csv.save();
  o.checkpoint(done);
  progress.finish();
  return sweeps;
}

Drawing draw_sweeps(const Sweeps& sweeps, const std::string& directory) {
  Figure figure{.name = "polish",
                .title = "Columns turning into the principal directions",
                .x = {"sweep"},
                .y = {.label = "|cosine|", .low = 0, .high = 1}};
  figure.series.push_back({.name = "median", .x = sweeps.sweep, .y = sweeps.median_cosine});
  figure.series.push_back({.name = "worst", .x = sweeps.sweep, .y = sweeps.worst_cosine});
  return draw(figure, directory);
}

}  // namespace elbo
