# bulkhead_embed(TARGET NAME file ...): compiles data files into TARGET. The generated header embedded/NAME.h declares
# `std::span<const EmbeddedFile> NAME()` in namespace bulkhead::embedded, in the order given; an entry has `name` (file name) and `content`.
function(bulkhead_embed target name)
  set(directory ${CMAKE_CURRENT_BINARY_DIR}/embedded/${target})
  set(source ${directory}/embedded_${name}.cpp)
  set(header ${directory}/embedded/${name}.h)
  list(JOIN ARGN "|" files)
  add_custom_command(OUTPUT ${source} ${header}
    COMMAND ${CMAKE_COMMAND} -DNAME=${name} "-DFILES=${files}" -DSOURCE=${source} -DHEADER=${header}
            -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${ARGN} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    VERBATIM COMMENT "Embedding ${name}")
  target_sources(${target} PRIVATE ${source} ${header})
  target_include_directories(${target} PRIVATE ${directory})
endfunction()
