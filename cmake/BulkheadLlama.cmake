# llama.cpp, linked statically: built once per flavour (sources, compiler, processor, options) into the cache folder and imported
# from there, so that every build folder and preset shares one build.
#   bulkhead_llama_cpp  libllama, ggml and llama.cpp's `common` (chat templates)
#   bulkhead_json       nlohmann/json 3.12 from the same sources
#   bulkhead_httplib    cpp-httplib from the same sources, compiled here
set(BULKHEAD_LLAMA_SOURCE_DIR "" CACHE PATH "llama.cpp sources; empty: the pinned ones, fetched into the cache folder")
set(BULKHEAD_LLAMA_SANITIZE "" CACHE STRING "Sanitizer llama.cpp itself is built with: empty or thread")
set(BULKHEAD_LLAMA_OPTIONS "" CACHE STRING "Further options for llama.cpp, such as -DGGML_CUDA=ON")
option(BULKHEAD_PORTABLE "ggml for any x86-64-v2 or armv8-a processor, not for this one; our kernels choose theirs at run time" OFF)

if(DEFINED ENV{XDG_CACHE_HOME} AND NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
  set(BULKHEAD_CACHE_DIR "$ENV{XDG_CACHE_HOME}/bulkhead")
else()
  set(BULKHEAD_CACHE_DIR "$ENV{HOME}/.cache/bulkhead")
endif()

set(llama_source "${BULKHEAD_LLAMA_SOURCE_DIR}")
set(llama_plain_source "${BULKHEAD_LLAMA_SOURCE_DIR}")
if(llama_source STREQUAL "")
  execute_process(COMMAND ${PROJECT_SOURCE_DIR}/scripts/fetch_llama.sh
    OUTPUT_VARIABLE llama_source OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${PROJECT_SOURCE_DIR}/scripts/fetch_llama.sh --plain
    OUTPUT_VARIABLE llama_plain_source OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
else()
  # Strict isolation rests on the patches: sources without them are refused.
  file(GLOB llama_patches ${PROJECT_SOURCE_DIR}/patches/llama.cpp/*.patch)
  foreach(llama_patch IN LISTS llama_patches)
    execute_process(COMMAND patch --directory ${llama_source} --strip 1 --reverse --dry-run --quiet --force --input ${llama_patch}
      RESULT_VARIABLE llama_unpatched OUTPUT_QUIET ERROR_QUIET)
    if(llama_unpatched)
      message(FATAL_ERROR "${llama_source} lacks ${llama_patch}: apply it there with patch --strip 1")
    endif()
  endforeach()
endif()

# Without llamafile's matrix multiplication: its results depend on how many columns are multiplied together.
set(llama_options -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON
  -DCMAKE_C_VISIBILITY_PRESET=hidden -DCMAKE_CXX_VISIBILITY_PRESET=hidden
  -DLLAMA_BUILD_COMMON=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=OFF
  -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF
  -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DGGML_LLAMAFILE=OFF)
if(BULKHEAD_PORTABLE)
  list(APPEND llama_options -DGGML_NATIVE=OFF -DGGML_SSE42=ON)
  foreach(set AVX AVX2 BMI2 FMA F16C)
    list(APPEND llama_options -DGGML_${set}=OFF)
  endforeach()
else()
  list(APPEND llama_options -DGGML_NATIVE=ON)
endif()
list(APPEND llama_options ${BULKHEAD_LLAMA_OPTIONS})
# Without OpenMP: how long its threads spin is read from the environment when a process starts, so a library cannot bound
# it. ggml's own threads do as our patch says. TSan sees their barriers, too.
list(APPEND llama_options -DGGML_OPENMP=OFF)
if(BULKHEAD_LLAMA_SANITIZE STREQUAL "thread")
  list(APPEND llama_options -DLLAMA_SANITIZE_THREAD=ON -DGGML_SANITIZE_THREAD=ON)
endif()

# g++ builds it whatever compiler builds Bulkhead: one build serves both.
find_program(BULKHEAD_LLAMA_CC NAMES gcc cc)
find_program(BULKHEAD_LLAMA_CXX NAMES g++ c++)
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  list(APPEND llama_options -DCMAKE_C_COMPILER_LAUNCHER=${CCACHE_PROGRAM} -DCMAKE_CXX_COMPILER_LAUNCHER=${CCACHE_PROGRAM})
endif()

# GGML_NATIVE makes the build depend on the processor: what the compiler understands by "native" is part of the key.
execute_process(COMMAND ${BULKHEAD_LLAMA_CXX} -march=native -Q --help=target OUTPUT_VARIABLE llama_native ERROR_QUIET)
# ggml's products with AMX end in an illegal instruction when g++ 12 compiled them: its _tile_loadconfig() tells the optimizer of 8 bytes of the
# configuration, and the rest is never written. Without AMX ggml takes its AVX-512 products; ours use none.
if(llama_native MATCHES "-mamx-tile[ \t]+\\[enabled\\]")
  foreach(language C CXX)
    list(APPEND llama_options "-DCMAKE_${language}_FLAGS=-mno-amx-tile -mno-amx-int8 -mno-amx-bf16")
  endforeach()
endif()
execute_process(COMMAND ${BULKHEAD_LLAMA_CXX} --version OUTPUT_VARIABLE llama_compiler ERROR_QUIET)
string(SHA256 llama_key "${llama_source}|${llama_options}|${llama_native}|${llama_compiler}")
string(SUBSTRING ${llama_key} 0 16 llama_key)
set(llama_build ${BULKHEAD_CACHE_DIR}/build/llama-${llama_key})

if(NOT EXISTS ${llama_build}/.complete)
  message(STATUS "Building llama.cpp into ${llama_build} (some minutes, once)")
  file(MAKE_DIRECTORY ${llama_build})
  file(LOCK ${llama_build}.lock)
  if(NOT EXISTS ${llama_build}/.complete)
    execute_process(
      COMMAND ${CMAKE_COMMAND} -S ${llama_source} -B ${llama_build} -G Ninja -DCMAKE_C_COMPILER=${BULKHEAD_LLAMA_CC}
              -DCMAKE_CXX_COMPILER=${BULKHEAD_LLAMA_CXX} ${llama_options}
      OUTPUT_FILE ${llama_build}/configure.log ERROR_FILE ${llama_build}/configure.log COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND ${CMAKE_COMMAND} --build ${llama_build} --target llama llama-common
      OUTPUT_FILE ${llama_build}/build.log ERROR_FILE ${llama_build}/build.log COMMAND_ERROR_IS_FATAL ANY)
    file(TOUCH ${llama_build}/.complete)
  endif()
  file(LOCK ${llama_build}.lock RELEASE)
endif()

add_library(bulkhead_json INTERFACE)
# From the sources without patches: a new patch does not make every file that reads JSON compile anew.
target_include_directories(bulkhead_json SYSTEM INTERFACE $<BUILD_INTERFACE:${llama_plain_source}/vendor>)

add_library(bulkhead_llama_cpp INTERFACE)
target_include_directories(bulkhead_llama_cpp SYSTEM INTERFACE
  $<BUILD_INTERFACE:${llama_source}/include> $<BUILD_INTERFACE:${llama_source}/ggml/include>
  $<BUILD_INTERFACE:${llama_source}/common> $<BUILD_INTERFACE:${llama_source}/vendor>)
file(GLOB_RECURSE llama_archives ${llama_build}/*.a)
list(FILTER llama_archives EXCLUDE REGEX "cpp-httplib")
list(SORT llama_archives)
set(BULKHEAD_LLAMA_BUILD_DIR ${llama_build})
set(BULKHEAD_LLAMA_SOURCES ${llama_source})
if(APPLE)
  target_link_libraries(bulkhead_llama_cpp INTERFACE ${llama_archives} "-framework Accelerate")
else()
  target_link_libraries(bulkhead_llama_cpp INTERFACE -Wl,--start-group ${llama_archives} -Wl,--end-group
    Threads::Threads ${CMAKE_DL_LIBS})
endif()

# cpp-httplib with TLS, which changes its classes: so everything here takes this one, and none the one that llama.cpp's build made without it.
add_library(bulkhead_httplib STATIC EXCLUDE_FROM_ALL ${llama_plain_source}/vendor/cpp-httplib/httplib.cpp)
target_include_directories(bulkhead_httplib SYSTEM PUBLIC $<BUILD_INTERFACE:${llama_plain_source}/vendor>)
target_compile_definitions(bulkhead_httplib PUBLIC CPPHTTPLIB_OPENSSL_SUPPORT CPPHTTPLIB_LISTEN_BACKLOG=512
  CPPHTTPLIB_REQUEST_URI_MAX_LENGTH=32768 CPPHTTPLIB_FORM_URL_ENCODED_PAYLOAD_MAX_LENGTH=1048576 CPPHTTPLIB_TCP_NODELAY=1)
target_compile_options(bulkhead_httplib PRIVATE -w)
target_link_libraries(bulkhead_httplib PUBLIC OpenSSL::SSL OpenSSL::Crypto Threads::Threads)
set_target_properties(bulkhead_httplib PROPERTIES UNITY_BUILD OFF)
