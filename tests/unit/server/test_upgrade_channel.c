/* SPDX-License-Identifier: MIT
 * Messages and descriptors between two processes, and who is passed on to the one that is leaving.
 */
#include "../test.h"

#include "server/upgrade_channel.h"
#include "server/upgrade_stay.h"
#include "wire/reader.h"
#include <fcntl.h>
#include <unistd.h>

static const struct bk_addr client = {{.family = BK_IPV4, .bytes = {9, 8, 7, 6}}, 80};
static const struct bk_addr door = {{.family = BK_IPV4, .bytes = {1, 2, 3, 4}}, 3478};

enum { RECORDS = 600 };

static void many_records_make_few_messages(void **state) {
    static struct upgrade_message out, in;
    int ends[2], pipe_ends[2], fds = 0;
    unsigned records = 0, messages = 0;
    (void)state;
    assert_int_equal(upgrade_channel_new(ends), BK_OK);
    assert_int_equal(pipe(pipe_ends), 0);
    upgrade_channel_wait(ends[0], 1000000, 1000000);
    upgrade_channel_wait(ends[1], 1000000, 0);
    struct upgrade_out o = upgrade_out_start(ends[0], &out);
    const struct upgrade_record r = {.kind = UPGRADE_DOOR, .fds = 1, .door = UPGRADE_DOOR_UDP};
    o.worker = 5;
    for (int i = 0; i < RECORDS; i++)
        upgrade_out_put(&o, &r, &pipe_ends[1]);
    assert_int_equal(upgrade_out_end(&o), BK_OK);
    while (upgrade_channel_recv(ends[1], &in) == BK_OK) {
        struct wire_reader reader = wire_reader(in.bytes, in.len);
        messages++;
        while (wire_left(&reader) > 0) {
            struct upgrade_record got;
            assert_int_equal(upgrade_get(&reader, &got), BK_OK);
            assert_int_equal(got.worker, 5);
            records++;
            if (records % 2 == 0)
                continue; /* left to upgrade_message_drop() */
            int fd = upgrade_take_fd(&in);
            assert_true(fd > 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
            close(fd);
            fds++;
        }
        upgrade_message_drop(&in);
    }
    assert_int_equal(records, RECORDS);
    assert_int_equal(fds, RECORDS / 2);
    assert_in_range(messages, 3, 4);
    close(pipe_ends[1]);
    uint8_t byte;
    assert_int_equal(read(pipe_ends[0], &byte, 1), 0); /* every copy of it is closed */
    close(pipe_ends[0]);
    close(ends[0]);
    assert_int_equal(upgrade_channel_recv(ends[1], &in), BK_ERR_CLOSED);
    assert_int_equal(upgrade_channel_say(ends[1], &r, -1), BK_ERR_CLOSED);
    close(ends[1]);
}

static void who_stayed_is_passed_on(void **state) {
    static struct upgrade_message in;
    static const uint8_t data[] = {1, 2, 3, 4, 5};
    struct bk_datagram d = {.local = door, .remote = client, .data = data, .len = 5, .segment = 2};
    struct upgrade_stay *s;
    struct upgrade_record got;
    int ends[2];
    (void)state;
    assert_int_equal(upgrade_channel_new(ends), BK_OK);
    upgrade_channel_wait(ends[1], 0, 0);
    assert_int_equal(upgrade_stay_new(ends[0], 3, &s), BK_OK);
    assert_false(upgrade_stay_pass_on(s, &d));
    assert_int_equal(upgrade_stay_add(s, &client, &door), BK_OK);
    assert_int_equal(upgrade_stay_add(s, &client, &door), BK_OK); /* once */
    assert_true(upgrade_stay_pass_on(s, &d));
    for (size_t i = 0; i < 3; i++) { /* a train, one by one */
        assert_int_equal(upgrade_channel_recv(ends[1], &in), BK_OK);
        struct wire_reader r = wire_reader(in.bytes, in.len);
        assert_int_equal(upgrade_get(&r, &got), BK_OK);
        assert_int_equal(got.kind, UPGRADE_DATAGRAM);
        assert_int_equal(got.worker, 3);
        assert_true(bk_addr_equal(&got.remote, &client) && bk_addr_equal(&got.local, &door));
        assert_int_equal(got.len, i < 2 ? 2 : 1);
        assert_memory_equal(got.data, data + 2 * i, got.len);
    }
    assert_int_equal(upgrade_channel_recv(ends[1], &in), BK_ERR_TIMEOUT);
    d.remote.port++;
    assert_false(upgrade_stay_pass_on(s, &d));
    d.remote.port--;
    upgrade_stay_remove(s, &client, &door);
    upgrade_stay_remove(s, &client, &door);
    assert_false(upgrade_stay_pass_on(s, &d));
    assert_int_equal(upgrade_stay_add(s, &client, &door), BK_OK);
    upgrade_stay_end(s);
    assert_false(upgrade_stay_pass_on(s, &d));
    upgrade_stay_free(s);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_records_make_few_messages),
        cmocka_unit_test(who_stayed_is_passed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
