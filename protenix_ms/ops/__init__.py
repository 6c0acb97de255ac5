# SPDX-License-Identifier: Apache-2.0
"""Operators that MindSpore lacks or runs slowly; the only place that knows of kernels."""
