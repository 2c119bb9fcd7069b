# elbo_options: the compile and link options that every target shares.

add_library(elbo_options INTERFACE)
target_include_directories(elbo_options INTERFACE ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_options(elbo_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow
  # Let loops over sqrt and comparisons vectorise; NaN and infinity keep their meaning.
  -fno-math-errno -fno-trapping-math)
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
