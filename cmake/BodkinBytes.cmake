# cmake -DIN=file -DOUT=header -DNAME=name -P BodkinBytes.cmake: a file as an array of bytes in C.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "static const unsigned char ${NAME}[] __attribute__((aligned(8))) = {\n${bytes}\n};\n")
