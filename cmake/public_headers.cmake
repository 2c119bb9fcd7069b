# The headers that programs outside this tree include, and the folder that is made of them, for <elbo/vae/vae.h>.
#
#   cmake -D SOURCE=TREE -D INTO=FOLDER -P cmake/public_headers.cmake
#
# What a header of the list includes, and is not in the list, goes to FOLDER/elbo/detail: it has to be there, and may
# change at any time. Includes are rewritten to match, so that FOLDER is all that a program's include path needs. A
# file that would not change is not touched; a file that belongs there no more is removed.

# docs/library.md says what each is for, and tests/public_headers_test.py compiles each alone.
set(elbo_public_headers
  tensor/dtype.h tensor/error.h tensor/gemm.h tensor/linalg.h tensor/map.h tensor/map_loops.h tensor/math.h
  tensor/memory.h tensor/parallel.h tensor/random.h tensor/shape.h tensor/tensor.h
  autograd/backward.h autograd/contribute.h autograd/gradcheck.h autograd/ops.h autograd/pointwise.h autograd/tape.h autograd/variable.h
  nn/checkpoint.h nn/image_layers.h nn/layers.h nn/optimizer.h nn/parameter_file.h nn/parameters.h nn/safetensors.h
  datasets/batch_loader.h datasets/dataset.h datasets/idx.h datasets/npy.h datasets/preprocessing.h datasets/splits.h
  vae/captured_steps.h vae/conv_network.h vae/deep_metrics.h vae/deep_vae.h vae/deep_vae_file.h vae/elbo_loss.h
  vae/entropy_gauge.h vae/fused.h vae/importance.h vae/lagging.h vae/latent_quadrature.h vae/libi.h vae/linear_vae.h
  vae/linear_vae_file.h vae/loss.h vae/objective.h vae/parts.h vae/points.h vae/ppca.h vae/training.h
  vae/unit_diagnostics.h vae/vae.h)

if(NOT CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  return()
endif()

cmake_minimum_required(VERSION 3.25)
set(todo ${elbo_public_headers})
set(made)
while(todo)
  list(POP_FRONT todo header)
  if(header IN_LIST elbo_public_headers)
    set(placed "elbo/${header}")
  else()
    set(placed "elbo/detail/${header}")
  endif()
  list(APPEND made "${placed}")
  file(READ "${SOURCE}/${header}" text)
  string(REGEX MATCHALL "#[ \t]*include[ \t]*\"[^\"]+\"" lines "${text}")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^[^\"]*\"([^\"]+)\"$" "\\1" included "${line}")
    if(included IN_LIST elbo_public_headers)
      string(REPLACE "\"${included}\"" "\"elbo/${included}\"" text "${text}")
    else()
      string(REPLACE "\"${included}\"" "\"elbo/detail/${included}\"" text "${text}")
      if(NOT "elbo/detail/${included}" IN_LIST made AND NOT included IN_LIST todo)
        list(APPEND todo "${included}")
      endif()
    endif()
  endforeach()
  set(kept)
  if(EXISTS "${INTO}/${placed}")
    file(READ "${INTO}/${placed}" kept)
  endif()
  if(NOT kept STREQUAL text)
    file(WRITE "${INTO}/${placed}" "${text}")
  endif()
endwhile()

file(GLOB_RECURSE files RELATIVE "${INTO}" "${INTO}/elbo/*.h")
list(REMOVE_ITEM files ${made})
foreach(file IN LISTS files)
  file(REMOVE "${INTO}/${file}")
endforeach()
