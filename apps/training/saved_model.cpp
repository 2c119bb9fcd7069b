#include "apps/training/saved_model.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "apps/support/arguments.h"
#include "apps/support/log.h"
#include "apps/training/model_folder.h"
#include "apps/training/model_input.h"
#include "datasets/npy.h"
#include "tensor/copy.h"
#include "tensor/file.h"
#include "vae/asperti_file.h"
#include "vae/deep_vae_file.h"
#include "vae/linear_vae_file.h"
#include "vae/luecke_file.h"
#include "vae/yacoby_file.h"

namespace elbo {
namespace {

/// The factors of the points, from a file that has those of the whole data set.
Factors read_factors(const std::string& file, const Dataset& data, int64_t limit) {
  Tensor stored = read_npy(file);
  if (is_floating(stored.dtype()))
    fail(
        "[--factors] {} holds {} numbers; the number of each factor's level is needed: where these are "
        "whole, "
        "save array.astype('int64')",
        quote(file), name(stored.dtype()));
  const auto rows = data.rows.defined() ? data.rows.span<int64_t>() : std::span<int64_t>();
  const int64_t needed = rows.empty() ? data.points() : *std::max_element(rows.begin(), rows.end()) + 1;
  const bool may_be_longer = !rows.empty() || limit > 0;  // than what is used of it
  if (stored.rank() != 2 || stored.size(1) == 0 || stored.size(0) < needed ||
      (!may_be_longer && stored.size(0) > needed))
    fail("[--factors] {} holds integers of shape {}; shape ({}, F) is needed, a row for each point{}",
         quote(file), stored.shape().str(), fmt::format("{}{}", may_be_longer ? "at least " : "", needed),
         rows.empty() ? "" : " of the data set, of which these are some");
  stored = rows.empty() ? stored.slice(0, needed) : gather_rows(stored, data.rows);
  Factors factors{
      .names = {}, .levels = {}, .indices = stored.to(DType::i64), .values = stored.to(DType::f64)};
  const auto all = factors.indices.span<int64_t>();
  const auto count = static_cast<size_t>(stored.size(1));
  for (size_t f = 0; f < count; ++f) {
    std::set<int64_t> seen;
    for (size_t i = f; i < all.size(); i += count) seen.insert(all[i]);
    factors.names.push_back(fmt::format("factor {}", f));
    factors.levels.push_back(static_cast<int64_t>(seen.size()));
  }
  return factors;
}

/// Whether the user named it, e.g. "--data".
bool given(const SavedModelOptions& o, const char* option) {
  return std::any_of(o.given.begin(), o.given.end(),
                     [&](const Argument& each) { return each.name() == option && each.given(); });
}

/// One thing that the metadata say of a network, and the option that says it where they do not.
struct Fact {
  const char *key, *option, *what;
  std::string value;  ///< the user's; empty: none
};

/// Puts what the user says of the network into the metadata that do not say it; adds to `missing` what nobody
/// says.
void complete(SafetensorsFile& file, const SavedModelOptions& o, std::vector<std::string>& missing) {
  const bool deep = is_deep_vae(file), conv = deep && is_convolutional(file);
  const std::string& encoder = o.encoder_activation.empty() ? o.activation : o.encoder_activation;
  const std::pair<bool, Fact> facts[] = {
      {deep, {"likelihood", "--likelihood", "likelihood", o.likelihood}},
      {deep && !conv, {"decoder_activation", "--activation", "activation", o.activation}},
      {deep && !conv, {"encoder_activation", "--encoder-activation", "encoder's activation", encoder}},
      {conv, {"network", "--network", "network", o.network}},
      {conv, {"width", "--channels", "channels", o.channels > 0 ? std::to_string(o.channels) : ""}}};
  for (const auto& [has, fact] : facts) {
    const auto said = file.metadata.find(fact.key);
    if (!has) {
      if (given(o, fact.option))
        fail("[{}] {} holds a {} VAE, which has none", fact.option, quote(file.path),
             deep                              ? conv ? "convolutional" : "dense"
             : file.metadata.contains("model") ? file.metadata.at("model")
                                               : "linear");
    } else if (said == file.metadata.end()) {
      if (fact.value.empty()) missing.push_back(fmt::format("{} ({})", fact.what, fact.option));
      file.metadata[fact.key] = fact.value;
    } else if (given(o, fact.option) && said->second != fact.value) {
      fail("[{}] {} says {}, not {}", fact.option, quote(file.path), said->second, fact.value);
    }
  }
}

/// A model's data stay divided as they were, or points that it was trained on would count as held out.
void check_division(const SavedModelOptions& o, const ModelCard& card) {
  const Division& d = card.division;
  for (const char* option : {"--validation", "--test", "--split-seed"})
    if (given(o, option))
      fail(
          "[{}] the model's own data stay divided as in its training, which held out {}; leave {} away, or "
          "name other data with --data",
          option,
          d.any() ? fmt::format("{} for validation and {} for test", d.validation, d.test) : "nothing",
          option);
  if (d.any() && given(o, "--limit") && o.data.limit != card.limit)
    fail(
        "[--limit] the model's data were divided with --limit {}, and another would hold out other points; "
        "leave it away, or take --subset",
        card.limit);
}

/// Which data, and which seed: what the user names, or else what the card says.
void choose_data(const SavedModelOptions& o, SavedModel& model) {
  model.named = o.data;
  model.named.split = parse_split(o.split);
  model.seed = o.run.seed;
  if (!model.card) return;
  const ModelCard& card = *model.card;
  if (!given(o, "--seed")) model.seed = card.seed;
  if (given(o, "--data")) return;  // and which of them
  check_division(o, card);
  const Split split = model.named.split;
  const double held_out = split == Split::validation ? card.division.validation
                          : split == Split::test     ? card.division.test
                                                     : 1;
  if (held_out == 0 && !may_have_split(card.data, split))
    fail("[--split] the model was trained without {} points of {}; name other data with --data", name(split),
         quote(card.data));
  model.own_source = true;
  model.named.data = card.data;
  model.named.division = card.division;
  if (!given(o, "--limit")) model.named.limit = card.limit;
  if (!given(o, "--subset")) model.named.subset = model.named.split == Split::train ? card.subset : 0;
}

/// Whether the points that the card speaks of have changed, as far as can be seen.
bool have_changed(const SavedModel& model) {
  const Dataset& data = model.data.dataset;
  return data.split == Split::train ? !model.on_its_own_data()
                                    : !data.divided.empty() && data.divided != model.card->divided;
}

/// What the stored numbers are, for people.
const char* stored_as(bool pixels, bool binary) {
  return binary ? "bytes of 0 and 1" : pixels ? "pixels" : "values";
}

/// The user's, or else the model's, for data such as the model was trained on.
Preprocessing choose_preprocessing(const SavedModelOptions& o, const SavedModel& model) {
  const Dataset& data = model.data.dataset;
  const ModelCard* card = model.card ? &*model.card : nullptr;
  Preprocessing chosen;
  if (!given(o, "--preprocess")) {
    chosen = card->preprocessing;
    if (data.has_pixels() != card->pixels || data.binary != card->binary)
      fail(
          "[--preprocess] the model was trained on {}, and {} holds {}; say what is to become of them, such "
          "as --preprocess {}",
          stored_as(card->pixels, card->binary), quote(data.name), stored_as(data.has_pixels(), data.binary),
          data.has_pixels() && !data.binary ? "scale" : "none");
  } else {
    chosen.kind = parse_preprocessing(o.data.preprocess);
    chosen.alpha = default_alpha(data);
    if (card && card->preprocessing.kind == chosen.kind) chosen.alpha = card->preprocessing.alpha;
    if (card && card->preprocessing.scale.defined()) {
      chosen = followed_by(chosen, card->preprocessing.mean, card->preprocessing.scale);
      log_line("elbo: then standardized by the mean and scale of the model's own data");
    }
  }
  check_alpha(o.data, chosen.kind);
  if (o.data.alpha != 0) chosen.alpha = o.data.alpha;
  check_preprocessing_of_kind(data, chosen);
  return chosen;
}

void read_data(const SavedModelOptions& o, DataNeed need, SavedModel& model) {
  const bool named = given(o, "--data") || given(o, "--limit") || given(o, "--subset");
  LoadedData& data = model.data;
  if (need == DataNeed::shape && model.card && !named && !o.data.standardize) {
    data = without_points(*model.card);
  } else {
    data.dataset = load_points(model.named, model.seed);
    if (model.card && !named && !given(o, "--seed") && have_changed(model))
      log_line(
          fmt::format("elbo: {} has changed since the model was trained on it", quote(data.dataset.name)));
  }
  data.seed = model.seed;
  if (model.card && model.card->preprocessing.scale.defined())
    check_fits({.dimensions = model.card->dimensions}, data);  // or they could not be standardized as its own
  data.preprocessing = choose_preprocessing(o, model);
  if (o.data.standardize && !data.preprocessing.scale.defined()) {
    const Spread spread = spread_of(data);
    data.preprocessing = followed_by(data.preprocessing, spread.mean, spread.scale);
  }
  model.named.preprocess = name(data.preprocessing.kind);
  model.named.alpha = data.preprocessing.alpha;
  model.named.standardize = data.preprocessing.scale.defined();
}

/// A file that does not say how large its images are was trained on such as these.
void complete_image(SafetensorsFile& file, const LoadedData& data) {
  if (!is_deep_vae(file) || !is_convolutional(file) || file.metadata.contains("image_height")) return;
  const Dataset& d = data.dataset;
  check_fits({.dimensions = d.dimensions(), .image = ImageSize{d.height, d.width, d.channels}}, data);
  file.metadata["image_height"] = std::to_string(d.height);
  file.metadata["image_width"] = std::to_string(d.width);
  file.metadata["image_channels"] = std::to_string(d.channels);
}

}  // namespace

void add_saved_model_options(Arguments& arguments, SavedModelOptions& o) {
  arguments
      .add_text("model", o.model,
                "A run directory of train or of an experiment, a folder of one of its units, "
                "or a .safetensors file")
      .required();
  arguments.add_number(
      "--member", o.member,
      "Of a run with several models, listed in its members/members.json; the best unless named", kIndex);
  add_data_options(arguments, o.data);
  arguments
      .add_text("--split", o.split,
                "Which points: train, validation or test, divided as in the model's training, or all of them")
      .one_of({"train", "validation", "test", "all"})
      .show_default();
  add_run_options(arguments, o.run, false);
  for (const char* option : {"--data", "--preprocess", "--alpha", "--seed"})
    arguments.at(option).show_default("the model's");
  const char* const lost = "Of a model file that does not say (saved again by other software)";
  const auto of_network = [&](const char* option, std::string& value, const char* what) {
    arguments.add_text(option, value, what).group(lost);
  };
  of_network("--likelihood", o.likelihood, "gaussian, diagonal or bernoulli");
  of_network("--activation", o.activation, "mlp: of the hidden layers");
  of_network("--encoder-activation", o.encoder_activation, "mlp: where the encoder's is another");
  of_network("--network", o.network, "conv: higgins or asperti");
  arguments.add_number("--channels", o.channels, "conv: of the first layer", kCount).group(lost);
  o.given = arguments.all();
  arguments.begin_group("Options");  // what the command adds
}

void add_factor_option(Arguments& arguments, SavedModelOptions& o) {
  arguments.add_text(
      "--factors", o.factors,
      "What the data were made from: integers (N, F) in a NumPy file, a row for each point of the whole data "
      "set; sets that know it need none");
}

SavedModel open_saved_model(const SavedModelOptions& o, DataNeed need, Device device) {
  SavedModel model;
  const bool is_run = std::filesystem::is_directory(o.model);
  if (!is_run && o.member > 0) fail("[--member] {} is one model only", quote(o.model));
  model.path = is_run ? find_model(o.model, o.member) : o.model;
  SafetensorsFile file = read_safetensors(model.path);
  model.card = card_in(file);
  std::vector<std::string> missing;
  complete(file, o, missing);
  if (!model.card && !given(o, "--preprocess"))
    missing.push_back("preprocessing (--preprocess, and --standardize if it had that)");
  if (!model.card && !given(o, "--data"))
    missing.push_back("data (--data, and --limit or --subset if it had these)");
  if (!missing.empty())
    fail(
        "[load] {} lost its model card to other software that saved it again, or is older than cards; name "
        "what "
        "it was trained with: {}",
        quote(model.path), fmt::join(missing, ", "));
  choose_data(o, model);
  read_data(o, need, model);
  if (!o.factors.empty())
    model.data.dataset.factors = read_factors(o.factors, model.data.dataset, model.named.limit);
  complete_image(file, model.data);
  const int64_t member = model.card ? model.card->member : 0;
  if (is_luecke_vae(file)) {
    model.vae = load_luecke_vae(file, device, member);
  } else if (is_asperti_vae(file)) {
    model.vae = load_asperti_vae(file, device, member);
  } else if (is_yacoby_vae(file)) {
    model.vae = load_yacoby_vae(file, device, member);
  } else if (is_deep_vae(file)) {
    model.vae = load_deep_vae(file, device, member);
  } else {
    model.linear = load_linear_vae(file);
    model.vae = as_deep_vae(*model.linear);
  }
  if (const std::string broken = model.vae->parameters().first_not_finite(); !broken.empty())
    fail("[load] {} of {} is not finite: the model broke in training", broken, quote(model.path));
  check_fits(input_of(*model.vae), model.data);
  return model;
}

}  // namespace elbo
