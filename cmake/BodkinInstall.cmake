# What `cmake --install` puts in place: libraries, headers, the CMake package, bodkin.pc and
# bodkin-core.pc, manual pages, the program.
#
# What a library stands on is read off its target, so a new outside library needs no line here:
# LINK_LIBRARIES names the bodkin_ext_NAME targets, BODKIN_PACKAGES_NAME (BodkinDependencies.cmake)
# their pkg-config modules; one without those is linked by name.
include(CMakePackageConfigHelpers)

function(bodkin_library_needs library out_packages out_names)
    get_target_property(items ${library} LINK_LIBRARIES)
    set(packages "")
    set(names "")
    foreach(item IN LISTS items)
        if(item MATCHES "bodkin_ext_([a-z0-9_]+)")
            if(BODKIN_PACKAGES_${CMAKE_MATCH_1})
                list(APPEND packages ${BODKIN_PACKAGES_${CMAKE_MATCH_1}})
            elseif(NOT BODKIN_ABSENT_${CMAKE_MATCH_1})
                list(APPEND names ${CMAKE_MATCH_1})
            endif()
        endif()
    endforeach()
    list(REMOVE_DUPLICATES packages)
    list(REMOVE_DUPLICATES names)
    set(${out_packages} "${packages}" PARENT_SCOPE)
    set(${out_names} "${names}" PARENT_SCOPE)
endfunction()

# LIBRARY.pc; the prefix is found from the file's own place, so an installed tree can be moved.
# A shared library keeps its needs private. A static one names them in public, so that plain
# `pkg-config --libs` links: with --static one would also need all that GnuTLS itself was built from,
# of which Debian's packages leave some out (-lunistring).
function(bodkin_install_pc library summary)
    bodkin_library_needs(${library} packages names)
    string(REPLACE ";" " " PC_REQUIRES "${packages}")
    list(TRANSFORM names PREPEND "-l")
    string(REPLACE ";" " " PC_LIBS "${names};-pthread")
    get_target_property(kind ${library} TYPE)
    set(PC_PRIVATE "")
    set(PC_PUBLIC_NEEDS "\${needs}")
    if(kind STREQUAL "SHARED_LIBRARY")
        set(PC_PRIVATE ".private")
        set(PC_PUBLIC_NEEDS "")
    endif()
    set(PC_NAME ${library})
    set(PC_DESCRIPTION "${summary}")
    file(RELATIVE_PATH PC_UP "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
    string(REGEX REPLACE "/$" "" PC_UP "${PC_UP}")
    configure_file(${PROJECT_SOURCE_DIR}/cmake/bodkin.pc.in
        ${PROJECT_BINARY_DIR}/${library}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${library}.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

set(BODKIN_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/bodkin)
foreach(library bodkin-core bodkin)
    install(TARGETS ${library} EXPORT ${library}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install(EXPORT ${library} NAMESPACE bodkin:: FILE ${library}-targets.cmake
        DESTINATION ${BODKIN_PACKAGE_DIR})
endforeach()
install(DIRECTORY include/bodkin DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h")

bodkin_install_pc(bodkin-core "STUN and ICE without I/O: packets and the time go in and come out")
bodkin_install_pc(bodkin "Connects any two machines, whatever NATs stand between them")

bodkin_library_needs(bodkin-core BODKIN_CORE_PACKAGES BODKIN_CORE_NAMES)
bodkin_library_needs(bodkin BODKIN_ALL_PACKAGES BODKIN_ALL_NAMES)
get_target_property(BODKIN_KIND bodkin TYPE)
configure_package_config_file(cmake/bodkin-config.cmake.in
    ${PROJECT_BINARY_DIR}/bodkin-config.cmake
    INSTALL_DESTINATION ${BODKIN_PACKAGE_DIR}
    NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/bodkin-config-version.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/bodkin-config.cmake
    ${PROJECT_BINARY_DIR}/bodkin-config-version.cmake
    DESTINATION ${BODKIN_PACKAGE_DIR})

if(TARGET bodkin-program)
    install(TARGETS bodkin-program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    file(GLOB pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.1)
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
