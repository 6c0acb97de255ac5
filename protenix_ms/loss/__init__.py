# SPDX-License-Identifier: Apache-2.0
"""Losses (AF3 SI sections 3.7.1, 4.2-4.4). Labels are numpy."""
