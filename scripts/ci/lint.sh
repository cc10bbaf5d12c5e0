#!/bin/sh
# SPDX-License-Identifier: MIT
# make lint.
. "$(dirname "$0")/../lib.sh"

make lint
