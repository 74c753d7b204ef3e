# Run by cpack before it packs: below the prefix /usr there is no etc in Debian.
set(staged "${CPACK_TEMPORARY_INSTALL_DIRECTORY}")
if(EXISTS "${staged}/usr/etc")
  file(RENAME "${staged}/usr/etc" "${staged}/etc")
endif()
if(NOT EXISTS "${staged}/etc/crossfade")
  message(FATAL_ERROR "no etc/crossfade below ${staged}: what cpack stages has changed")
endif()
