#include "apps/training/model_card.h"

#include <nlohmann/json.hpp>

#include "apps/support/result.h"
#include "tensor/file.h"

namespace elbo {
namespace {

constexpr const char* kKey = "card";
constexpr int64_t kMost = int64_t{1} << 40;
constexpr int64_t kLargestSide = int64_t{1} << 20;
constexpr int64_t kMostMembers = int64_t{1} << 30;

int64_t whole(const Json& json, const char* what, int64_t least, int64_t most) {
  const Json& value = json.at(what);
  if (!value.is_number_integer() || value < least || value > most)
    fail("its '{}' must be a whole number from {} to {}, and is {}", what, least, most, value.dump());
  return value;
}

double amount(const Json& json, const char* what) {
  const Json& value = json.at(what);
  if (!value.is_number() || !(value >= 0) || !(value <= kMost))
    fail("its '{}' must be a number of points or a share, and is {}", what, value.dump());
  return value;
}

/// What of the source the points are: those that are left when others are held out.
Json split_of(const ModelCard& card) {
  return {{"name", name(Split::train)},
          {"validation", card.division.validation},
          {"test", card.division.test},
          {"seed", card.division.seed},
          {"of", card.divided}};
}

void take_split(const Json& json, ModelCard& card) {
  if (json.at("name") != name(Split::train)) fail("its 'name' of a split is {}", json.at("name").dump());
  if (!json.at("seed").is_number_unsigned()) fail("its 'seed' is {}", json.at("seed").dump());
  card.division = {amount(json, "validation"), amount(json, "test"), json.at("seed")};
  json.at("of").get_to(card.divided);
}

ModelCard card_from(const Json& json) {
  ModelCard card;
  json.at("version").get_to(card.version);
  card.member = whole(json, "member", 0, kMostMembers);
  const Json& data = json.at("data");
  data.at("name").get_to(card.data);
  card.limit = whole(data, "limit", 0, kMost);
  card.subset = whole(data, "subset", 0, kMost);
  if (!data.at("seed").is_number_unsigned()) fail("its 'seed' is {}", data.at("seed").dump());
  data.at("seed").get_to(card.seed);
  card.points = whole(data, "points", 1, kMost);
  card.dimensions = whole(data, "dimensions", 1, kMost);
  card.height = whole(data, "height", 0, kLargestSide);
  card.width = whole(data, "width", 0, kLargestSide);
  card.channels = whole(data, "channels", 0, kLargestSide);
  data.at("pixels").get_to(card.pixels);
  data.at("fingerprint").get_to(card.fingerprint);
  card.preprocessing = preprocessing_from(json.at("preprocessing"));
  data.at("binary").get_to(card.binary);
  if (json.contains("entropies_obstacle"))
    card.entropies_obstacle = json.at("entropies_obstacle").get<std::string>();
  if (data.contains("split")) take_split(data["split"], card);
  check_preprocessing_of_kind(without_points(card).dataset, card.preprocessing);
  const int64_t pixels = card.height * card.width * card.channels;
  if (pixels != card.dimensions && (pixels != 0 || card.height + card.width + card.channels != 0))
    fail("images of {} x {} with {} channels do not have {} dimensions", card.height, card.width,
         card.channels, card.dimensions);
  return card;
}

}  // namespace

ModelCard card_of(const DataOptions& options, const LoadedData& data, int64_t member) {
  const Dataset& d = data.dataset;
  return {.version = version(),
          .member = member,
          .data = absolute_specification(options.data),
          .limit = options.limit,
          .subset = options.subset,
          .division = options.division,
          .divided = d.divided,
          .seed = data.seed,
          .points = d.points(),
          .dimensions = d.dimensions(),
          .height = d.height,
          .width = d.width,
          .channels = d.channels,
          .pixels = d.has_pixels(),
          .binary = d.binary,
          .fingerprint = d.fingerprint,
          .preprocessing = data.preprocessing};
}

Json to_json(const Preprocessing& p) {
  Json json = {{"kind", name(p.kind)}, {"alpha", p.alpha}};
  if (p.scale.defined()) json.update({{"mean", p.mean.to_vector()}, {"scale", p.scale.to_vector()}});
  return json;
}

Preprocessing preprocessing_from(const Json& json) {
  Preprocessing p{.kind = parse_preprocessing(json.at("kind").get<std::string>()),
                  .alpha = json.at("alpha").get<double>()};
  if (!json.contains("scale")) return p;
  const auto of_each = [&](const char* what) {
    const auto values = json.at(what).get<std::vector<double>>();
    return Tensor::from<double>({static_cast<int64_t>(values.size())}, values);
  };
  p.mean = of_each("mean");
  p.scale = of_each("scale");
  return p;
}

Json to_json(const ModelCard& c) {
  Json data = {{"name", c.data},     {"limit", c.limit},   {"subset", c.subset},
               {"seed", c.seed},     {"points", c.points}, {"dimensions", c.dimensions},
               {"height", c.height}, {"width", c.width},   {"channels", c.channels},
               {"pixels", c.pixels}, {"binary", c.binary}, {"fingerprint", c.fingerprint}};
  if (c.division.any()) data["split"] = split_of(c);
  Json json = {{"version", c.version},
               {"member", c.member},
               {"data", data},
               {"preprocessing", to_json(c.preprocessing)}};
  if (c.entropies_obstacle) json["entropies_obstacle"] = *c.entropies_obstacle;
  return json;
}

ModelCard card_of_toy(const std::string& name, int64_t run, int64_t points, uint64_t seed) {
  const DataOptions data{
      .data = plain_specification(fmt::format("{}:{}", name, run)), .preprocess = "none", .limit = points};
  return card_of(data, load_data(data, seed));
}

std::map<std::string, std::string> metadata_of(const ModelCard& card) {
  return {{kKey, to_json(card).dump(-1, ' ', false, Json::error_handler_t::replace)}};
}

std::optional<ModelCard> card_in(const SafetensorsFile& file) {
  const auto found = file.metadata.find(kKey);
  if (found == file.metadata.end()) return std::nullopt;
  std::string why;
  try {
    return card_from(parse_json(found->second));
  } catch (const Error& error) {
    why = error.what();
  } catch (const nlohmann::json::exception& error) {
    why = error.what();
  }
  fail("[load] {}: its model card is damaged: {}; take another copy of the model", quote(file.path), why);
}

LoadedData without_points(const ModelCard& card) {
  LoadedData data;
  data.dataset.name = card.data;
  data.dataset.x = Tensor::empty({0, card.dimensions}, card.pixels ? DType::u8 : DType::f32);
  data.dataset.binary = card.binary;
  data.dataset.height = card.height;
  data.dataset.width = card.width;
  data.dataset.channels = card.channels;
  data.dataset.fingerprint = card.fingerprint;
  data.preprocessing = card.preprocessing;
  data.seed = card.seed;
  return data;
}

}  // namespace elbo
