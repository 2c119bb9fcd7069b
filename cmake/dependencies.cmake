# What elbo links against. It comes from the system's packages (scripts/setup installs them on Debian), or from a folder
# that scripts/vendor filled on such a system, for machines that lack the packages and a network. The compiler's own
# OpenMP and threads, and CUDA (cuda.cmake), are the machine's in any case.

set(ELBO_VENDOR_DIR "" CACHE PATH "Folder that scripts/vendor filled, in place of the system's packages")

find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Threads REQUIRED)

# Convolutions on the CPU. Its package is too large to take along, and machines with a GPU do without.
if(NOT ELBO_VENDOR_DIR)
  find_package(OneDNN QUIET)
endif()
if(TARGET OneDNN::onednn)
  set(elbo_onednn found)
  message(STATUS "Convolutions on the CPU: oneDNN ${ONEDNN_VERSION} (${ONEDNN_LIBRARY})")
else()
  set(elbo_onednn missing)
  message(STATUS "Convolutions on the CPU: matrix products, which take longer, as oneDNN was not found")
endif()

# Data that are fetched. It stands on twenty other libraries, and machines without a network do without.
if(ELBO_PROGRAM AND NOT ELBO_VENDOR_DIR)
  find_package(CURL 7.85 QUIET)
endif()
if(TARGET CURL::libcurl)
  set(elbo_curl found)
  message(STATUS "Downloads: libcurl ${CURL_VERSION_STRING}")
elseif(ELBO_PROGRAM)
  set(elbo_curl missing)
  message(STATUS "Downloads: none, as libcurl was not found")
endif()

# Sweeps and trainings over the processes of mpirun. Optional: scripts/setup cluster installs it.
option(ELBO_MPI "Use MPI where it is found" ON)
if(ELBO_PROGRAM AND ELBO_MPI AND NOT ELBO_VENDOR_DIR)
  set(MPI_CXX_SKIP_MPICXX ON)  # only its C interface is used
  find_package(MPI QUIET COMPONENTS CXX)
endif()
if(MPI_CXX_FOUND)  # the target is there in any case
  set(elbo_mpi found)
  message(STATUS "mpirun: MPI ${MPI_CXX_VERSION} (${MPI_CXX_COMPILER})")
else()
  set(elbo_mpi missing)
  message(STATUS "mpirun: cannot share work out to its processes, as MPI was not found")
endif()

if(ELBO_VENDOR_DIR)
  set(headers fmt/core.h nlohmann/json.hpp CLI/CLI.hpp toml++/toml.h doctest/doctest.h stb/stb_image.h
    stb/stb_image_write.h zlib.h cblas.h lapacke.h)
  list(TRANSFORM headers PREPEND include/ OUTPUT_VARIABLE files)
  list(APPEND files lib/libz.so.1 lib/libelbo_lapack.so)
  foreach(file IN LISTS files)
    if(NOT EXISTS "${ELBO_VENDOR_DIR}/${file}")
      message(FATAL_ERROR "${ELBO_VENDOR_DIR}/${file} is missing: fill the folder with 'scripts/vendor DIR'")
    endif()
  endforeach()
  message(STATUS "Libraries: those of ${ELBO_VENDOR_DIR}")
  # vendored(fmt::fmt [FILE]): a target for the headers, and for the library where there is one.
  function(vendored target)
    add_library(${target} INTERFACE IMPORTED)
    target_include_directories(${target} INTERFACE "${ELBO_VENDOR_DIR}/include")
    if(ARGN)
      target_link_libraries(${target} INTERFACE "${ELBO_VENDOR_DIR}/lib/${ARGN}")
    endif()
  endfunction()
  vendored(fmt::fmt)
  target_compile_definitions(fmt::fmt INTERFACE FMT_HEADER_ONLY=1)
  # nvcc warns of fmt's long double, in every file and without a place, for kernels that never use it.
  target_compile_options(fmt::fmt INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:-diag-suppress=20208>)
  vendored(nlohmann_json::nlohmann_json)
  vendored(CLI11::CLI11)
  vendored(elbo_toml)
  vendored(doctest::doctest)
  vendored(ZLIB::ZLIB libz.so.1)
  vendored(elbo_lapack libelbo_lapack.so)
  set(elbo_zlib_libraries "${ELBO_VENDOR_DIR}/lib/libz.so.1")
  set(elbo_lapack_libraries "${ELBO_VENDOR_DIR}/lib/libelbo_lapack.so")
  include_directories(SYSTEM "${ELBO_VENDOR_DIR}/include")  # stb
else()
  find_package(ZLIB REQUIRED)
  find_package(fmt REQUIRED)
  find_package(nlohmann_json REQUIRED)
  if(ELBO_PROGRAM)
    find_package(CLI11 REQUIRED)
    # toml++ by its header: its own CMake package is not in every release.
    find_path(TOML_INCLUDE_DIR NAMES toml++/toml.h REQUIRED)
    add_library(elbo_toml INTERFACE IMPORTED)
    target_include_directories(elbo_toml INTERFACE ${TOML_INCLUDE_DIR})
  endif()
  if(ELBO_TESTS)
    find_package(doctest REQUIRED)
  endif()

  # stb is headers only, with nothing to link. SYSTEM: its warnings are not ours.
  find_path(STB_INCLUDE_DIR NAMES stb/stb_image.h REQUIRED)
  include_directories(SYSTEM ${STB_INCLUDE_DIR})

  # BLAS and LAPACK with their C interfaces. Debian's OpenBLAS is also the system's libblas, so cblas.h and
  # lapacke.h work with whichever implementation is installed.
  find_package(BLAS REQUIRED)
  find_package(LAPACK REQUIRED)
  find_path(CBLAS_INCLUDE_DIR cblas.h PATH_SUFFIXES openblas cblas REQUIRED)
  find_path(LAPACKE_INCLUDE_DIR lapacke.h PATH_SUFFIXES lapacke openblas REQUIRED)
  find_library(LAPACKE_LIBRARY NAMES lapacke REQUIRED)
  add_library(elbo_lapack INTERFACE)
  target_include_directories(elbo_lapack SYSTEM INTERFACE ${CBLAS_INCLUDE_DIR} ${LAPACKE_INCLUDE_DIR})
  target_link_libraries(elbo_lapack INTERFACE ${LAPACKE_LIBRARY} LAPACK::LAPACK BLAS::BLAS)
  set(elbo_zlib_libraries ${ZLIB_LIBRARIES})
  set(elbo_lapack_libraries ${LAPACKE_LIBRARY} ${LAPACK_LIBRARIES} ${BLAS_LIBRARIES})
  list(REMOVE_DUPLICATES elbo_lapack_libraries)
endif()
