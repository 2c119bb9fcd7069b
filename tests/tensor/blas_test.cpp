// Which BLAS it is, and what is said of one that will be slow.
#include "tensor/blas.h"

#include <doctest/doctest.h>

#include "tests/error_of.h"

namespace elbo {

TEST_SUITE("tensor") {
  TEST_CASE("the BLAS in use has a name") { CHECK(blas().name.size() >= 4); }

  TEST_CASE("a BLAS that is fast and can be kept to one thread is named, and not warned of") {
    BlasTraits traits{
        .openblas = "OpenBLAS 0.3.21 SkylakeX", .mkl = {}, .blis = {}, .file = "/lib/libblas.so.3"};
    CHECK(describe(traits).name == "OpenBLAS 0.3.21 SkylakeX");
    CHECK(describe(traits).warning.empty());
    traits = {.openblas = {}, .mkl = "oneMKL 2024.1", .blis = {}, .file = "/opt/mkl/libmkl_rt.so.2"};
    CHECK(describe(traits).name == "oneMKL 2024.1");
    CHECK(describe(traits).warning.empty());
    traits = {.openblas = {}, .mkl = {}, .blis = "0.9.0", .file = "/usr/lib/blis-openmp/libblas.so.3"};
    CHECK(describe(traits).name == "BLIS 0.9.0");
    CHECK(describe(traits).warning.empty());
  }

  TEST_CASE("a reference BLAS is warned of as slow, any other as one whose threads cannot be set") {
    const auto of_file = [](const char* file) {
      return describe({.openblas = {}, .mkl = {}, .blis = {}, .file = file});
    };
    for (const char* file :
         {"/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0", "/usr/lib64/libcblas.so.3", "libblas.so"}) {
      CHECK(of_file(file).name == "BLAS of " + std::string(file));
      CHECK(mentions(of_file(file).warning, "the reference BLAS, which is slow; install OpenBLAS"));
    }
    for (const char* file : {"/usr/lib/libflexiblas.so.3", "/opt/libblas.so.d/libother.so"})
      CHECK(mentions(of_file(file).warning, "cannot be told to leave threads"));
    CHECK(of_file("").name == "BLAS of an unknown file");
  }
}

}  // namespace elbo
