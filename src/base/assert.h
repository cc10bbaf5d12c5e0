/* SPDX-License-Identifier: MIT
 * bk_assert() states what our own code guarantees. It is on in every build: a broken invariant in a
 * program that faces the network must stop, not go on. Fuzzing is there to show that no input
 * reaches one. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#define bk_assert(condition) ((condition) ? (void)0 : __builtin_trap())

#endif
