# Finds oneDNN by its header and library. Its own CMake package asks in addition for what its GPU parts would need
# (OpenCL's headers), which elbo does not use, and ends the configuration where that is missing.
#
# Gives ONEDNN_FOUND, ONEDNN_VERSION and the target OneDNN::onednn.
include(FindPackageHandleStandardArgs)

find_path(ONEDNN_INCLUDE_DIR oneapi/dnnl/dnnl.hpp)
find_library(ONEDNN_LIBRARY dnnl)
mark_as_advanced(ONEDNN_INCLUDE_DIR ONEDNN_LIBRARY)
if(ONEDNN_INCLUDE_DIR)
  file(STRINGS "${ONEDNN_INCLUDE_DIR}/oneapi/dnnl/dnnl_version.h" lines
    REGEX "^#define DNNL_VERSION_(MAJOR|MINOR|PATCH) +[0-9]+")
  string(REGEX MATCHALL "[0-9]+" numbers "${lines}")
  list(JOIN numbers "." ONEDNN_VERSION)
endif()

find_package_handle_standard_args(OneDNN REQUIRED_VARS ONEDNN_LIBRARY ONEDNN_INCLUDE_DIR VERSION_VAR ONEDNN_VERSION)
if(ONEDNN_FOUND AND NOT TARGET OneDNN::onednn)
  add_library(OneDNN::onednn UNKNOWN IMPORTED)
  set_target_properties(OneDNN::onednn PROPERTIES
    IMPORTED_LOCATION "${ONEDNN_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${ONEDNN_INCLUDE_DIR}")
endif()
