# elbo_options: the compile and link options that every target shares.

add_library(elbo_options INTERFACE)
target_include_directories(elbo_options INTERFACE ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_options(elbo_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow
  # Let loops over sqrt and comparisons vectorise; NaN and infinity keep their meaning.
  -fno-math-errno -fno-trapping-math
  # Multiply-adds are fused where math::multiply_add says so. The compiler would fuse in the vector part of a loop and not
  # in what is left over, or the other way round, and a member of an ensemble would differ from itself alone.
  -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 sees overlaps in std::string's own operator+ that are not there (GCC bug 105651).
  target_compile_options(elbo_options INTERFACE -Wno-restrict)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # Clang warns where a simd loop was not vectorised, as in double-precision calls of the C library.
  target_compile_options(elbo_options INTERFACE -Wno-pass-failed)
endif()
if(ELBO_NATIVE)
  target_compile_options(elbo_options INTERFACE -march=native)
endif()
if(ELBO_SANITIZE)
  target_compile_options(elbo_options INTERFACE -fsanitize=${ELBO_SANITIZE} -fno-omit-frame-pointer -g1)
  target_link_options(elbo_options INTERFACE -fsanitize=${ELBO_SANITIZE})
  if(ELBO_SANITIZE MATCHES "undefined")
    target_compile_options(elbo_options INTERFACE -fno-sanitize-recover=all)
  endif()
endif()

# For provenance: what makes numbers differ between builds.
string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
set(elbo_build_flags "${CMAKE_CXX_FLAGS_${build_type}}")
if(ELBO_NATIVE)
  string(APPEND elbo_build_flags " -march=native")
endif()
if(ELBO_SANITIZE)
  string(APPEND elbo_build_flags " -fsanitize=${ELBO_SANITIZE}")
endif()
