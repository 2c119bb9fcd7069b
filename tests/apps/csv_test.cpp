// CSV files: what is in a cell, what a resumed run keeps, and what a full disk does.
#include "apps/support/csv.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "tensor/error.h"
#include "tensor/file.h"
#include "tests/temporary_directory.h"

namespace elbo {
namespace {

double number(const std::string& text) { return std::strtod(text.c_str(), nullptr); }

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("a CSV cell keeps every digit and quotes what would break the row") {
    CHECK(CsvCell(7).text == "7");
    CHECK(CsvCell(size_t{7}).text == "7");
    CHECK(number(CsvCell(0.1).text) == 0.1);
    CHECK(number(CsvCell(-1.0 / 3).text) == -1.0 / 3);
    CHECK(number(CsvCell(5e-324).text) == 5e-324);
    CHECK(CsvCell(std::nan("")).text == "nan");
    CHECK(CsvCell(-INFINITY).text == "-inf");
    CHECK(CsvCell("plain").text == "plain");
    CHECK(CsvCell("a,b").text == "\"a,b\"");
    CHECK(CsvCell("say \"a\"").text == "\"say \"\"a\"\"\"");
    CHECK(CsvCell("two\nlines").text == "\"two lines\"");
    CHECK(CsvCell("#3").text == "\"#3\"");
    CHECK(csv_line(std::vector<CsvCell>{1, "a", 0.5}) == "1,a,0.5\n");
  }

  TEST_CASE("a CSV file is complete after save and after its end") {
    const TemporaryDirectory directory;
    const std::string path = directory / "metrics.csv";
    {
      CsvFile csv(path, {"epoch", "elbo"});
      CHECK(read_file(path) == "epoch,elbo\n");
      csv.row({1, -0.5});
      csv.save();
      CHECK(read_file(path) == "epoch,elbo\n1,-0.5\n");
      csv.row({2, 0.25});
    }
    CHECK(read_file(path) == "epoch,elbo\n1,-0.5\n2,0.25\n");
    CHECK(directory.entries() == 1);
  }

  TEST_CASE("a row that does not fit the columns is refused") {
    const TemporaryDirectory directory;
    CsvFile csv(directory / "metrics.csv", {"epoch", "elbo"});
    CHECK_THROWS_WITH_AS(csv.row({1}), doctest::Contains("1 values does not fit the 2 columns"), Error);
  }

  TEST_CASE("a resumed CSV file drops the rows after the checkpoint") {
    const TemporaryDirectory directory;
    const std::string path = directory / "metrics.csv";
    write_file_atomically(path, "epoch,elbo\n1,-3\n2,-2\n10,-1\n11,0\n12,brok");
    {
      CsvFile csv(path, {"epoch", "elbo"}, 10);
      csv.row({11, 5});
    }
    CHECK(read_file(path) == "epoch,elbo\n1,-3\n2,-2\n10,-1\n11,5\n");
    CHECK_THROWS_WITH_AS(CsvFile(path, {"epoch", "kl"}, 10), doctest::Contains("other columns"), Error);
    CHECK(read_file(path) == "epoch,elbo\n1,-3\n2,-2\n10,-1\n11,5\n");
    { CsvFile csv(directory / "new.csv", {"epoch"}, 3); }
    CHECK(read_file(directory / "new.csv") == "epoch\n");
  }

  TEST_CASE("a full disk is an Error that says so") {
    CHECK_THROWS_WITH_AS(CsvFile("/dev/full", {"epoch"}), doctest::Contains("No space left"), Error);
  }
}

}  // namespace elbo
