// Lucas et al. 2019 for the ledger: figures and tables by name, and the commands that make them.
#include "apps/lucas/published.h"

#include "apps/command.h"
#include "datasets/dataset.h"

namespace elbo {
namespace {

using namespace lucas;
using ledger::Item;
using ledger::Run;
using ledger::Setting;
using ledger::text_at;

bool is_of(const Json& result, const char* command) { return result.at("command") == command; }

/// Whether a result of collapse is of images of this kind, and has what is wanted of annealing.
std::function<bool(const Json&)> collapse_of(std::string data, std::string preprocess, bool annealed) {
  return [=](const Json& result) {
    const bool images = kind_of(text_at(result, "provenance.data.name")) == data &&
                        text_at(result, "config.preprocess") == preprocess;
    // One full model that was trained alone is one row of the table.
    const bool row = is_of(result, "train") && !annealed && text_at(result, "config.model") != "conv" &&
                     text_at(result, "config.hidden") == "1024,512" &&
                     text_at(result, "config.decoder_hidden").empty() && preprocess == "logit";
    return images && (row || (is_of(result, "collapse") &&
                              (!annealed || ledger::value_at(result, "config.annealed") == true)));
  };
}

const std::vector<double> kRates{1e-4, 3e-4, 1e-3, 3e-3};

std::vector<Setting> mnist_settings() {
  return {{"provenance.data.N", "images", 60000},
          {"config.hidden", "hidden layers", "1024,512"},
          {"config.latent", "k", 200},
          {"config.epochs", "epochs", 1000},
          {"config.lr", "learning rates", kRates},
          {"config.members", "trials", 5, true}};
}

std::vector<Setting> celeba_settings() {
  return {{"provenance.data.N", "images", 162770},
          {"config.channels", "channels", 32},
          {"config.latent", "k", 500},
          {"config.epochs", "epochs", 1000},
          {"config.lr", "learning rates", kRates},
          {"config.members", "trials", 5, true}};
}

std::vector<Setting> subset_settings() {
  return {{"provenance.data.name", "data", "mnist"}, {"provenance.data.N", "images", 1000}};
}

std::vector<Setting> with(std::vector<Setting> settings, const std::vector<Setting>& more) {
  settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}

constexpr const char* kUnstated = "batch, initialisation and the rate of σ² are not stated";

std::vector<Run> runs() {
  const std::vector<std::string> celeba{"--model", "conv", "--data", "images:{celeba},crop=148,size=64"};
  const auto and_more = [&](std::vector<std::string> words, std::initializer_list<const char*> more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  return {{.key = "ppca-landscape", .command = "ppca-landscape", .settings = subset_settings()},
          {.key = "ppca-elbo",
           .command = "ppca-elbo",
           .settings = with(subset_settings(), {{"config.frozen_at", "σ² frozen at k", 50}})},
          {.key = "stochastic-elbo",
           .command = "stochastic-elbo",
           .settings = with(subset_settings(), {{"config.latent", "k", 200},
                                                {"config.steps", "steps", 12000},
                                                {"config.lr", "learning rates", kRates}})},
          {.key = "encoders",
           .command = "encoders",
           .full = {"--epochs", "1000", "--lr", "1e-4,3e-4,1e-3,3e-3", "--schedule", "constant"},
           .settings = {{"provenance.data.N", "images", 60000},
                        {"config.latent", "k", 200},
                        {"config.epochs", "epochs", 1000},
                        {"config.lr", "learning rates", kRates},
                        {"config.schedule", "schedule", "constant"}},
           .unstated = kUnstated,
           .matches =
               [](const Json& result) {
                 return is_of(result, "encoders") ||
                        (is_of(result, "train") && text_at(result, "config.decoder_hidden") == "none" &&
                         text_at(result, "config.encoder_hidden") == "none" &&
                         kind_of(text_at(result, "provenance.data.name")) == "mnist" &&
                         text_at(result, "config.preprocess") == "logit");
               }},
          {.key = "collapse-mnist",
           .command = "collapse",
           .settings = mnist_settings(),
           .unstated = kUnstated,
           .matches = collapse_of("mnist", "logit", false)},
          {.key = "collapse-mnist-annealed",
           .command = "collapse",
           .arguments = {"--annealed"},
           .settings = mnist_settings(),
           .unstated = kUnstated,
           .matches = collapse_of("mnist", "logit", true)},
          {.key = "collapse-mnist-pixels",
           .command = "collapse",
           .arguments = {"--preprocess", "dequantize"},
           .settings = mnist_settings(),
           .unstated = kUnstated,
           .matches = collapse_of("mnist", "dequantize", false)},
          {.key = "collapse-celeba",
           .command = "collapse",
           .arguments = celeba,
           .settings = celeba_settings(),
           .unstated = kUnstated,
           .matches = collapse_of("images", "logit", false)},
          {.key = "collapse-celeba-annealed",
           .command = "collapse",
           .arguments = and_more(celeba, {"--annealed"}),
           .settings = celeba_settings(),
           .unstated = kUnstated,
           .matches = collapse_of("images", "logit", true)},
          {.key = "collapse-celeba-pixels",
           .command = "collapse",
           .arguments = and_more(celeba, {"--preprocess", "dequantize"}),
           .settings = celeba_settings(),
           .unstated = kUnstated,
           .matches = collapse_of("images", "dequantize", false)}};
}

std::vector<Item> items() {
  return {
      {.id = "lucas/fig1", .title = "Stationary points of pPCA", .run = "ppca-landscape"},
      {.id = "lucas/fig2", .title = "Linear VAEs and pPCA over k", .run = "ppca-elbo"},
      {.id = "lucas/fig3", .title = "Stochastic against analytic ELBO", .run = "stochastic-elbo"},
      {.id = "lucas/fig4", .title = "Linear decoders with four encoders", .run = "encoders"},
      {.id = "lucas/table1",
       .title = "Deep VAEs, MNIST and CelebA, an excerpt",
       .run = "collapse-mnist",
       .note =
           "Rows of Tables 2 and 3, whose lines have their numbers; here, where it differs from them, and "
           "what the text says of it."},
      {.id = "lucas/fig5", .title = "Collapse over ε, MNIST, σ² fixed", .run = "collapse-mnist"},
      {.id = "lucas/fig6", .title = "Collapse over ε, MNIST, σ² learned", .run = "collapse-mnist"},
      {.id = "lucas/table2", .title = "Deep VAEs, MNIST in logit space", .run = "collapse-mnist"},
      {.id = "lucas/table3", .title = "Deep VAEs, CelebA in logit space", .run = "collapse-celeba"},
      {.id = "lucas/table4", .title = "Deep VAEs, MNIST pixels", .run = "collapse-mnist-pixels"},
      {.id = "lucas/table5", .title = "Deep VAEs, CelebA pixels", .run = "collapse-celeba-pixels"},
      {.id = "lucas/fig7", .title = "KL annealing, MNIST, σ² fixed", .run = "collapse-mnist-annealed"},
      {.id = "lucas/fig8", .title = "KL annealing, MNIST, σ² learned", .run = "collapse-mnist-annealed"},
      {.id = "lucas/fig9", .title = "KL annealing, CelebA, σ² learned", .run = "collapse-celeba-annealed"},
      {.id = "lucas/fig10", .title = "Collapse over ε, CelebA, σ² fixed", .run = "collapse-celeba"},
      {.id = "lucas/fig11", .title = "Collapse over ε, CelebA, σ² learned", .run = "collapse-celeba"},
      {.id = "lucas/fig12", .title = "Reconstructions, CelebA", .run = "collapse-celeba-annealed"},
      {.id = "lucas/fig13",
       .title = "Interpolations, CelebA",
       .run = "collapse-celeba-annealed",
       .note = "Of a model of that run: elbo interpolate MODEL --plane."}};
}

}  // namespace

ledger::Publication lucas_publication() {
  ledger::Publication paper{.key = "lucas",
                            .title = "Lucas et al. 2019, Don't blame the ELBO!",
                            .runs = runs(),
                            .items = items(),
                            .lines = figure_lines()};
  const std::vector<ledger::Line> tables = table_lines();
  paper.lines.insert(paper.lines.end(), tables.begin(), tables.end());
  return paper;
}

}  // namespace elbo
