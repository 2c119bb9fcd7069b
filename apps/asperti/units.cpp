// elbo asperti-units: Asperti 2019, Table 1 and Figs 2 to 5. Which units of a VAE are in use, their variances
// along the training, what each is worth, and what pictures lose without the others; and the same with what
// section 5 takes out of the loss, and of the convolutional network.
#include "apps/asperti/units_report.h"
#include "apps/command.h"
#include "apps/reports/pictures.h"
#include "tensor/file.h"

namespace elbo {
namespace {

using namespace asperti;

struct Options : CommonOptions {
  int64_t epochs = 50, members = 10, conv_epochs = 10, conv_members = 3, pictures = 1000;
  std::string schedule = "constant";
  template <class F>
  void each(F f) {
    each_common(f);
    f("epochs", epochs);
    f("members", members);
    f("conv_epochs", conv_epochs);
    f("conv_members", conv_members);
    f("pictures", pictures);
    f("schedule", schedule);
  }
};

void prepare(Options& o, const Arguments& arguments) {
  quicken(arguments, o.quick, "--epochs", o.epochs, 10);
  quicken(arguments, o.quick, "--members", o.members, 2);
  quicken(arguments, o.quick, "--conv-members", o.conv_members, 0);
}

std::vector<Variant> variants_of(const Options& o) {
  const auto dense = [&](const char* key, const char* title, KlPart part) {
    return Variant{.key = key,
                   .title = title,
                   .training = {.part = part,
                                .epochs = o.epochs,
                                .batch = o.batch,
                                .rate = o.rate,
                                .schedule = parse_schedule(o.schedule),
                                .pictures = o.pictures,
                                .seed = o.run.seed}};
  };
  std::vector<Variant> all{dense("dense", "dense network", KlPart::whole),
                           dense("no-kl", "dense, without the KL", KlPart::none),
                           dense("mean-only", "dense, of the KL only μ²", KlPart::mean)};
  if (o.conv_members == 0) return all;
  all.push_back(dense("conv", "convolutional network", KlPart::whole));
  all.back().conv = true;
  all.back().training.epochs = o.conv_epochs;
  return all;
}

ImageSize image_of(const Dataset& data) {
  return has_pictures(data) ? ImageSize{data.height, data.width, data.channels} : ImageSize{};
}

AspertiOptions network_of(const Options& o, const Variant& variant, const Dataset& data) {
  AspertiOptions network = dense_network(o, data, variant.conv ? o.conv_members : o.members);
  if (variant.conv) network.conv = image_of(data);
  return network;
}

Unit unit_of(const Options& o, const Variant& variant, std::shared_ptr<const LoadedData> data) {
  const auto x = [data, o] { return data->all().to(DType::f32).to(device_of(o.run)); };
  const EnsembleTraining& how = variant.training;
  const AspertiOptions network = network_of(o, variant, data->dataset);
  const auto vae = asperti_vae(network, o.run.seed);
  // A weight of a convolution meets many pixels.
  const double reuse = variant.conv ? 40 : 1;
  return {.key = variant.key,
          .title = variant.title,
          .cost = reuse * training_cost(*vae, data->dataset.points(), how.epochs),
          .measure =
              [=] {
                const auto own = asperti_vae(network, o.run.seed);
                const int64_t per_epoch = (data->dataset.points() + how.batch - 1) / how.batch;
                return seconds_of(*own, asperti_loss(*own, how.part), x(), how.batch, how.epochs * per_epoch);
              },
          .run =
              [=](const UnitPlace& place) {
                return train_ensemble(network, card_of(o.data, *data), x(), how, place);
              }};
}

void present(const Options& o, const LoadedData& data, const Outcomes& outcomes, Presentation& p) {
  UnitsFindings found;
  found.unlike = unlike_paper(o, data.dataset);
  found.image = image_of(data.dataset);
  found.lambda = o.lambda;
  // The convolutional network's own loss is not stated either.
  found.unlike_conv = !found.unlike.empty() ? found.unlike : o.conv_epochs < 10 ? "fewer than 10 epochs" : "";
  for (const Variant& variant : variants_of(o)) {
    if (!outcomes.has(variant.key)) continue;
    found.variants.push_back(variant);
    found.ensembles.push_back(ensemble_from(outcomes.at(variant.key)));
  }
  present_units(found, p);
}

ExperimentPlan plan(Options& o) {
  const std::shared_ptr<const LoadedData> data = load_pixels(o);
  const Dataset& set = data->dataset;
  if (o.conv_members > 0 && (set.height != 28 || set.width != 28))
    fail("[--conv-members] the convolutional network is for images of 28 x 28 pixels, {} has none; give 0",
         quote(set.name));
  const std::vector<Variant> variants = variants_of(o);
  ExperimentPlan plan{
      .what = fmt::format("Trains {} dense networks in 3 ways for {} epochs of {} points{}.", o.members,
                          o.epochs, data->dataset.points(),
                          o.conv_members == 0 ? ""
                                              : fmt::format(", and {} convolutional ones for {}",
                                                            o.conv_members, o.conv_epochs)),
      .data = data};
  for (const Variant& variant : variants) plan.units.push_back(unit_of(o, variant, data));
  plan.present = [o, data](const Outcomes& outcomes, Presentation& p) { present(o, *data, outcomes, p); };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "Two models, ten epochs, no convolutional network");
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  add_common_options(arguments, *o);
  number("--epochs", o->epochs, kCount, "Passes over the data");
  number("--conv-epochs", o->conv_epochs, kCount, "and of the convolutional network");
  arguments.add_text("--schedule", o->schedule, "Learning rate over time")
      .one_of({"constant", "cosine"})
      .show_default();
  arguments.begin_group("Ensemble");
  number("--members,--seeds", o->members, kCount,
         "Models of each training, with random numbers of their own");
  number("--conv-members", o->conv_members, kCountOrNone, "Convolutional ones; 0: none");
  number("--pictures", o->pictures, {kCount.least, 100000}, "Pictures drawn with and without inactive units");
  arguments.run([o, &arguments] {
    run_experiment<Options>({"asperti-units", prepare, plan}, *o, arguments);
  });
}

}  // namespace

const Command asperti_units_command{"asperti-units",
                                    "Which units of a VAE collapse, and what the others are worth",
                                    "Table 1, Figs 2 to 5", "2 h (--quick: 3 min)", add_options};

}  // namespace elbo
