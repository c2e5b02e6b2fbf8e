"""Files of the REFER family: instances.json, and refs(...).p, which is a pickle.

A pickle can run any program. This one is lists, dictionaries, texts and numbers, so the reader allows nothing else: a
file that names a function or class is refused before anything of it runs.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NoReturn

from lisa_ros.datasets.example import DatasetError
from lisa_ros.datasets.files import read_json

SPLIT_BY = {"refcoco": "unc", "refcoco+": "unc", "refcocog": "umd", "refclef": "unc", "grefcoco": "unc"}
"""Data set -> whose division into train, val and test LISA uses."""


def read_refs(folder: Path, name: str) -> list[dict[str, Any]]:
    """The references of a data set.

    Raises:
        DatasetError: the file is missing, damaged, or holds more than plain values.
    """
    stem = f"{'grefs' if name == 'grefcoco' else 'refs'}({SPLIT_BY[name]})"
    if name == "grefcoco" and not (folder / f"{stem}.p").is_file():
        refs: Any = read_json(folder / f"{stem}.json")
        where = folder / f"{stem}.json"
    else:
        where = folder / f"{stem}.p"
        refs = _read_pickle(where)
    if not isinstance(refs, list) or not all(isinstance(ref, dict) for ref in refs):
        raise DatasetError(f"{where}: expected a list of references; copy the file again")
    return refs


class _PlainValues(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}, which has no business there")


def _read_pickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _PlainValues(file, encoding="latin1").load()  # written by Python 2
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing: copy it there, see docs/training.md") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DatasetError(f"{path}: refused, {error}; it must hold plain values only, copy the file again") from error
