# Observable Plot and D3 for report.html: fetched once into the cache folder, checked by hash, compiled into the report.
#   BULKHEAD_PLOT_FILES  their scripts and licences
set(BULKHEAD_PLOT_DIR "" CACHE PATH "Folder with plot.umd.min.js, d3.min.js and *.license.txt; empty: fetched by npm")

set(plot_dir "${BULKHEAD_PLOT_DIR}")
if(plot_dir STREQUAL "")
  execute_process(COMMAND ${PROJECT_SOURCE_DIR}/scripts/fetch_plot.sh
    OUTPUT_VARIABLE plot_dir OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
endif()
set(BULKHEAD_PLOT_FILES ${plot_dir}/plot.umd.min.js ${plot_dir}/plot.license.txt ${plot_dir}/d3.min.js
  ${plot_dir}/d3.license.txt)
