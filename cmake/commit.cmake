# Run by each build: cmake -D SOURCE=... -D HEADER=... -P commit.cmake writes which commit is built, where that changed.
execute_process(COMMAND git describe --always --dirty WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE commit
  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${HEADER} @ONLY CONTENT [[
#pragma once
namespace bulkhead::embedded {
inline constexpr const char* kCommit = "@commit@";
}
]])
