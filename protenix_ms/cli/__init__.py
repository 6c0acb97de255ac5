# SPDX-License-Identifier: Apache-2.0
"""The command line: arguments and checks first, MindSpore only when there is work for it."""
