# Paths: in a build for any processor of x86-64, the numeric libraries are compiled once more for each of these levels, as
# elbo_tensor_v3 and so on, and linked to a program of their own, v3/elbo in the build folder, to which `elbo` hands over
# (apps/processor/paths.h). What is above them is compiled once: it computes little.

set(ELBO_PATHS "v3;v4" CACHE STRING "With ELBO_NATIVE=OFF: levels of x86-64 that the program carries besides its baseline")
set(elbo_paths)
if(NOT ELBO_NATIVE AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(elbo_paths ${ELBO_PATHS})
endif()
foreach(path IN LISTS elbo_paths)
  if(NOT path MATCHES "^v[234]$")
    message(FATAL_ERROR "ELBO_PATHS holds '${path}', but must be a list of v2, v3 and v4")
  endif()
endforeach()

set(elbo_numeric_libraries elbo_tensor elbo_autograd elbo_nn elbo_datasets elbo_vae)
set(elbo_upper_libraries elbo_support elbo_training elbo_reports elbo_experiment elbo_ledger)

# elbo_libraries_of(RESULT PATH TARGET PROPERTY): a list of targets, with a path's numeric libraries in the place of others.
function(elbo_libraries_of result path target property)
  get_target_property(libraries ${target} ${property})
  list(JOIN elbo_numeric_libraries "|" numeric)
  list(TRANSFORM libraries REPLACE "^(${numeric})$" "\\1_${path}")
  set(${result} ${libraries} PARENT_SCOPE)
endfunction()

# elbo_compile_library_for(PATH LIBRARY): the same library for a level of x86-64.
function(elbo_compile_library_for path library)
  get_target_property(sources ${library} SOURCES)
  add_library(${library}_${path} STATIC ${sources})
  foreach(property COMPILE_OPTIONS COMPILE_DEFINITIONS INTERFACE_COMPILE_DEFINITIONS INCLUDE_DIRECTORIES
          INTERFACE_INCLUDE_DIRECTORIES LINK_LIBRARIES INTERFACE_LINK_LIBRARIES PRECOMPILE_HEADERS PRECOMPILE_HEADERS_REUSE_FROM)
    elbo_libraries_of(value ${path} ${library} ${property})
    if(value)
      set_property(TARGET ${library}_${path} PROPERTY ${property} "${value}")
    endif()
  endforeach()
  elbo_compile_for(${path} ${library}_${path})
endfunction()

function(elbo_compile_for path target)
  set(option -march=x86-64-${path})
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:${option}> $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${option}>)
endfunction()

# elbo_link_program_for(PATH): objects of `elbo`, but for those that speak of the processor, and a path's libraries. As
# objects: the upper libraries would bring the numeric libraries of the baseline along.
function(elbo_link_program_for path)
  set(program elbo_${path})
  add_executable(${program} apps/processor/needs.cpp apps/bench/fma_peak.cpp
    $<FILTER:$<TARGET_OBJECTS:elbo_processor>,EXCLUDE,/needs\\.>
    $<FILTER:$<TARGET_OBJECTS:elbo>,EXCLUDE,/fma_peak\\.>)
  foreach(library IN LISTS elbo_upper_libraries)
    target_sources(${program} PRIVATE $<TARGET_OBJECTS:${library}>)
    elbo_libraries_of(libraries ${path} ${library} LINK_LIBRARIES)
    list(REMOVE_ITEM libraries ${elbo_upper_libraries})
    target_link_libraries(${program} PRIVATE ${libraries})
  endforeach()
  target_link_libraries(${program} PRIVATE elbo_options)
  target_compile_definitions(${program} PRIVATE ELBO_PATH="${path}")
  elbo_compile_for(${path} ${program})
  set_target_properties(${program} PROPERTIES OUTPUT_NAME elbo RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/${path}"
    INSTALL_RPATH_USE_LINK_PATH ON)
  if(PROJECT_IS_TOP_LEVEL)
    install(TARGETS ${program} RUNTIME DESTINATION "${CMAKE_INSTALL_LIBEXECDIR}/elbo/${path}")
  endif()
endfunction()

if(NOT ELBO_NATIVE)
  target_compile_definitions(elbo_processor PRIVATE ELBO_PATH="baseline")
endif()
if(elbo_paths)
  include(GNUInstallDirs)
  file(RELATIVE_PATH installed "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_LIBEXECDIR}/elbo")
  list(JOIN elbo_paths " " names)
  target_compile_definitions(elbo_processor PRIVATE ELBO_PATHS="${names} " ELBO_INSTALLED_PATHS="${installed}")
  foreach(path IN LISTS elbo_paths)
    foreach(library IN LISTS elbo_numeric_libraries)
      elbo_compile_library_for(${path} ${library})
    endforeach()
    elbo_link_program_for(${path})
  endforeach()
endif()
