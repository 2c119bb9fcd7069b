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

  TEST_CASE("a CSV file grows at its end: what is there is not written again") {
    const TemporaryDirectory directory;
    const std::string path = directory / "metrics.csv";
    CsvFile csv(path, {"epoch", "elbo"});
    const InputFile reader(path);  // of the file that had this name now
    csv.row({1, 0.5});
    csv.save();
    csv.row({2, 0.5});
    csv.save();
    std::string seen(100, ' ');
    seen.resize(reader.read_some(0, std::as_writable_bytes(std::span(seen))));
    CHECK(seen == "epoch,elbo\n1,0.5\n2,0.5\n");
  }

  TEST_CASE("a resumed CSV file ends where its rows stop being whole") {
    const TemporaryDirectory directory;
    const std::string path = directory / "metrics.csv";
    const std::string kept = "epoch,name\n1,a\n2,\"b,c\"\n";
    for (const std::string& tail :
         {std::string("3"), std::string("3,"), std::string("3,d"), std::string("3\n"), std::string("\n3,d\n"),
          std::string("3,d,e\n"), std::string("x,d\n3,d\n"), std::string("3x,d\n"), std::string("nan,d\n"),
          std::string(4096, '\0'), std::string("3,\0\n", 4), std::string("5,d\n3,d\n")}) {
      CAPTURE(tail);
      write_file_atomically(path, kept + tail);
      { CsvFile csv(path, {"epoch", "name"}, 4); }
      CHECK(read_file(path) == kept);
    }
    for (const std::string& begun : {std::string(), std::string("epo"), std::string("epoch,name")}) {
      write_file_atomically(path, begun);
      { CsvFile csv(path, {"epoch", "name"}, 4); }
      CHECK(read_file(path) == "epoch,name\n");
    }
  }

  TEST_CASE("a full disk is an Error that says so") {
    CHECK_THROWS_WITH_AS(CsvFile("/dev/full", {"epoch"}), doctest::Contains("No space left"), Error);
  }
}

}  // namespace elbo
