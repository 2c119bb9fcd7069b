// elbo asperti-units: Asperti 2019, Table 1 and Figs 2 to 5. Which units of a VAE are in use, their variances
// along the training, what each is worth, and what pictures lose without the others; and the same with what
// section 5 takes out of the loss, and of the convolutional network.
#include <fmt/ranges.h>

#include <utility>

#include "apps/asperti/units_report.h"
#include "apps/command.h"
#include "apps/reports/pictures.h"
#include "tensor/file.h"

namespace elbo {
namespace {

using namespace asperti;

constexpr const char* kNone = "none";
constexpr int64_t kLawMembers = 3;

struct Options : CommonOptions {
  int64_t epochs = 50, members = 10, conv_epochs = 10, conv_members = 3, pictures = 1000;
  std::string schedule = "constant";
  std::vector<std::string> law_data{"digits", "sprites", "faces"};
  template <class F>
  void each(F f) {
    each_common(f);
    f("epochs", epochs);
    f("members", members);
    f("conv_epochs", conv_epochs);
    f("conv_members", conv_members);
    f("pictures", pictures);
    f("schedule", schedule);
    f("law_data", law_data);
  }
};

void prepare(Options& o, const Arguments& arguments) {
  quicken(arguments, o.quick, "--epochs", o.epochs, 10);
  quicken(arguments, o.quick, "--members", o.members, 2);
  quicken(arguments, o.quick, "--conv-members", o.conv_members, 0);
  if (o.quick && !arguments.given("--law-data")) o.law_data = {kNone};
  for (std::string& data : o.law_data) data = absolute_specification(data);
}

std::vector<std::string> other_data(const Options& o) {
  return o.law_data == std::vector<std::string>{kNone} ? std::vector<std::string>{} : o.law_data;
}

/// A key may hold letters, digits, points and hyphens.
std::string key_of(const std::string& data) {
  std::string key = "law-";
  for (const char c : data) key += std::isalnum(static_cast<unsigned char>(c)) ? c : '-';
  return key;
}

/// A training with the data that it sees.
struct Task {
  Variant variant;
  DataOptions named;
  PlannedData data;
};

Task on_other_data(CommonOptions o, Variant variant, const std::string& data) {
  o.data.data = data;
  if (o.data.preprocess == "none") {  // what the first data ask for says nothing of these
    o.data.preprocess = DataOptions{}.preprocess;
    o.data.preprocess_argument.reset();
  }
  PlannedData planned_data = plan_pixels(o);  // which settles how they are preprocessed
  variant.other_data = true;
  return {std::move(variant), o.data, std::move(planned_data)};
}

std::vector<Task> tasks_of(const Options& o, const PlannedData& data) {
  const auto dense = [&](const std::string& key, const std::string& title, KlPart part) {
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
  std::vector<Task> all{{dense("dense", "dense network", KlPart::whole), o.data, data},
                        {dense("no-kl", "dense, without the KL", KlPart::none), o.data, data},
                        {dense("mean-only", "dense, of the KL only μ²", KlPart::mean), o.data, data}};
  if (o.conv_members > 0) {
    all.push_back({dense("conv", "convolutional network", KlPart::whole), o.data, data});
    all.back().variant.conv = true;
    all.back().variant.training.epochs = o.conv_epochs;
  }
  for (const std::string& other : other_data(o))
    all.push_back(on_other_data(o, dense(key_of(other), "dense network on " + other, KlPart::whole), other));
  return all;
}

ImageSize image_of(const Dataset& data) {
  return has_pictures(data) ? ImageSize{data.height, data.width, data.channels} : ImageSize{};
}

AspertiOptions network_of(const Options& o, const Variant& variant, const Dataset& data) {
  AspertiOptions network = dense_network(o, data,
                                         variant.conv         ? o.conv_members
                                         : variant.other_data ? std::min(o.members, kLawMembers)
                                                              : o.members);
  if (variant.conv) network.conv = image_of(data);
  return network;
}

void present(const Options& o, const LoadedData& data, const std::vector<Variant>& variants,
             const Outcomes& outcomes, Presentation& p) {
  UnitsFindings found;
  found.unlike = unlike_paper(o, data.dataset);
  found.image = image_of(data.dataset);
  found.lambda = o.lambda;
  // The convolutional network's own loss is not stated either.
  found.unlike_conv = !found.unlike.empty() ? found.unlike : o.conv_epochs < 10 ? "fewer than 10 epochs" : "";
  for (const Variant& variant : variants) {
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
  const std::vector<Task> tasks = tasks_of(o, planned(data));
  ExperimentPlan plan{
      .what = fmt::format(
          "Trains {} dense networks in 3 ways for {} epochs of {} points{}{}.", o.members, o.epochs,
          data->dataset.points(),
          o.conv_members == 0
              ? ""
              : fmt::format(", and {} convolutional ones for {}", o.conv_members, o.conv_epochs),
          other_data(o).empty() ? ""
                                : fmt::format("; {} more on each of {}", std::min(o.members, kLawMembers),
                                              fmt::join(other_data(o), ", "))),
      .data = data};
  for (const auto& [variant, named, own] : tasks)
    plan.units.push_back(ensemble_unit(variant.key, variant.title, network_of(o, variant, own.look.dataset),
                                       variant.training, named, own));
  std::vector<Variant> variants;
  for (const Task& task : tasks) variants.push_back(task.variant);
  plan.present = [o, data, variants](const Outcomes& outcomes, Presentation& p) {
    present(o, *data, variants, outcomes, p);
  };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "Two models, ten epochs, no convolutional network, no other data");
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  add_common_options(arguments, *o);
  number("--epochs", o->epochs, kCount, "Passes over the data");
  number("--conv-epochs", o->conv_epochs, kCount, "Passes over the data of the convolutional network");
  arguments.add_text("--schedule", o->schedule, "Learning rate over time")
      .one_of({"constant", "cosine"})
      .show_default();
  arguments.begin_group("Ensemble");
  number("--members,--seeds", o->members, kCount,
         "Models of each training, with random numbers of their own");
  number("--conv-members", o->conv_members, kCountOrNone, "Convolutional ones; 0: none");
  arguments
      .add_texts("--law-data", o->law_data,
                 "Other data sets that the variance law is looked at on, with three dense networks; or none")
      .show_default();
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
