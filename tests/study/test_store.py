"""Plans and events: kept once, kept whole, kept through a full disk and through windows that fight for a study."""

import os
import sqlite3
import threading

import pytest

from fer_jax.errors import DataError, StorageError
from fer_jax.study.folder import code_of, token_of, typed_code
from fer_jax.study.records import Refused, sha256
from fer_jax.study.store import FILE, Store

from .conftest import make


def event(seq, trial=1, kind="click", **body):
    return {"seq": seq, "trial": trial, "type": kind, "t_ms": float(seq), "body": body}


@pytest.fixture
def store(tmp_path):
    make(tmp_path / "study")
    with Store(tmp_path / "study") as opened:
        yield opened


def test_what_is_acknowledged_is_there_once_and_in_order(store):
    epoch = store.claim(1).result()
    assert store.append(1, epoch, [event(1), event(2)]).result() == 2
    assert store.append(1, epoch, [event(2), event(3)]).result() == 3
    assert [row["seq"] for row in store.events(1)] == [1, 2, 3]
    with pytest.raises(Refused, match="seq_conflict"):
        store.append(1, epoch, [event(3, x=1)]).result()
    with pytest.raises(Refused, match="gap"):
        store.append(1, epoch, [event(5)]).result()
    assert store.high_seq(1) == 3


def test_a_batch_is_taken_whole_or_not_at_all(store):
    epoch = store.claim(1).result()
    store.append(1, epoch, [event(1)]).result()
    with pytest.raises(Refused, match="seq_conflict"):
        store.append(1, epoch, [event(1, x=2), event(2)]).result()
    assert store.high_seq(1) == 1


def test_the_newest_window_wins(store):
    older = store.claim(1).result()
    store.append(1, older, [event(1)]).result()
    newer = store.claim(1).result()
    with pytest.raises(Refused) as refused:
        store.append(1, older, [event(2)]).result()
    assert (refused.value.word, refused.value.status) == ("superseded", 409)
    assert store.append(1, newer, [event(2)]).result() == 2


def test_one_refused_job_leaves_those_committed_with_it(store):
    epoch = store.claim(1).result()
    gate = threading.Event()
    store._do(lambda _: gate.wait(5))  # what follows waits and is committed together
    futures = [
        store.append(1, epoch, [event(1)]),
        store.append(1, epoch, [event(9)]),
        store.append(1, epoch, [event(2)]),
    ]
    gate.set()
    assert futures[0].result() == 1 and futures[2].result() == 2
    with pytest.raises(Refused, match="gap"):
        futures[1].result()


def test_a_full_disk_loses_nothing_acknowledged_and_goes_on_after_repair(store):
    epoch = store.claim(1).result()
    store.append(1, epoch, [event(1)]).result()
    pages = store._do(lambda database: database.execute("PRAGMA page_count").fetchone()[0]).result()
    store._do(lambda database: database.execute(f"PRAGMA max_page_count = {pages}").fetchone()).result()
    long = [event(seq, value="x" * 400) for seq in range(2, 200)]
    with pytest.raises(StorageError, match="nothing acknowledged is lost"):
        store.append(1, epoch, long).result()
    assert store.high_seq(1) == 1
    store._do(lambda database: database.execute("PRAGMA max_page_count = 100000").fetchone()).result()
    assert store.append(1, epoch, long).result() == 199


def test_withdrawing_deletes_everything_and_leaves_a_tombstone(store, tmp_path):
    token = sha256(token_of(tmp_path / "study", "P01"))
    epoch = store.claim(1).result()
    store.append(1, epoch, [event(1, value="a word nobody else has")]).result()
    store.withdraw("P01").result()
    assert [person.label for person in store.participants()] == ["P02", "P03"]
    assert store.tombstones()[0][0] == "P01"
    assert store.events(1) == [] and store.plan(1) == []
    for ask in (lambda: store.participant(token), lambda: store.append(1, epoch, [event(2)]).result()):
        with pytest.raises(Refused) as refused:
            ask()
        assert refused.value.status == 410
    with pytest.raises(DataError, match="P01"):
        store.withdraw("P01").result()
    store.close()
    raw = (tmp_path / "study" / FILE).read_bytes()
    assert b"a word nobody else has" not in raw
    store.__init__(tmp_path / "study")


def test_nothing_of_who_withdrew_is_left_in_any_file_while_others_go_on(store, tmp_path):
    """Neither in pages that are free, nor in the log of changes, nor in a backup made later."""
    epochs = {number: store.claim(number).result() for number in (1, 2)}
    for seq in range(1, 30):
        for number, word in ((1, "a word nobody else has"), (2, "another's word")):
            store.append(number, epochs[number], [event(seq, value=word * 20)]).result()
    folder = tmp_path / "study"

    def found(word):
        return {path.name for path in folder.iterdir() if path.is_file() and word in path.read_bytes()}

    assert f"{FILE}-wal" in found(b"a word nobody else has")
    stims = [trial.stim_id.encode() for trial in store.plan(1)]
    store.withdraw("P01").result()
    assert found(b"a word nobody else has") == set()
    assert not any(found(stim) for stim in stims)
    store.backup(tmp_path / "later.sqlite")
    assert b"a word nobody else has" not in (tmp_path / "later.sqlite").read_bytes()
    assert found(b"another's word")
    assert store.append(2, epochs[2], [event(30)]).result() == 30


def test_what_a_reader_holds_back_is_deleted_by_the_next_commit(store, tmp_path, monkeypatch):
    epoch = store.claim(1).result()
    store.append(1, epoch, [event(1, value="a word nobody else has")]).result()
    store._do(lambda database: database.execute("PRAGMA busy_timeout = 50").fetchone()).result()
    other = sqlite3.connect(tmp_path / "study" / FILE, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM event").fetchone()
    store.withdraw("P01").result()
    log = tmp_path / "study" / f"{FILE}-wal"
    assert b"a word nobody else has" in log.read_bytes()
    other.close()
    store.claim(2).result()
    assert b"a word nobody else has" not in log.read_bytes()


def test_a_rescue_file_adds_what_is_missing_and_loses_neither_of_two(store):
    epoch = store.claim(1).result()
    store.append(1, epoch, [event(1), event(2)]).result()
    rescued = [event(2), event(3)]
    assert store.ingest("P01", rescued).result() == (1, 1)
    assert store.ingest("P01", rescued).result() == (0, 2)
    assert store.ingest("P01", [event(3, x=1)]).result() == (1, 0)
    assert store.ingest("P01", [event(3, x=1)]).result() == (0, 1)
    kept = store.events(1)
    assert [row["type"] for row in kept] == ["click", "click", "click", "rescued"]
    assert kept[-1]["body"]["body"] == '{"x": 1}'


def test_people_by_the_open_link_get_a_place_each(store):
    assert sorted(store.take_place().result() for _ in range(3)) == ["P01", "P02", "P03"]
    with pytest.raises(Refused, match="full"):
        store.take_place().result()


def test_only_hashes_of_codes_and_links_are_stored(store, tmp_path):
    folder = tmp_path / "study"
    code, token = code_of(folder, "P02"), token_of(folder, "P02")
    assert store.label_of_code(sha256(typed_code(f" {code[:4].lower()}-{code[4:]} "))) == "P02"
    assert store.participant(sha256(token)).label == "P02"
    raw = (folder / FILE).read_bytes()
    assert code.encode() not in raw and token.encode() not in raw
    assert (folder / FILE).stat().st_mode & 0o077 == 0
    assert (folder / "codes.csv").stat().st_mode & 0o077 == 0


def test_a_backup_is_a_whole_database(store, tmp_path):
    epoch = store.claim(1).result()
    store.append(1, epoch, [event(1)]).result()
    store.backup(tmp_path / "copy.sqlite")
    copy = sqlite3.connect(tmp_path / "copy.sqlite")
    assert copy.execute("SELECT count(*) FROM event").fetchone() == (1,)
    copy.close()
    with pytest.raises(StorageError, match="is there already"):
        store.backup(tmp_path / "copy.sqlite")


def test_a_study_is_opened_only_where_there_is_one(tmp_path):
    with pytest.raises(StorageError, match="there is none"):
        Store(tmp_path)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the system does not list a process's files")
def test_a_file_that_is_no_database_is_refused_and_left_closed(tmp_path):
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(StorageError, match="cannot be opened: file is not a database") as refused:
        Store(tmp_path)
    opened = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    assert refused and str(tmp_path / FILE) not in opened
