# Files of schemas/ are compiled in; symbol = path with every other character than a letter or digit as '_':
# schemas/sql/source.sql becomes `const char embedded_sql_source_sql[]` (NUL-terminated), declared in schemas/embedded.h.
function(cf_embed name out_sources)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS RELATIVE "${CMAKE_SOURCE_DIR}/schemas"
       "${CMAKE_SOURCE_DIR}/schemas/*.sql" "${CMAKE_SOURCE_DIR}/schemas/*.json" "${CMAKE_SOURCE_DIR}/schemas/*.html"
       "${CMAKE_SOURCE_DIR}/schemas/*.css")
  set(generated)
  foreach(file ${files})
    string(REGEX REPLACE "[^A-Za-z0-9]" "_" symbol "${file}")
    set(c "${CMAKE_BINARY_DIR}/embedded/${symbol}.c")
    add_custom_command(OUTPUT "${c}"
      COMMAND ${CMAKE_COMMAND} -DIN=${CMAKE_SOURCE_DIR}/schemas/${file} -DOUT=${c} -DSYMBOL=embedded_${symbol}
              -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
      DEPENDS "${CMAKE_SOURCE_DIR}/schemas/${file}" "${CMAKE_SOURCE_DIR}/cmake/embed.cmake" VERBATIM)
    list(APPEND generated "${c}")
  endforeach()
  set(${out_sources} ${generated} PARENT_SCOPE)
endfunction()
