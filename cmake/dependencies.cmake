# Everything elbo links against comes from the system's packages (scripts/setup installs them on Debian).

find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(doctest REQUIRED)

# stb is headers only, with nothing to link. SYSTEM: its warnings are not ours.
find_path(STB_INCLUDE_DIR stb/stb_image_write.h REQUIRED)
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
