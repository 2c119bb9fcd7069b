#include "apps/asperti/two_stage_findings.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/support/interrupt.h"
#include "tensor/copy.h"
#include "vae/frechet_distance.h"

namespace elbo::asperti {
namespace {

/// Draws of this file, each its own: z of training and of held-out points and of the prior, and what is
/// chosen among points.
enum Purpose : uint64_t {
  kTrained,
  kFirstHalf,
  kSecondHalf,
  kDecodedPrior,
  kDrawnPrior,
  kHalves,
  kOne,
  kOther,
  kDivision
};
RandomKey key_of(uint64_t seed, Purpose purpose) {
  return {.seed = seed, .stream = kEvaluation, .step = (uint64_t{1} << 30) + (uint64_t{1} << 26) * purpose};
}

/// Calls f(name, value) for each number: writing and reading are two such f.
template <class Match, class F>
void each_of_latent(Match& match, F f) {
  f("hz", match.hz);
  f("hz_p_value", match.hz_p_value);
  f("knn", match.knn);
  f("knn_standard_error", match.knn_error);
  f("mmd2", match.mmd_squared);
  f("mmd_p_value", match.mmd_p_value);
}
template <class Match, class F>
void each_of_pictures(Match& match, F f) {
  f("knn", match.knn);
  f("knn_standard_error", match.knn_error);
  f("frechet", match.frechet);
}
template <class Units, class F>
void each_of_units(Units& units, F f) {
  f("variance", units.variance);
  f("sigma2", units.sigma2);
  f("law", units.law);
  f("law_standard_error", units.law_error);
  f("kl", units.kl);
}
/// Calls latent, pictures, units or number with the name and the part of a member.
template <class Member, class Latent, class Pictures, class Units, class Number>
void each_part(Member& m, Latent latent, Pictures pictures, Units units, Number number) {
  latent("z_and_prior", m.prior);
  latent("second_and_z", m.second);
  latent("z_and_z", m.floor);
  latent("u_and_prior", m.u);
  pictures("one_stage", m.one);
  pictures("two_stages", m.two);
  pictures("decoded", m.codes);
  pictures("held_out", m.real);
  units("first_units", m.first_units);
  units("second_units", m.second_units);
  number("squared_error", m.squared_error);
  number("gamma", m.gamma);
  number("second_elbo", m.second_elbo);
}

Json to_json(const TwoStageMember& member) {
  Json all = Json::object();
  const auto numbers = [&](const char* part, auto each, const auto& of) {
    each(of, [&](const char* name, const auto& value) { all[part][name] = finite_or_null(value); });
  };
  each_part(
      member,
      [&](const char* part, const LatentMatch& of) {
        numbers(
            part, [](auto& m, auto f) { each_of_latent(m, f); }, of);
      },
      [&](const char* part, const PictureMatch& of) {
        numbers(
            part, [](auto& m, auto f) { each_of_pictures(m, f); }, of);
      },
      [&](const char* part, const StageUnits& of) {
        numbers(
            part, [](auto& m, auto f) { each_of_units(m, f); }, of);
      },
      [&](const char* name, double value) { all[name] = finite_or_null(value); });
  return all;
}

TwoStageMember member_from(const Json& json) {
  TwoStageMember member;
  const auto read = [&](const char* part) {
    return [&own = json.at(part)](const char* name, double& value) { value = number_or_nan(own.at(name)); };
  };
  each_part(
      member, [&](const char* part, LatentMatch& of) { each_of_latent(of, read(part)); },
      [&](const char* part, PictureMatch& of) { each_of_pictures(of, read(part)); },
      [&](const char* part, StageUnits& of) {
        each_of_units(of, [&](const char* name, std::vector<double>& values) {
          values = numbers_or_nan(json.at(part).at(name));
        });
      },
      [&](const char* name, double& value) { value = number_or_nan(json.at(name)); });
  return member;
}

TwoStageMember nothing_of(const TwoStageMember& member) {
  TwoStageMember none = member;
  const auto forget = [](const char*, double& value) { value = std::nan(""); };
  each_part(
      none, [&](const char*, LatentMatch& of) { each_of_latent(of, forget); },
      [&](const char*, PictureMatch& of) { each_of_pictures(of, forget); },
      [&](const char*, StageUnits& of) {
        each_of_units(of, [](const char*, std::vector<double>& values) {
          std::fill(values.begin(), values.end(), std::nan(""));
        });
      },
      forget);
  return none;
}

/// The first n of the rows of x (M, N, d), on the CPU.
Tensor first_rows(const Tensor& x, int64_t n) { return slice(Variable(x.to(Device::cpu)), 1, 0, n).value(); }

LatentMatch match_of(const AggregatePosterior& q) {
  return {q.z.statistic, q.z.p_value, q.knn.mean, q.knn.standard_error, q.mmd.squared, q.mmd.p_value};
}

RepeatedKnn knn_of(const Tensor& own, const Tensor& other, const TwoStageMeasures& how) {
  return repeated_smooth_knn(points_among(own, key_of(how.seed, kOne)),
                             points_among(other, key_of(how.seed, kOther)), how.distances.knn);
}

/// `own` (n, k) beside `other`, by the statistics of aggregate_posterior.
LatentMatch match_of(const Tensor& own, const Tensor& other, const TwoStageMeasures& how) {
  const HenzeZirklerTest hz = test_henze_zirkler(own, own.size(0), {})[0];
  const Mmd mmd = maximum_mean_discrepancy(
      own, other, {.permutations = how.distances.permutations, .key = key_of(how.seed, kDivision)});
  const RepeatedKnn knn = knn_of(own, other, how);
  return {hz.statistic, hz.p_value, knn.mean, knn.standard_error, mmd.squared, mmd.p_value};
}

StageUnits units_of(const DeepVaeMetrics& metrics) {
  StageUnits units{.variance = metrics.variance_of_mean,
                   .sigma2 = {},
                   .law = metrics.variance_law,
                   .law_error = metrics.variance_law_standard_error,
                   .kl = metrics.kl_per_dim};
  for (size_t i = 0; i < units.law.size(); ++i) units.sigma2.push_back(units.law[i] - units.variance[i]);
  return units;
}

/// Held-out points in two halves, by chance: files can be sorted (MNIST's first test digits are the easier).
struct Halves {
  Tensor first, second;  ///< (h, D)
  Tensor classes;        ///< (h) of the first; undefined where there are none
};
Halves halves_of(const Tensor& held, const Tensor& labels, uint64_t seed) {
  const int64_t half = held.size(0) / 2;
  const Tensor order = permutation(held.size(0), key_of(seed, kHalves)), first = order.slice(0, half);
  return {gather_rows(held, first), gather_rows(held, order.slice(half, 2 * half)),
          labels.defined() ? gather_rows(labels, first) : Tensor{}};
}

/// Posterior means of each member's own pictures (M, n, D), or of the same (n, D), as f64 (M, n, k).
Tensor features_of(const Vae& judge, const Tensor& pictures) {
  return first_rows(encode_all(judge, pictures).mean, pictures.size(-2)).to(DType::f64);
}

/// Pictures (M, n, D), or (n, D) of all members, beside `other` (n, D), of which `features` (M, n, k) are
/// those that the judge sees. Empty where the run was interrupted.
std::vector<PictureMatch> match_pictures(const Vae& judge, const Tensor& pictures, const Tensor& other,
                                         const Tensor& features, const TwoStageMeasures& how) {
  const Tensor seen = features_of(judge, pictures);
  std::vector<PictureMatch> all;
  RepeatedKnn knn;
  for (int64_t m = 0; m < judge.models(); ++m) {
    if (interrupted()) return {};
    const bool own = pictures.rank() == 3;
    if (own || m == 0) knn = knn_of(own ? pictures.slice(m) : pictures, other, how);
    const Tensor here = seen.slice(m), there = features.slice(m);
    // A model that broke has none.
    const bool finite =
        std::isfinite(sum(Variable(here)).item()) && std::isfinite(sum(Variable(there)).item());
    all.push_back(
        {knn.mean, knn.standard_error,
         finite ? frechet_distance(data_moments(here), data_moments(there)).squared : std::nan("")});
  }
  return all;
}

Tensor draw_prior(const Vae& vae, int64_t n, const RandomKey& key) {
  return normal({vae.models(), n, vae.latent()}, vae.dtype(), for_members_of(vae, key), vae.models(),
                vae.device());
}

std::vector<double> column_of(const Tensor& z, int64_t unit) {
  return slice(Variable(z), 1, unit, unit + 1).value().to_vector();
}

/// The two units in use whose plane is furthest from Gaussian, of z (n, k); the first two where fewer are.
std::pair<int64_t, int64_t> plane_of(const Tensor& z, const StageUnits& units) {
  std::pair<int64_t, int64_t> furthest{0, std::min<int64_t>(1, z.size(1) - 1)};
  const auto in_use = [&](int64_t i) {
    const auto unit = static_cast<size_t>(i);
    return is_in_use(units.variance[unit], units.sigma2[unit]);
  };
  const auto column = [&](int64_t i) { return slice(Variable(z), 1, i, i + 1); };
  double most = 0;
  for (int64_t i = 0; i < z.size(1); ++i)
    for (int64_t j = i + 1; j < z.size(1); ++j) {
      if (!in_use(i) || !in_use(j)) continue;
      const double hz =
          test_henze_zirkler(concat({column(i), column(j)}, 1).value(), z.size(0), {})[0].statistic;
      if (hz > most) most = hz, furthest = {i, j};
    }
  return furthest;
}

/// Pictures (n, D) from 0 to 1 as whole numbers to 255.
Json pixels_of(const Tensor& pictures) {
  Json list = Json::array();
  for (const double value : pictures.to_vector())
    list.push_back(static_cast<int>(std::lround(255 * std::clamp(value, 0.0, 1.0))));
  return list;
}

}  // namespace

RandomKey key_of_codes(const Vae& first, uint64_t seed) {
  return for_members_of(first, key_of(seed, kTrained));
}

Json measure_two_stages(const TwoStageModels& models, const Codes& codes,
                        const std::vector<DeepVaeMetrics>& of_first, const Tensor& held, const Tensor& labels,
                        const std::vector<bool>& broken, const TwoStageMeasures& how) {
  const Vae &first = *models.first, &judge = *models.judge;
  const DeepVae& second = *models.second;
  const auto of_second =
      evaluate_deep_vae(second, draw_codes(codes, key_of_codes(first, how.seed)),
                        {.seed = how.seed, .progress = [](int64_t, int64_t) { return !interrupted(); }});
  if (of_second.empty()) return {};

  const Halves halves = halves_of(held, labels, how.seed);
  const int64_t half = halves.first.size(0), points = std::min(how.points, half),
                pictures = std::min(how.pictures, half);
  const auto codes_of = [&](const Tensor& of, Purpose purpose) {
    return draw_codes(encode_all(first, of), for_members_of(first, key_of(how.seed, purpose)));
  };
  const Tensor z = codes_of(halves.first, kFirstHalf), other_z = codes_of(halves.second, kSecondHalf);
  const TwoStageDraws drawn = draw_two_stages(first, second, std::max(points, pictures), how.seed);
  const Tensor of_prior = draw_prior(first, pictures, key_of(how.seed, kDecodedPrior));

  AggregateOptions distances = how.distances;
  distances.seed = how.seed;
  const auto first_aggregate = aggregate_posterior(first, halves.first.slice(0, points), distances);
  const Tensor z_of_members = first_rows(z, points), other_of_members = first_rows(other_z, points),
               drawn_of_members = first_rows(drawn.z, points);
  const auto second_aggregate = aggregate_posterior(second, z_of_members, distances);
  if (interrupted()) return {};

  const Tensor reference = halves.second.slice(0, pictures), features = features_of(judge, reference);
  const auto decoded = [&](const Tensor& of) {
    return first_rows(first.decode(of.to(first.device())).mean.value(), pictures);
  };
  const auto compared = [&](const Tensor& of) { return match_pictures(judge, of, reference, features, how); };
  const Tensor one = decoded(of_prior), two = first_rows(drawn.x, pictures),
               again = decoded(first_rows(z, pictures));
  const std::vector<PictureMatch> of_one = compared(one), of_two = compared(two), of_again = compared(again),
                                  of_real = compared(halves.first.slice(0, pictures));
  if (interrupted()) return {};

  Json members = Json::array();
  for (int64_t m = 0; m < first.models(); ++m) {
    const auto at = static_cast<size_t>(m);
    const TwoStageMember member{
        .prior = match_of(first_aggregate[at]),
        .second = match_of(drawn_of_members.slice(m), z_of_members.slice(m), how),
        .floor = match_of(other_of_members.slice(m), z_of_members.slice(m), how),
        .u = match_of(second_aggregate[at]),
        .one = of_one[at],
        .two = of_two[at],
        .codes = of_again[at],
        .real = of_real[at],
        .first_units = units_of(of_first[at]),
        .second_units = units_of(of_second[at]),
        .squared_error = of_first[at].sigma2_tuned * static_cast<double>(first.dimensions()),
        .gamma = std::sqrt(second.sigma2(m)),
        .second_elbo = of_second[at].elbo};
    members.push_back(to_json(broken[at] ? nothing_of(member) : member));
    if (interrupted()) return {};
  }

  const Tensor own_z = z_of_members.slice(0);
  const auto [across, up] = plane_of(own_z, units_of(of_first[0]));
  const auto plane = [&, i = across, j = up](const Tensor& of) {
    return Json{finite_or_null(column_of(of, i)), finite_or_null(column_of(of, j))};
  };
  const Tensor prior_z = first_rows(draw_prior(first, points, key_of(how.seed, kDrawnPrior)), points);
  const auto shown = [&](const Tensor& of) {
    return pixels_of(of.slice(0).slice(0, std::min(how.shown, pictures)));
  };
  Json classes = Json::array();
  if (halves.classes.defined())
    for (int64_t i = 0; i < points; ++i) classes.push_back(static_cast<int64_t>(halves.classes.at(i)));
  return {{"members", members},
          {"points", points},
          {"pictures", pictures},
          {"one", shown(one)},
          {"two", shown(two)},
          {"decoded", shown(again)},
          {"plane", {across, up}},
          {"z", plane(own_z)},
          {"drawn", plane(drawn_of_members.slice(0))},
          {"prior", plane(prior_z.slice(0))},
          {"classes", classes}};
}

TwoStageFindings two_stage_findings_from(const Json& json) {
  TwoStageFindings found;
  for (const Json& member : json.at("members")) found.members.push_back(member_from(member));
  found.points = json.at("points");
  found.pictures = json.at("pictures");
  found.one = numbers_or_nan(json.at("one"));
  found.two = numbers_or_nan(json.at("two"));
  found.decoded = numbers_or_nan(json.at("decoded"));
  found.across = json.at("plane").at(0);
  found.up = json.at("plane").at(1);
  for (size_t i = 0; i < 2; ++i) {
    found.z[i] = numbers_or_nan(json.at("z").at(i));
    found.drawn[i] = numbers_or_nan(json.at("drawn").at(i));
    found.prior[i] = numbers_or_nan(json.at("prior").at(i));
  }
  found.classes = json.at("classes").get<std::vector<int64_t>>();
  for (const Json& look : json.at("looks"))
    found.looks.push_back({look.at("step"), numbers_or_nan(look.at("gamma"))});
  return found;
}

}  // namespace elbo::asperti
