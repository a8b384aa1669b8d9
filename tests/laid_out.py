"""Datasets as the gate lays them out of a table that passes, in as many shards as asked for, without asking Great Expectations.

    lay_out("restarts_r1", params, 3)   → data/datasets/restarts_r1 with train-0000[0-2]-of-00003.parquet, and its audit

The writers are the product's: a table has a row group every so many rows, and a shard ends where a row group does.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from factory import storage
from factory.gate import release
from factory.gate.background import kind_of
from factory.gate.expectations import Audit, Finding
from factory.params import Params
from factory.tables import TABLES
from factory.whole import whole_folder, write_json


def lay_out(name: str, params: Params, parts: int = 1, findings: Sequence[Finding] = ()) -> Path:
    path, row_type = storage.TABLES / f"{name}.parquet", TABLES[kind_of(name)]
    rows = storage.read_rows(path, row_type)
    with mock.patch.object(storage, "GROUP_ROWS", -(-len(rows) // parts)), mock.patch.object(release, "SHARD", 1):
        storage.write_rows(path, row_type, rows)
        audit = Audit(name, kind_of(name), params.purpose, len(rows), True, "1.24.1", tuple(findings))
        write_json(storage.AUDITS / f"{name}.json", release.worded(audit, params, {}))
        with whole_folder(storage.DATASETS / name) as folder:
            release.write_dataset(folder, name, path, row_type, audit, params, {}, processes=1)
    assert len(storage.shards(storage.DATASETS / name)) == min(parts, len(rows)), json.dumps([name, len(rows)])
    return storage.DATASETS / name
