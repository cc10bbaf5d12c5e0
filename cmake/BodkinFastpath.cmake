# src/fastpath: the program for the kernel, compiled by clang for the BPF machine and carried in a
# header as bytes. BODKIN_FASTPATH: AUTO (where there are Linux, clang and libbpf), ON, OFF.
set(BODKIN_FASTPATH AUTO CACHE STRING "Carry TURN's channels in the kernel: AUTO, ON or OFF")

set(missing "")
if(BODKIN_FASTPATH)
    find_program(BODKIN_BPF_CLANG NAMES clang clang-19 clang-16 clang-15 clang-14)
    pkg_check_modules(BODKIN_EXT_bpf IMPORTED_TARGET GLOBAL libbpf>=1.0)
    if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
        list(APPEND missing "Linux")
    endif()
    if(NOT BODKIN_BPF_CLANG)
        list(APPEND missing "clang")
    endif()
    if(NOT BODKIN_EXT_bpf_FOUND)
        list(APPEND missing "libbpf")
    endif()
    list(JOIN missing ", " missing)
    if(missing AND NOT BODKIN_FASTPATH STREQUAL "AUTO")
        message(FATAL_ERROR "BODKIN_FASTPATH=${BODKIN_FASTPATH} needs: ${missing}")
    endif()
else()
    set(missing "BODKIN_FASTPATH=${BODKIN_FASTPATH}")
endif()

# Always there, so that the modules can name it.
add_library(bodkin_ext_bpf INTERFACE)
if(missing)
    message(STATUS "TURN in the kernel: no (${missing})")
    return()
endif()
message(STATUS "TURN in the kernel: yes (${BODKIN_BPF_CLANG}, libbpf ${BODKIN_EXT_bpf_VERSION})")
target_link_libraries(bodkin_ext_bpf INTERFACE PkgConfig::BODKIN_EXT_bpf)
target_compile_definitions(bodkin_ext_bpf INTERFACE BODKIN_FASTPATH=1)

set(bpf_source ${PROJECT_SOURCE_DIR}/src/fastpath/bpf)
set(bpf_out ${PROJECT_BINARY_DIR}/fastpath)
set(bpf_machine bpfel)
if(CMAKE_C_BYTE_ORDER STREQUAL "BIG_ENDIAN")
    set(bpf_machine bpfeb)
endif()
file(MAKE_DIRECTORY ${bpf_out})
# Debian keeps <asm/types.h> in a folder that clang only knows when it compiles for this machine.
set(bpf_includes -I${PROJECT_SOURCE_DIR}/src)
if(CMAKE_LIBRARY_ARCHITECTURE)
    list(APPEND bpf_includes -idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE})
endif()
foreach(dir IN LISTS BODKIN_EXT_bpf_INCLUDE_DIRS)
    list(APPEND bpf_includes -idirafter ${dir})
endforeach()
add_custom_command(OUTPUT ${bpf_out}/turn_bpf.h
    COMMAND ${BODKIN_BPF_CLANG} -target ${bpf_machine} -mcpu=v3 -O2 -g -ffreestanding -Wall -Wextra
            -Werror -Wno-unknown-pragmas ${bpf_includes}
            -fdebug-prefix-map=${PROJECT_SOURCE_DIR}=.
            -c ${bpf_source}/turn.bpf.c -o ${bpf_out}/turn.o
    COMMAND ${CMAKE_COMMAND} -DIN=${bpf_out}/turn.o -DOUT=${bpf_out}/turn_bpf.h -DNAME=turn_bpf
            -P ${PROJECT_SOURCE_DIR}/cmake/BodkinBytes.cmake
    DEPENDS ${bpf_source}/turn.bpf.c ${bpf_source}/flow.h ${bpf_source}/parse.h
            ${PROJECT_SOURCE_DIR}/src/fastpath/shared.h
            ${PROJECT_SOURCE_DIR}/cmake/BodkinBytes.cmake
    COMMENT "Compiling TURN's program for the kernel" VERBATIM)
add_custom_target(bodkin-fastpath-bpf DEPENDS ${bpf_out}/turn_bpf.h)
target_include_directories(bodkin_ext_bpf INTERFACE ${bpf_out})
add_dependencies(bodkin_ext_bpf bodkin-fastpath-bpf)
