# What elbo is to other projects: targets elbo::tensor ... elbo::vae, a folder of headers under elbo/, and, for
# `cmake --install`, the package that find_package(elbo) finds, elbo.pc for pkg-config, and the program. docs/library.md
# says how they are used.
#
# A program that links elbo::vae gets what its own code needs to be right with elbo's headers, and nothing else: no
# warnings, and no -march=native.

# elbo's own files include from the tree; others from a folder that is made of the public headers.
set(elbo_headers ${PROJECT_BINARY_DIR}/include)
set(elbo_libraries tensor autograd nn datasets vae)
file(GLOB header_sources CONFIGURE_DEPENDS
  tensor/*.h tensor/cuda/*.h autograd/*.h nn/*.h datasets/*.h vae/*.h)
add_custom_command(OUTPUT ${elbo_headers}/made
  COMMAND ${CMAKE_COMMAND} -D SOURCE=${PROJECT_SOURCE_DIR} -D INTO=${elbo_headers} -P ${PROJECT_SOURCE_DIR}/cmake/public_headers.cmake
  COMMAND ${CMAKE_COMMAND} -E touch ${elbo_headers}/made
  DEPENDS ${header_sources} cmake/public_headers.cmake
  COMMENT "Making the folder of public headers" VERBATIM)
add_custom_target(elbo_headers ALL DEPENDS ${elbo_headers}/made)
add_dependencies(elbo_tensor elbo_headers)

foreach(library IN LISTS elbo_libraries)
  set_target_properties(elbo_${library} PROPERTIES EXPORT_NAME ${library})
  add_library(elbo::${library} ALIAS elbo_${library})
endforeach()

target_compile_features(elbo_tensor PUBLIC cxx_std_20)
# Loops over an op of one's own are compiled where the op is: they vectorise, and give a member of an ensemble the bits
# that it has alone, under the same options as elbo's (cmake/options.cmake). All leave results as the code says them.
foreach(option IN LISTS elbo_numerics)
  target_compile_options(elbo_tensor INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:${option}> $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${option}>)
endforeach()
target_compile_options(elbo_tensor INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>)
if(elbo_gpu STREQUAL "cuda")
  target_compile_definitions(elbo_tensor INTERFACE ELBO_HAS_CUDA=1)
endif()

if(NOT PROJECT_IS_TOP_LEVEL)
  target_include_directories(elbo_tensor INTERFACE $<BUILD_INTERFACE:${elbo_headers}>)
  return()
endif()
if(elbo_gpu STREQUAL "emulated")
  return()  # it is for tests of the kernels
endif()

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/elbo)
foreach(library IN LISTS elbo_libraries)
  install(TARGETS elbo_${library} EXPORT elbo-targets ARCHIVE LIBRARY)
endforeach()
target_include_directories(elbo_tensor INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
install(DIRECTORY ${elbo_headers}/elbo DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT elbo-targets NAMESPACE elbo:: DESTINATION ${package_folder})

# What is linked and not seen in a header is named by its path: an installed elbo belongs to the machine that it was
# built on, whose BLAS is a part of what its numbers are.
set(elbo_linked ${elbo_lapack_libraries})
if(elbo_onednn STREQUAL "found")
  list(APPEND elbo_linked ${ONEDNN_LIBRARY})
endif()
if(elbo_gpu STREQUAL "cuda")
  foreach(target CUDA::cudart CUDA::cublas CUDA::cublasLt CUDNN::cudnn)
    get_target_property(file ${target} IMPORTED_LOCATION)
    list(APPEND elbo_linked ${file})
  endforeach()
endif()
target_link_libraries(elbo_tensor INTERFACE "$<INSTALL_INTERFACE:${elbo_linked}>")
target_link_libraries(elbo_datasets INTERFACE "$<INSTALL_INTERFACE:${elbo_zlib_libraries}>")

configure_package_config_file(cmake/elbo-config.cmake.in ${PROJECT_BINARY_DIR}/elbo-config.cmake
  INSTALL_DESTINATION ${package_folder} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a change of the second number may change public headers.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/elbo-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/elbo-config.cmake ${PROJECT_BINARY_DIR}/elbo-config-version.cmake
  DESTINATION ${package_folder})

# elbo.pc finds its folders from where it lies itself, so that `cmake --install --prefix` may put it anywhere.
file(RELATIVE_PATH prefix_from_pc /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
set(pc_flags -std=c++20 ${elbo_numerics} ${OpenMP_CXX_FLAGS})
if(elbo_gpu STREQUAL "cuda")
  list(APPEND pc_flags -DELBO_HAS_CUDA=1)
endif()
set(pc_libraries)
foreach(library IN LISTS elbo_libraries)
  list(PREPEND pc_libraries -lelbo_${library})
endforeach()
list(APPEND pc_libraries ${elbo_linked} ${elbo_zlib_libraries} ${OpenMP_CXX_FLAGS} ${CMAKE_THREAD_LIBS_INIT})
if(ELBO_VENDOR_DIR)
  list(APPEND pc_flags -isystem ${ELBO_VENDOR_DIR}/include -DFMT_HEADER_ONLY=1)
  set(pc_requires)
else()
  set(pc_requires fmt)
endif()
list(JOIN pc_flags " " pc_flags)
list(JOIN pc_libraries " " pc_libraries)
configure_file(cmake/elbo.pc.in elbo.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/elbo.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(ELBO_PROGRAM)
  set_target_properties(elbo PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)  # libraries may lie in no usual place
  install(TARGETS elbo RUNTIME)
endif()
