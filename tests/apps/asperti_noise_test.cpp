// The course of a unit under noise: what follows from measurements that are made up.
#include "apps/asperti/noise_course.h"

#include <doctest/doctest.h>

using elbo::NoisyUnit;
using namespace elbo::asperti;

namespace {

NoisyUnit found(double gain, double kl, double variance) {
  return {.gain = gain, .kl = kl, .variance_of_mean = variance};
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE(
      "noise grows until the gain is below the KL, stays until the unit has collapsed, and is removed") {
    NoiseCourse course({.increment = 0.5, .settle = 2, .patience = 10});
    CHECK(course.deviation() == 0);
    course.take(0, found(7, 2, 1));
    CHECK(course.deviation() == 0.5);
    course.take(1, found(5, 2.2, 1.4));
    CHECK(course.deviation() == 1);
    course.take(2, found(2.4, 2.5, 2));
    CHECK(course.crossed() == 2);
    CHECK(course.deviation() == 1);  // no more than there is
    CHECK(course.largest_deviation() == 1);
    CHECK(course.widest() == 2);
    course.take(3, found(1, 1, 3));
    CHECK(course.collapsed() == -1);
    course.take(4, found(0.1, 0.2, 0.09));
    CHECK(course.collapsed() == 4);
    course.take(5, found(0, 0, 0.01));
    CHECK(course.removed() == -1);
    CHECK(course.deviation() == 1);
    course.take(6, found(0, 0, 0.01));
    CHECK(course.removed() == 6);
    CHECK(course.deviation() == 0);
    course.take(7, found(0.5, 0.3, 0.2));
    CHECK(course.revived() == -1);
    course.take(8, found(1, 1, 0.6));
    course.take(9, found(2, 1.5, 0.9));
    CHECK(course.revived() == 8);
    CHECK(course.crossed() == 2);
    CHECK(course.widest() == 2);
    CHECK(course.first().gain == 7);
    CHECK(course.latest().gain == 2);
  }

  TEST_CASE("a unit that is not worth its KL before there is noise gets noise all the same") {
    NoiseCourse course({.increment = 0.5});
    course.take(0, found(1, 2, 1));
    CHECK(course.crossed() == -1);
    CHECK(course.deviation() == 0.5);
    course.take(1, found(1, 2, 1));
    CHECK(course.crossed() == 1);
  }

  TEST_CASE("patience removes the noise from a unit that does not collapse, which is then no revival") {
    NoiseCourse course({.increment = 0.5, .settle = 2, .patience = 3});
    course.take(0, found(7, 2, 1));
    for (int64_t epoch = 1; epoch < 4; ++epoch) course.take(epoch, found(1, 2, 1));
    CHECK(course.crossed() == 1);
    CHECK(course.removed() == -1);
    course.take(4, found(1, 2, 1));
    CHECK(course.removed() == 4);
    course.take(5, found(7, 2, 1));
    CHECK(course.collapsed() == -1);
    CHECK(course.revived() == -1);
  }
}
