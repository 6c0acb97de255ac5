# SPDX-License-Identifier: Apache-2.0
"""Guidance equals recordings of upstream: potentials, guided steps, geometry lists."""

import guidance_replay as replay
import pytest


@pytest.fixture(scope="module")
def recording(golden):
    return replay.GuidedRecording.read(golden / "tfg" / "stereo")


def beyond(rows) -> list:
    rows = list(rows)
    assert rows
    return [row for row in rows if not row.ok]


def test_potentials(recording):
    assert not beyond(replay.compare_potentials(recording, replay.potentials(recording)))


def test_steps(recording):
    assert not beyond(replay.compare_steps(recording, replay.steps(recording)))


def test_geometry_lists(golden, recording):
    actual = replay.features(golden / "tfg" / "stereo")
    assert not beyond(replay.compare_features(recording.features, actual))
    for name, value in actual.items():
        assert value.dtype == recording.features[name].dtype, name
        assert value.shape == recording.features[name].shape, name
