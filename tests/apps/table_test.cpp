// Tables as plain text.
#include "apps/support/table.h"

#include <doctest/doctest.h>

#include "tensor/error.h"

namespace elbo {

TEST_SUITE("apps") {
  TEST_CASE("columns are aligned by characters, numbers to the right") {
    Table table({"σ² of", Table::number("value"), Table::verdict("agrees")});
    table.row({"a", "−1.25", verdict(true)});
    table.row({"longer σ", "10", verdict(false)});
    CHECK(table.text() ==
          "σ² of     value  agrees\n"
          "--------  -----  ------\n"
          "a         −1.25  ok\n"
          "longer σ     10  fails\n");
  }

  TEST_CASE("a line break in a cell does not break the table") {
    Table table({"a"});
    table.row({"x\ny"});
    CHECK(table.text() == "a\n---\nx y\n");
  }

  TEST_CASE("a row that does not fit the columns is refused") {
    Table table({"a", "b"});
    CHECK_THROWS_WITH_AS(table.row({"1"}), doctest::Contains("1 cells does not fit 2 columns"), Error);
  }
}

}  // namespace elbo
