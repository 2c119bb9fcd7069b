#include "apps/asperti/tables.h"

#include <cmath>

namespace elbo::asperti {
namespace {

constexpr PaperUnit kUnits[] = {
    {0, 8.847272e-05, 0.9802212}, {1, 0.00011756, 0.99551463},   {2, 6.665453e-05, 0.98517334},
    {3, 0.97417927, 0.008741336}, {4, 0.99131817, 0.006186147},  {5, 1.0012343, 0.010142518},
    {6, 0.94563377, 0.057169348}, {7, 0.00015841, 0.98205334},   {8, 0.94694275, 0.033207607},
    {9, 0.00014789, 0.98505586},  {10, 1.0040375, 0.018151345},  {11, 0.98543876, 0.023995731},
    {12, 0.000107441, 0.9829797}, {13, 4.5068125e-05, 0.998983}, {14, 0.00010853, 0.9604088},
    {15, 0.9886378, 0.044405878}};

constexpr PaperLayer kLayers[] = {{"InputLayer", 28, 1, 0},           {"conv2d 3x3", 14, 16, 160},
                                  {"BatchNormalization", 14, 16, 64}, {"RELU", 14, 16, 0},
                                  {"conv2d 3x3", 14, 32, 4640},       {"conv2d 3x3", 7, 32, 9248},
                                  {"BatchNormalization", 7, 32, 128}, {"RELU", 7, 32, 0},
                                  {"conv2d 3x3", 4, 32, 9248},        {"conv2d 3x3", 4, 32, 9248},
                                  {"BatchNormalization", 4, 32, 128}, {"RELU", 4, 32, 0},
                                  {"conv2d 3x3", 2, 32, 4128},        {"conv2d 3x3", 2, 32, 4128},
                                  {"BatchNormalization", 2, 32, 128}, {"RELU", 2, 32, 0},
                                  {"conv2d 3x3", 1, 32, 4128},        {"conv2d 1x1", 1, 16, 528},
                                  {"conv2d 1x1", 1, 16, 528}};

}  // namespace

std::span<const PaperUnit> paper_units() { return kUnits; }
std::span<const PaperLayer> paper_layers() { return kLayers; }

double least_kl(const PaperUnit& unit) {
  return 0.5 * (unit.variance + unit.mean_variance - 1 - std::log(unit.mean_variance));
}

}  // namespace elbo::asperti
