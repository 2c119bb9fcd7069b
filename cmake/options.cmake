# elbo_options: the compile and link options that every target shares.

add_library(elbo_options INTERFACE)
target_include_directories(elbo_options INTERFACE ${CMAKE_CURRENT_SOURCE_DIR})

# elbo_host_options(OPTION...): options of the C++ compiler, which nvcc hands on to it. None may have a comma, at which
# nvcc would cut it.
function(elbo_host_options)
  foreach(option IN LISTS ARGN)
    target_compile_options(elbo_options INTERFACE
      $<$<COMPILE_LANGUAGE:CXX>:${option}> $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${option}>)
  endforeach()
endfunction()

# What loops over formulas depend on. Programs that have ops of their own get these, too (install.cmake).
set(elbo_numerics
  # Let loops over sqrt and comparisons vectorise; NaN and infinity keep their meaning.
  -fno-math-errno -fno-trapping-math
  # Multiply-adds are fused where math::multiply_add says so. The compiler would fuse in the vector part of a loop and not
  # in what is left over, or the other way round, and a member of an ensemble would differ from itself alone.
  -ffp-contract=off)
elbo_host_options(-Wall -Wextra -Wshadow ${elbo_numerics})
# What nvcc makes of a file for the C++ compiler is not pedantic.
target_compile_options(elbo_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wpedantic>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # What g++'s optimiser warns of depends on the processor and on the length of constants such as paths, and is wrong in
  # std::string's own operators (GCC bugs 105329 and 105651). The address sanitizer sees what is true of it.
  elbo_host_options(-Wno-restrict -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # Clang warns where a simd loop was not vectorised, as in double-precision calls of the C library.
  elbo_host_options(-Wno-pass-failed)
endif()
# Some compilers of processors other than x86 know the second only.
set(elbo_native)
if(ELBO_NATIVE)
  include(CheckCXXCompilerFlag)
  foreach(option -march=native -mcpu=native)
    string(MAKE_C_IDENTIFIER "ELBO_TAKES${option}" taken)
    check_cxx_compiler_flag(${option} ${taken})
    if(${taken})
      set(elbo_native ${option})
      break()
    endif()
  endforeach()
  elbo_host_options(${elbo_native})
endif()
# For a file that runs on any processor of its architecture, whatever the others are compiled for.
set(elbo_any_processor)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(elbo_any_processor -march=x86-64 -mgeneral-regs-only)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(elbo_any_processor -march=armv8-a)
endif()
if(ELBO_SANITIZE)
  string(REPLACE "," ";-fsanitize=" sanitize "-fsanitize=${ELBO_SANITIZE}")
  elbo_host_options(${sanitize} -fno-omit-frame-pointer -g1)
  target_link_options(elbo_options INTERFACE ${sanitize})
  if(ELBO_SANITIZE MATCHES "undefined")
    elbo_host_options(-fno-sanitize-recover=all)
  endif()
endif()

# For targets that compute little themselves, whose code is most of elbo: what they would gain is less than the compiler
# takes for it.
set(elbo_computes_little $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-O1>)
if(ELBO_SANITIZE)
  set(elbo_computes_little $<$<COMPILE_LANGUAGE:CXX>:-O0>)
endif()

if(NOT elbo_gpu STREQUAL "none")
  target_compile_definitions(elbo_options INTERFACE ELBO_HAS_CUDA=1)
endif()
if(elbo_gpu STREQUAL "emulated")
  target_compile_definitions(elbo_options INTERFACE ELBO_CUDA_EMULATED=1)
endif()
if(elbo_gpu STREQUAL "cuda")
  # Formulas are constexpr in part. CMake's OpenMP target speaks to C++ only; loops on the host need it here as well.
  target_compile_options(elbo_options INTERFACE
    $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr> $<$<COMPILE_LANGUAGE:CUDA>:-Wno-deprecated-gpu-targets>)
  foreach(option IN LISTS OpenMP_CXX_FLAGS)
    target_compile_options(elbo_options INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${option}>)
  endforeach()
endif()

# For provenance: what makes numbers differ between builds.
string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
set(elbo_build_flags "${CMAKE_CXX_FLAGS_${build_type}}")
if(elbo_native)
  string(APPEND elbo_build_flags " ${elbo_native}")
endif()
if(ELBO_SANITIZE)
  string(APPEND elbo_build_flags " -fsanitize=${ELBO_SANITIZE}")
endif()
if(elbo_gpu STREQUAL "cuda")
  list(JOIN CMAKE_CUDA_ARCHITECTURES "," architectures)
  string(APPEND elbo_build_flags " CUDA ${CUDAToolkit_VERSION} for ${architectures}")
elseif(elbo_gpu STREQUAL "emulated")
  string(APPEND elbo_build_flags " CUDA emulated")
endif()
