# SPDX-License-Identifier: Apache-2.0
"""Samples that guidance has lost leave the prediction; a seed without any fails."""

import numpy as np
import pytest

from protenix_ms.errors import NonFiniteError
from protenix_ms.guidance.guide import Account, Guide
from protenix_ms.guidance.lists import GeometryLists
from protenix_ms.guidance.settings import GuidanceSettings
from protenix_ms.model.protenix import _kept


def guide(**account) -> Guide:
    lists = GeometryLists({}, {}, np.zeros(4, np.int64), np.zeros(4, np.float32))
    return Guide(GuidanceSettings.read({}), lists, account=Account(**account))


def test_lost_samples_are_dropped_with_their_reason():
    energies = {i: {"total": float(i)} for i in (0, 2)}
    guided = guide(lost={1: "because"}, before=energies, after=energies)
    x = np.arange(3.0)[:, None, None] + np.zeros((3, 4, 3))
    x[1] = np.nan
    coordinates, kept, lost = _kept(x, guided)
    assert coordinates[:, 0, 0].tolist() == [0, 2]
    assert [k["before"]["total"] for k in kept] == [0, 2]
    assert lost == {1: "because"}
    with pytest.raises(NonFiniteError, match="every sample.*because"):
        _kept(x[[1]], guide(lost={0: "because"}))


def test_nothing_is_dropped_without_guidance():
    x = np.zeros((2, 4, 3))
    assert _kept(x, None) == (x, (), {})
