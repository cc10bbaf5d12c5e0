# A module is a folder of C files and the modules it stands on.
#   bodkin_module(NAME FOLDER [dep...] [EXTERNAL ext...])   an object library bodkin_m_NAME
#   bodkin_library(NAME module...)                          an installable library of these modules
#   bodkin_program(NAME module)                             a program: the module and all below it
#   bodkin_link_modules(TARGET module...)                   links the modules and all below them

function(bodkin_module name folder)
    cmake_parse_arguments(ARG "" "" "EXTERNAL" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.c)
    list(FILTER sources EXCLUDE REGEX "/main\\.c$")
    set(closure ${name})
    set(externals ${ARG_EXTERNAL})
    foreach(dep IN LISTS ARG_UNPARSED_ARGUMENTS)
        list(APPEND closure ${BODKIN_CLOSURE_${dep}})
        list(APPEND externals ${BODKIN_EXTERNALS_${dep}})
    endforeach()
    list(REMOVE_DUPLICATES closure)
    list(REMOVE_DUPLICATES externals)
    if(sources)
        add_library(bodkin_m_${name} OBJECT ${sources})
        target_include_directories(bodkin_m_${name} PUBLIC
            ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
        target_link_libraries(bodkin_m_${name} PRIVATE bodkin_flags)
        foreach(ext IN LISTS externals)
            target_link_libraries(bodkin_m_${name} PUBLIC bodkin_ext_${ext})
        endforeach()
    endif()
    set(BODKIN_CLOSURE_${name} ${closure} PARENT_SCOPE)
    set(BODKIN_EXTERNALS_${name} ${externals} PARENT_SCOPE)
endfunction()

function(bodkin_link_modules target)
    set(all "")
    foreach(module IN LISTS ARGN)
        list(APPEND all ${BODKIN_CLOSURE_${module}})
        foreach(ext IN LISTS BODKIN_EXTERNALS_${module})
            target_link_libraries(${target} PRIVATE bodkin_ext_${ext})
        endforeach()
    endforeach()
    list(REMOVE_DUPLICATES all)
    foreach(module IN LISTS all)
        if(TARGET bodkin_m_${module})
            target_sources(${target} PRIVATE $<TARGET_OBJECTS:bodkin_m_${module}>)
        endif()
    endforeach()
    target_include_directories(${target} PRIVATE
        ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
    target_link_libraries(${target} PRIVATE bodkin_flags Threads::Threads)
endfunction()

function(bodkin_library name)
    add_library(${name})
    set_target_properties(${name} PROPERTIES LINKER_LANGUAGE C
        VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
    foreach(module IN LISTS ARGN)
        if(TARGET bodkin_m_${module})
            target_sources(${name} PRIVATE $<TARGET_OBJECTS:bodkin_m_${module}>)
        endif()
        foreach(ext IN LISTS BODKIN_EXTERNALS_${module})
            target_link_libraries(${name} PRIVATE $<BUILD_INTERFACE:bodkin_ext_${ext}>)
        endforeach()
    endforeach()
    target_link_libraries(${name} PRIVATE $<BUILD_INTERFACE:bodkin_flags> $<BUILD_INTERFACE:Threads::Threads>)
    target_include_directories(${name} PUBLIC
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    add_library(bodkin::${name} ALIAS ${name})
    get_target_property(kind ${name} TYPE)
    if(kind STREQUAL "STATIC_LIBRARY" AND CMAKE_OBJCOPY AND CMAKE_NM)
        add_custom_command(TARGET ${name} POST_BUILD COMMAND ${CMAKE_COMMAND}
            -DARCHIVE=$<TARGET_FILE:${name}> -DNM=${CMAKE_NM} -DOBJCOPY=${CMAKE_OBJCOPY}
            -P ${PROJECT_SOURCE_DIR}/cmake/BodkinPrivateNames.cmake VERBATIM)
    endif()
endfunction()

function(bodkin_program name module)
    file(GLOB mains CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${module}/main.c)
    if(mains)
        add_executable(${name}-program ${mains})
        set_target_properties(${name}-program PROPERTIES OUTPUT_NAME ${name})
        target_compile_definitions(${name}-program PRIVATE BODKIN_VERSION="${PROJECT_VERSION}")
        bodkin_link_modules(${name}-program ${module})
    endif()
endfunction()
