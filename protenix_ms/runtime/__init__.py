# SPDX-License-Identifier: Apache-2.0
"""Where and how things run: device and dtype policy, tracing, random draws, chunking."""
