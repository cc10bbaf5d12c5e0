/* SPDX-License-Identifier: MIT */
#ifndef CLI_QR_H
#define CLI_QR_H

/* Draws `text` as a QR code on standard error, two modules in one character. Upper-cased, which
 * tickets do not mind: that mode of QR codes is the densest. */
void qr_print(const char *text);

#endif
