// Mapped files: the bytes are the file's, cost no memory, and writing to them does not reach it.
#include "tensor/mapped_file.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "tensor/copy.h"
#include "tensor/file.h"
#include "tests/error_of.h"
#include "tests/temporary_directory.h"

namespace elbo {

TEST_SUITE("tensor") {
  TEST_CASE("a mapped file is a tensor of its bytes that takes no memory and lasts as long as its views") {
    const TemporaryDirectory directory;
    std::string bytes;
    for (int i = 0; i < 100000; ++i) bytes += static_cast<char>(i * 7 % 251);
    std::ofstream(directory / "x", std::ios::binary) << bytes;
    const MemoryCounters before = memory_counters();
    Tensor view;
    {
      const Tensor file = map_file(directory / "x");
      CHECK(file.shape() == Shape{100000});
      CHECK(file.dtype() == DType::u8);
      CHECK(std::string(static_cast<const char*>(file.bytes()), 100000) == bytes);
      view = file.view_at(10, {3, 4});
      CHECK_FALSE(file.sole_owner());
    }
    CHECK(view.sole_owner());
    CHECK(memory_counters().live == before.live);
    CHECK(memory_counters().requests == before.requests);
    CHECK(mentions(read_file("/proc/self/maps"), directory.path().string()));
    view.fill(9);
    CHECK(view.at(11) == 9);
    CHECK(read_file(directory / "x") == bytes);
    std::filesystem::remove(directory / "x");
    CHECK(view.clone().at(0) == 9);
    const Tensor rows = gather_rows(view, Tensor::from<int64_t>({1}, {2}));
    CHECK(rows.to_vector() == std::vector<double>{9, 9, 9, 9});
    const size_t cached = memory_counters().cached;
    view = Tensor();  // goes back to the system, and not to the memory that is kept
    CHECK(memory_counters().cached == cached);
    CHECK_FALSE(mentions(read_file("/proc/self/maps"), directory.path().string()));
  }

  TEST_CASE("what cannot be mapped is refused") {
    const TemporaryDirectory directory;
    std::ofstream(directory / "empty").flush();
    CHECK(mentions(error_of([&] { map_file(directory / "empty"); }), "is empty"));
    CHECK(mentions(error_of([&] { map_file(directory / "missing"); }), "No such file"));
    CHECK(mentions(error_of([&] { map_file(directory.path().string()); }), "a directory"));
  }
}

}  // namespace elbo
