# bulkhead_kernel_sources(ROOM): compiles the room's sources for the instruction set that their name ends in. What does not fit the
# processor compiled for is left out; kernels are chosen at run time among those that are there.
#   *_scalar.cpp   any processor        *_avx2.cpp *_avxvnni.cpp *_avx512.cpp   x86-64        *_neon.cpp *_i8mm.cpp   aarch64
# The room sees ggml's internal headers: its kernels are operations of that very ggml.
set(BULKHEAD_KERNEL_FLAGS_scalar -DBULKHEAD_KERNELS_SCALAR)
set(BULKHEAD_KERNEL_FLAGS_avx2 -DBULKHEAD_KERNELS_AVX2 -mavx2 -mfma -mf16c)
set(BULKHEAD_KERNEL_FLAGS_avxvnni -DBULKHEAD_KERNELS_AVX2 -DBULKHEAD_KERNELS_AVXVNNI -mavx2 -mfma -mf16c -mavxvnni)
set(BULKHEAD_KERNEL_FLAGS_avx512 -DBULKHEAD_KERNELS_AVX512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mfma -mf16c)
set(BULKHEAD_KERNEL_FLAGS_neon -DBULKHEAD_KERNELS_NEON -march=armv8.2-a+dotprod+fp16)
set(BULKHEAD_KERNEL_FLAGS_i8mm -DBULKHEAD_KERNELS_NEON -DBULKHEAD_KERNELS_I8MM -march=armv8.2-a+dotprod+fp16+i8mm)

function(bulkhead_kernel_sources room)
  string(REPLACE "/" "_" name ${room})
  set(target bulkhead_${name})
  target_include_directories(${target} SYSTEM PRIVATE ${BULKHEAD_LLAMA_SOURCES}/ggml/src ${BULKHEAD_LLAMA_SOURCES}/ggml/src/ggml-cpu)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    set(here scalar avx2 avxvnni avx512)
    target_compile_definitions(${target} PRIVATE BULKHEAD_KERNELS_X86)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(here scalar neon i8mm)
    target_compile_definitions(${target} PRIVATE BULKHEAD_KERNELS_ARM)
  else()
    set(here scalar)
  endif()
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    if(NOT source MATCHES "_(scalar|avx2|avxvnni|avx512|neon|i8mm)\\.cpp$")
      continue()
    endif()
    if(CMAKE_MATCH_1 IN_LIST here)
      # No contraction: each rounding is written. g++ 12 warns of
      # uninitialized variables inside its own intrinsics.
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "${BULKHEAD_KERNEL_FLAGS_${CMAKE_MATCH_1}};-O3;-ffp-contract=off;-Wno-uninitialized;$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>")
    else()
      set_source_files_properties(${source} PROPERTIES HEADER_FILE_ONLY ON)
    endif()
  endforeach()
endfunction()
