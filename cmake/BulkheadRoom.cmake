# bulkhead_room(ROOM [DEPS room ...] [LINK library ...]): one static library for src/ROOM, named bulkhead_ROOM with '/'
# turned into '_'. DEPS are rooms of a lower layer (cmake/layers.txt; tests/layers_test.py checks the includes).
function(bulkhead_room room)
  cmake_parse_arguments(arg "" "" "DEPS;LINK" ${ARGN})
  string(REPLACE "/" "_" name ${room})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${room}/*.cpp)
  add_library(bulkhead_${name} STATIC ${sources})
  target_include_directories(bulkhead_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>)
  foreach(dep IN LISTS arg_DEPS)
    string(REPLACE "/" "_" dep_name ${dep})
    target_link_libraries(bulkhead_${name} PUBLIC bulkhead_${dep_name})
  endforeach()
  target_link_libraries(bulkhead_${name} PUBLIC ${arg_LINK})
  set_property(GLOBAL APPEND PROPERTY BULKHEAD_ROOMS bulkhead_${name})
endfunction()
