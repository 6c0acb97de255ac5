# SPDX-License-Identifier: Apache-2.0
"""The index of chains and interfaces, and its sampling weights, beside upstream's."""

import numpy as np
import pytest

from protenix_ms.data.index import COLUMNS, TO_CLUSTER, RowFilter, entry_rows, row_weights

ENTRIES = ("102m", "1igy", "1k6p", "2lwu", "4gxy", "5ugo", "5zyh", "7zzx")
NO_CLUSTER_FILE = "NotInClusterTxt"  # upstream, for a protein that its file does not list


def as_upstream(row):
    """Write a line of ours with upstream's word for clusters that are not known."""
    names = {
        key: NO_CLUSTER_FILE if row[key].startswith(TO_CLUSTER) else row[key]
        for key in ("cluster_1_id", "cluster_2_id")
    }
    pair = list(names.values())[: 1 + (row["type"] == "interface")]
    return row | names | {"cluster_id": ":".join(sorted(pair))}


@pytest.mark.parametrize("name", ENTRIES)
def test_lines(name, both):
    entry, _, lines = both(name)
    ours = [as_upstream(row) for row in entry_rows(entry)]
    assert len(ours) == len(lines) > 0
    for mine, theirs in zip(ours, lines):
        for column in COLUMNS:
            if column == "resolution":
                assert float(mine[column]) == theirs[column]
            else:
                assert mine[column] == str(theirs[column]), (column, mine)


def test_weights(both):
    import pandas as pd
    from protenix.data.pipeline.dataset import calc_weights_for_df

    rows = [as_upstream(row) for name in ENTRIES for row in entry_rows(both(name)[0])]
    rows = [row for row in rows if RowFilter().keeps(row)]
    frame = calc_weights_for_df(
        pd.DataFrame(rows), {"chain": 0.5, "interface": 1}, {"prot": 3, "nuc": 3, "ligand": 1}
    )
    assert len(rows) > 40 and len(set(frame["weights"])) > 5
    np.testing.assert_allclose(row_weights(rows), frame["weights"], rtol=1e-12)
