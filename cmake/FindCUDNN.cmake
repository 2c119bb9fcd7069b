# Finds cuDNN: beside the CUDA toolkit, as the system's package, or as the pip package that PyTorch depends on.
#
# CUDNN_ROOT (CMake or environment) may name a folder with include/ and a folder of libraries, and then decides. Gives
# CUDNN_FOUND, CUDNN_VERSION and the target CUDNN::cudnn.
include(FindPackageHandleStandardArgs)

# The toolkit's folder is taken from nvcc, whose link in /usr/local/cuda may lead elsewhere.
set(places ENV CUDNN_ROOT)
if(ELBO_NVCC)
  file(REAL_PATH "${ELBO_NVCC}" nvcc)
  cmake_path(GET nvcc PARENT_PATH nvcc)
  cmake_path(GET nvcc PARENT_PATH toolkit)
  list(APPEND places "${toolkit}")
endif()
list(APPEND places /usr/local/cuda /opt/cuda)

set(header_suffixes include include/${CMAKE_LIBRARY_ARCHITECTURE})
find_path(CUDNN_INCLUDE_DIR cudnn_version.h HINTS ${places} PATH_SUFFIXES ${header_suffixes})
if(NOT CUDNN_INCLUDE_DIR)
  # Python is asked last: starting it takes time.
  elbo_pip_folders(pip_places cudnn)
  find_path(CUDNN_INCLUDE_DIR cudnn_version.h HINTS ${pip_places} PATH_SUFFIXES include)
endif()

if(CUDNN_INCLUDE_DIR)
  # The library is looked for from the header upwards, or another version's could come with it. pip's package has no
  # libcudnn.so; NAMES_PER_DIR keeps that of another place from coming first.
  cmake_path(GET CUDNN_INCLUDE_DIR PARENT_PATH prefix)
  cmake_path(GET prefix PARENT_PATH prefix_above)
  find_library(CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 NAMES_PER_DIR HINTS ${prefix} ${prefix_above} ${places}
    PATH_SUFFIXES lib lib64 lib/${CMAKE_LIBRARY_ARCHITECTURE})
  file(STRINGS "${CUDNN_INCLUDE_DIR}/cudnn_version.h" lines REGEX "^#define CUDNN_(MAJOR|MINOR|PATCHLEVEL) +[0-9]+")
  string(REGEX MATCHALL "[0-9]+" numbers "${lines}")
  list(JOIN numbers "." CUDNN_VERSION)
endif()
mark_as_advanced(CUDNN_INCLUDE_DIR CUDNN_LIBRARY)

find_package_handle_standard_args(CUDNN REQUIRED_VARS CUDNN_LIBRARY CUDNN_INCLUDE_DIR VERSION_VAR CUDNN_VERSION)
if(CUDNN_FOUND AND NOT TARGET CUDNN::cudnn)
  # SHARED: the library's folder becomes part of the programs' run path.
  add_library(CUDNN::cudnn SHARED IMPORTED)
  set_target_properties(CUDNN::cudnn PROPERTIES
    IMPORTED_LOCATION "${CUDNN_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${CUDNN_INCLUDE_DIR}")
endif()
