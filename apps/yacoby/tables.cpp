#include "apps/yacoby/tables.h"

#include <algorithm>

#include "tensor/error.h"

namespace elbo::yacoby {
namespace {

constexpr PaperEntry kTable1[] = {
    {"linear-jtex", "vae", -3.15, 0.04, 1.62, 0.12},     {"cubic-jtex", "vae", -5.85, 0.63, 4.86, 1.82},
    {"gaussian", "vae", 6.73, 0.23, 15.28, 7.98},        {"mobius", "vae", 1.88, 0.05, 0.38, 0.20},
    {"linear-jtex", "beta", -3.15, 0.04, 1.62, 0.12},    {"cubic-jtex", "beta", -5.47, 0.14, 2.99, 1.48},
    {"gaussian", "beta", 7.65, 0.09, 4.10, 1.22},        {"mobius", "beta", 1.92, 0.06, 0.27, 0.14},
    {"linear-jtex", "anneal", -3.15, 0.04, 1.63, 0.12},  {"cubic-jtex", "anneal", -12.91, 11.51, 2.86, 1.01},
    {"gaussian", "anneal", 7.54, 0.14, 5.86, 1.66},      {"mobius", "anneal", 1.88, 0.05, 0.37, 0.19},
    {"linear-jtex", "lagging", -3.15, 0.04, 1.62, 0.11}, {"cubic-jtex", "lagging", -30.64, 39.17, 7.07, 1.24},
    {"gaussian", "lagging", 6.94, 0.53, 15.61, 8.26},    {"mobius", "lagging", 1.90, 0.08, 0.72, 0.78},
    {"linear-jtex", "libi", -2.99, 0.03, 0.06, 0.05},    {"cubic-jtex", "libi", -8.90, 3.98, 1.75, 2.75},
    {"gaussian", "libi", 7.85, 0.05, 0.10, 0.08},        {"mobius", "libi", 1.91, 0.05, 0.17, 0.06},
};

}  // namespace

std::span<const PaperEntry> table1() { return kTable1; }

const PaperEntry& table1_entry(std::string_view data, std::string_view method) {
  const auto* const found =
      std::find_if(std::begin(kTable1), std::end(kTable1),
                   [&](const PaperEntry& entry) { return entry.data == data && entry.method == method; });
  if (found == std::end(kTable1)) fail("[yacoby] Table 1 has no {} on {}", method, data);
  return *found;
}

}  // namespace elbo::yacoby
