# Compiler settings: C17 without extensions, every warning of the house, optional sanitizers.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

option(BODKIN_WERROR "Treat warnings as errors" OFF)
set(BODKIN_SANITIZE "" CACHE STRING "Sanitizers, for example address,undefined or thread")

set(BODKIN_WARNINGS
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Wundef -Wcast-qual -Wwrite-strings -Wformat=2 -Wswitch-enum
    -Wimplicit-fallthrough)
if(BODKIN_WERROR)
    list(APPEND BODKIN_WARNINGS -Werror)
endif()

add_library(bodkin_flags INTERFACE)
target_compile_options(bodkin_flags INTERFACE ${BODKIN_WARNINGS})
if(BODKIN_SANITIZE)
    target_compile_options(bodkin_flags INTERFACE -fsanitize=${BODKIN_SANITIZE}
                           -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(bodkin_flags INTERFACE -fsanitize=${BODKIN_SANITIZE})
endif()
if(BODKIN_FUZZ)
    target_compile_options(bodkin_flags INTERFACE -fsanitize=fuzzer-no-link)
    target_link_options(bodkin_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
