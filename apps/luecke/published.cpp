// Lücke et al. for the ledger: figures by name, the commands that make them, and what the paper says of them.
#include <fmt/format.h>

#include "apps/command.h"
#include "apps/ledger/publication.h"

namespace elbo {
namespace {

using ledger::claim_line;
using ledger::Item;
using ledger::Line;
using ledger::Run;

/// Runs are trained in units of ten: "ring-0", "ring-10", ...
std::vector<std::string> units(const std::string& key, int count) {
  std::vector<std::string> keys;
  for (int i = 0; i < count; ++i) keys.push_back(fmt::format("{}-{}", key, 10 * i));
  return keys;
}

std::vector<Run> runs() {
  const std::vector<ledger::Setting> noise{{"config.points", "points", 10000},
                                           {"config.batch", "batch", 2000},
                                           {"config.samples", "draws of z", 100, true},
                                           {"config.lr", "rate", 1e-3}};
  std::vector<ledger::Setting> entropies = noise, noisier = noise;
  entropies.push_back({"config.runs", "runs", 10, true});
  entropies.push_back({"config.ring_runs", "runs on rings", 100, true});
  noisier.push_back({"config.runs", "runs", 100, true});
  return {
      {.key = "luecke-entropies",
       .command = "luecke-entropies",
       .settings = entropies,
       .unstated =
           "the numbers of epochs, H on MNIST (2 by the words of Fig 3; 10 here), the fixed σ and the "
           "optimiser are not stated"},
      {.key = "luecke-noise",
       .command = "luecke-noise",
       .settings = noisier,
       .unstated = "the numbers of epochs and the optimiser are not stated"},
      {.key = "luecke-states",
       .command = "luecke-states",
       .settings = noise,
       .unstated = "the numbers of epochs and the optimiser are not stated"},
      {.key = "luecke-streaming", .command = "luecke-streaming", .unstated = "appendix A has no experiment"}};
}

std::vector<Item> items() {
  return {{.id = "luecke/fig1a",
           .title = "Bound and entropies, linear VAE",
           .run = "luecke-entropies",
           .only = {"linear", "linear-fixed"},
           .quick_only = {"linear", "linear-fixed"}},
          {.id = "luecke/fig1b",
           .title = "Bound and entropies, VAE-1 on MNIST",
           .run = "luecke-entropies",
           .only = {"images"},
           .quick_only = {"images"}},
          {.id = "luecke/fig1c",
           .title = "Bound and entropies, VAE-3 on rings",
           .run = "luecke-entropies",
           .only = units("ring", 10),
           .quick_only = {"ring"}},
          {.id = "luecke/fig2a",
           .title = "VAE-3 as in Fig 1c, for longer",
           .run = "luecke-noise",
           .only = units("longer", 10),
           .quick_only = {"longer"}},
          {.id = "luecke/fig2b",
           .title = "VAE-3 in small batches",
           .run = "luecke-noise",
           .only = units("batch", 10),
           .quick_only = {"batch"}},
          {.id = "luecke/fig2c",
           .title = "VAE-3 at a high learning rate",
           .run = "luecke-noise",
           .only = units("rate", 10),
           .quick_only = {"rate"}},
          {.id = "luecke/fig3a",
           .title = "States along the training, linear VAE",
           .run = "luecke-states",
           .only = {"linear"},
           .quick_only = {"linear"}},
          {.id = "luecke/fig3b",
           .title = "States along the training, VAE-1",
           .run = "luecke-states",
           .only = {"images"},
           .quick_only = {"images"}},
          {.id = "luecke/fig3c",
           .title = "States along the training, VAE-3",
           .run = "luecke-states",
           .only = {"ring"},
           .quick_only = {"ring"}},
          {.id = "luecke/appA", .title = "A likelihood from variances alone", .run = "luecke-streaming"}};
}

constexpr const char* kAtEnd = ": |bound - entropies| / |final bound| at the end, median";

std::vector<Line> lines() {
  std::vector<Line> all{
      claim_line("luecke/fig1a", std::string("linear VAE") + kAtEnd, "approaches 0"),
      claim_line("luecke/fig1a", "linear VAE: bound and entropies end at the log-likelihood",
                 "converge tight to it"),
      claim_line("luecke/fig1a", "linear VAE: bound and entropies recover the ground truth", "well"),
      claim_line("luecke/fig1a", "linear VAE: slight overfitting, training data end above the ground truth",
                 "a bit above"),
      claim_line("luecke/fig1a", "linear VAE with σ fixed: a finite gap remains", "at convergence"),
      claim_line("luecke/fig1b", std::string("VAE-1 on images") + kAtEnd, "approaches 0"),
      claim_line("luecke/fig1c", std::string("VAE-3 on rings") + kAtEnd, "< 0.5 %"),
      claim_line("luecke/fig1c", "VAE-3 on rings: the entropies fluctuate around the bound",
                 "by the sampling noise of σ(z)"),
      claim_line("luecke/fig1c", "VAE-3 on rings: the gap is small before the bound has converged",
                 "might become so, at saddles"),
      claim_line("luecke/fig1c", "VAE-3: the bound beside the data's own log-likelihood",
                 "no ground truth available")};
  const std::pair<const char*, const char*> settings[] = {{"luecke/fig2a", "as Fig 1c, longer"},
                                                          {"luecke/fig2b", "small batches"},
                                                          {"luecke/fig2c", "high learning rate"}};
  for (const auto& [id, title] : settings) {
    all.push_back(claim_line(id, fmt::format("{}: the error at the end", title),
                             std::string(id) == "luecke/fig2a" ? "< 0.5 %" : "<= 1 %"));
    all.push_back(claim_line(id, fmt::format("{}: the signed deviation is smaller than the error", title),
                             "significantly"));
    all.push_back(claim_line(id, fmt::format("{}: the difference can be positive as well as negative", title),
                             "close to the stationary point"));
  }
  all.push_back(claim_line("luecke/fig2c", "noisier training, larger error", "in both cases"));
  all.push_back(claim_line("luecke/fig2c", "noisier training, larger error of the last state",
                           "higher stochasticity of the final fluctuations"));
  all.push_back(claim_line("luecke/fig3a",
                           "linear VAE: at early stopping the entropies give the bound already",
                           "very well, at around 700 iterations"));
  for (const char* id : {"luecke/fig3a", "luecke/fig3b", "luecke/fig3c"})
    all.push_back(
        ledger::picture_line(id, "latent and data space at four points of the training", "pictures"));
  for (const char* data : {"pca", "images"}) {
    all.push_back(claim_line("luecke/appA",
                             fmt::format("{}: the variances alone give the log-likelihood (Eq. 44)", data),
                             "exact at the optimum"));
    all.push_back(
        claim_line("luecke/appA",
                   fmt::format("{}: that is the maximum over all linear VAEs, as pPCA has it (Eq. 45)", data),
                   "at the ML solution"));
    all.push_back(
        claim_line("luecke/appA",
                   fmt::format("{}: they choose the latent dimension that the exact likelihood does", data),
                   "can be used so"));
  }
  all.push_back(
      claim_line("luecke/appA", "stream: the variances track data that change", "without any effort"));
  return all;
}

}  // namespace

ledger::Publication luecke_publication() {
  return {.key = "luecke",
          .title = "Lücke et al., The ELBO of VAEs converges to a sum of three entropies",
          .runs = runs(),
          .items = items(),
          .lines = lines()};
}

}  // namespace elbo
