# `cmake --install` and `cpack -G DEB`: executable, man page, schemas, units of systemd, completion, an example configuration,
# documents. With SOURCE_DATE_EPOCH in the environment cpack gives the same bytes for the same files.
include(GNUInstallDirs)
if(TARGET crossfade)
  install(TARGETS crossfade RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY schemas/ DESTINATION ${CMAKE_INSTALL_DATADIR}/crossfade/schemas
        FILES_MATCHING PATTERN "*.sql" PATTERN "*.json" PATTERN report EXCLUDE)
install(FILES README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md" PATTERN evidence EXCLUDE)
install(DIRECTORY deploy/sql/ DESTINATION ${CMAKE_INSTALL_DATADIR}/crossfade/privileges FILES_MATCHING PATTERN "*.sql")
install(FILES deploy/crossfade.example.yaml DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES deploy/crossfade.example.yaml DESTINATION ${CMAKE_INSTALL_SYSCONFDIR}/crossfade)
# Relative, as systemd and the shells look below each prefix; %S and the like are systemd's.
file(GLOB UNITS CONFIGURE_DEPENDS deploy/systemd/*.service deploy/systemd/*.timer)
install(FILES ${UNITS} DESTINATION lib/systemd/system)
install(FILES deploy/completion/crossfade.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME crossfade)
install(FILES deploy/completion/_crossfade DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
install(FILES deploy/prometheus/crossfade.rules.yaml deploy/prometheus/crossfade.rules.test.yaml deploy/grafana/crossfade.json
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)

# Debian wants man pages and changelogs compressed; gzip -n: without a time stamp, so the same bytes each time.
find_program(GZIP gzip REQUIRED)
function(cf_install_gzipped source name destination)
  add_custom_command(OUTPUT "${CMAKE_BINARY_DIR}/${name}"
    COMMAND ${GZIP} -9nc "${CMAKE_SOURCE_DIR}/${source}" > "${CMAKE_BINARY_DIR}/${name}"
    DEPENDS "${CMAKE_SOURCE_DIR}/${source}" VERBATIM)
  add_custom_target(gzip-${name} ALL DEPENDS "${CMAKE_BINARY_DIR}/${name}")
  install(FILES "${CMAKE_BINARY_DIR}/${name}" DESTINATION ${destination})
endfunction()
cf_install_gzipped(docs/crossfade.1 crossfade.1.gz ${CMAKE_INSTALL_MANDIR}/man1)
cf_install_gzipped(CHANGELOG.md changelog.gz ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME crossfade)
set(CPACK_PACKAGE_CONTACT "Crossfade maintainers <maintainers@crossfade.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "moves a live PostgreSQL database to another server")
set(CPACK_PACKAGE_DESCRIPTION "Copies a consistent snapshot, follows the write-ahead log through Apache
Kafka or an embedded journal, proves both sides equal at one instant while
writes go on, and switches over when lag is zero.")
set(CPACK_DEBIAN_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS "${CMAKE_SOURCE_DIR}/cmake/debian_layout.cmake")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    "${CMAKE_SOURCE_DIR}/deploy/debian/conffiles;${CMAKE_SOURCE_DIR}/deploy/debian/postinst;${CMAKE_SOURCE_DIR}/deploy/debian/prerm;${CMAKE_SOURCE_DIR}/deploy/debian/postrm")
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
include(CPack)
