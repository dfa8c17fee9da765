// SPDX-License-Identifier: MIT
// The shared library consists of the rooms; CMake wants one source of its own.
