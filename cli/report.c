/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/report.h"

#include "net/loop.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

void report_init(struct report *r, const char *command, bool json, struct bk_time now) {
    *r = (struct report){.json = json, .command = command, .start = now};
    r->status = !json && isatty(STDERR_FILENO);
}

static void clear_line(struct report *r) {
    if (r->line_shown)
        fputs("\r\033[K", stderr);
    r->line_shown = false;
}

static size_t terminal_columns(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col;
}

size_t report_cut(const char *text, size_t columns) {
    size_t at = 0;
    for (; text[at] != '\0'; at++) {
        bool begins = ((unsigned char)text[at] & 0xc0) != 0x80; /* UTF-8: not a later byte */
        if (begins && columns-- == 0)
            break;
    }
    return at;
}

/* A line that wraps could not be taken back, so it is cut to the terminal. */
void report_status(struct report *r, const char *format, ...) {
    char text[512];
    if (!r->status)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    clear_line(r);
    fprintf(stderr, "%.*s", (int)report_cut(text, terminal_columns() - 1), text);
    fflush(stderr);
    r->line_shown = true;
}

void report_note(struct report *r, const char *format, ...) {
    if (!r->status)
        return;
    va_list args;
    va_start(args, format);
    clear_line(r);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

void report_error(struct report *r, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    clear_line(r);
    if (r->json) {
        cJSON *event = report_event(r, "error", net_clock());
        cJSON_AddStringToObject(event, "text", text);
        report_send(r, event);
        return;
    }
    fprintf(stderr, "bodkin %s: %s\n", r->command, text);
}

void report_end(struct report *r) {
    clear_line(r);
    fflush(stderr);
}

struct cJSON *report_event(struct report *r, const char *name, struct bk_time now) {
    if (!r->json)
        return NULL;
    cJSON *event = cJSON_CreateObject();
    cJSON_AddStringToObject(event, "event", name);
    int64_t tenths = (bk_elapsed_us(r->start, now) + 50) / 100;
    cJSON_AddNumberToObject(event, "after_ms", (double)tenths / 10);
    return event;
}

void report_send(struct report *r, struct cJSON *event) {
    (void)r;
    if (event == NULL)
        return;
    char *text = cJSON_PrintUnformatted(event);
    if (text != NULL)
        fprintf(stderr, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(event);
}

char *report_bytes(uint64_t bytes, char *out) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.5 && unit < 4) {
        value /= 1000;
        unit++;
    }
    snprintf(out, 24, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}
