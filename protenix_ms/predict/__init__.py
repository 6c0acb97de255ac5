# SPDX-License-Identifier: Apache-2.0
"""Prediction: from jobs to structures and confidences on disk."""
