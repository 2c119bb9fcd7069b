// Which BLAS it is, and what is said of one that will be slow.
#include "tensor/blas.h"

#include <doctest/doctest.h>

#include "tests/error_of.h"

namespace elbo {

TEST_SUITE("tensor") {
  TEST_CASE("the BLAS in use has a name") { CHECK(blas().name.size() >= 4); }

  TEST_CASE("a BLAS that is fast and can be kept to one thread is named, and not warned of") {
    BlasTraits traits{.openblas = "OpenBLAS 0.3.21 SkylakeX",
                      .mkl = {},
                      .blis = {},
                      .file = "/lib/libblas.so.3",
                      .core = {}};
    CHECK(describe(traits, WideVectors::avx512).name == "OpenBLAS 0.3.21 SkylakeX");
    CHECK(describe(traits, WideVectors::avx512).warning.empty());
    traits = {
        .openblas = {}, .mkl = "oneMKL 2024.1", .blis = {}, .file = "/opt/mkl/libmkl_rt.so.2", .core = {}};
    CHECK(describe(traits, WideVectors::avx512).name == "oneMKL 2024.1");
    CHECK(describe(traits, WideVectors::avx512).warning.empty());
    traits = {
        .openblas = {}, .mkl = {}, .blis = "0.9.0", .file = "/usr/lib/blis-openmp/libblas.so.3", .core = {}};
    CHECK(describe(traits, WideVectors::avx512).name == "BLIS 0.9.0");
    CHECK(describe(traits, WideVectors::avx512).warning.empty());
  }

  TEST_CASE("a reference BLAS is warned of as slow, any other as one whose threads cannot be set") {
    const auto of_file = [](const char* file) {
      return describe({.openblas = {}, .mkl = {}, .blis = {}, .file = file, .core = {}}, WideVectors::avx2);
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

  TEST_CASE("an OpenBLAS that takes the processor for an older one is told better, and warned of") {
    struct Row {
      const char *version, *core;
      WideVectors vectors;
      const char* better;
    };
    for (const Row& row : std::initializer_list<Row>{
             {"OpenBLAS 0.3.21 DYNAMIC_ARCH Prescott", "Prescott", WideVectors::avx512, "SkylakeX"},
             {"OpenBLAS 0.3.21 DYNAMIC_ARCH Nehalem", "Nehalem", WideVectors::avx2, "Haswell"},
             {"OpenBLAS 0.3.21 DYNAMIC_ARCH Sandybridge", "Sandybridge", WideVectors::avx2, "Haswell"},
             {"OpenBLAS 0.3.21 DYNAMIC_ARCH Prescott", "Prescott", WideVectors::none, ""},
             {"OpenBLAS 0.3.21 Prescott", "Prescott", WideVectors::avx512, ""},  // which has no other kernels
             {"OpenBLAS 0.3.21 DYNAMIC_ARCH Haswell", "Haswell", WideVectors::avx512, ""},
             {"OpenBLAS 0.3.21 DYNAMIC_ARCH Zen", "Zen", WideVectors::avx512, ""},
             {"OpenBLAS 9.0.0 DYNAMIC_ARCH Unheardof", "Unheardof", WideVectors::avx512, ""}}) {
      const BlasTraits traits{
          .openblas = row.version, .mkl = {}, .blis = {}, .file = "/lib/libblas.so.3", .core = row.core};
      INFO(row.version);
      CHECK(better_core(traits, row.vectors) == row.better);
      const std::string warning = describe(traits, row.vectors).warning;
      CHECK(warning.empty() == std::string(row.better).empty());
      if (*row.better) CHECK(mentions(warning, "OPENBLAS_CORETYPE=" + std::string(row.better)));
    }
  }
}

}  // namespace elbo
