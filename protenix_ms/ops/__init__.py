# SPDX-License-Identifier: Apache-2.0
"""What MindSpore lacks or does slowly on a device; the only floor with CPU/Ascend branches."""
