# Run by `cmake -P` after a static library is made, with ARCHIVE, NM and OBJCOPY. A shared library
# hides what is not BK_API; an archive cannot, so a program with a wipe() of its own would not link.
# Here every global name that does not begin with bk_ gets bk_private_ in front, in all objects of the
# archive alike. Names that begin with an underscore are the compiler's.
execute_process(COMMAND ${NM} -P -g --defined-only ${ARCHIVE}
    OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" lines "${symbols}")
set(map "")
foreach(line IN LISTS lines)
    if(NOT line MATCHES "^bk_" AND line MATCHES "^([A-Za-z][A-Za-z0-9_]*) [A-Z]")
        string(APPEND map "${CMAKE_MATCH_1} bk_private_${CMAKE_MATCH_1}\n")
    endif()
endforeach()
file(WRITE ${ARCHIVE}.names "${map}")
execute_process(COMMAND ${OBJCOPY} --redefine-syms=${ARCHIVE}.names ${ARCHIVE}
    COMMAND_ERROR_IS_FATAL ANY)
