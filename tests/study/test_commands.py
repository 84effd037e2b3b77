"""The console script: from pictures to a study, from a study to tables."""

import contextlib
import dataclasses
import http.client
import importlib.resources
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_jax import human
from fer_jax.errors import DataError
from fer_jax.study import Settings, Store, commands, read_settings, robots, tables
from fer_jax.study.folder import token_of
from fer_jax.study.records import sha256
from fer_jax.study.settings import CHOICES, LANGUAGES, meaning
from fer_jax.study.wording import page_texts

from .conftest import LABELS, make, read, table


@pytest.fixture
def pictures(tmp_path):
    """A table of six pictures and one for practice, beside its files."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in (*table()["image"], "practice.png"):
        cv2.imwrite(str(folder / name), cv2.cvtColor(read(name), cv2.COLOR_RGB2BGR))
    rehearsed = pd.DataFrame([("practice.png", "happy", "sad")], columns=table().columns)
    listed = pd.concat([table().assign(practice=0), rehearsed.assign(practice=1)])
    listed.to_csv(folder / "images.csv", index=False)
    return folder / "images.csv"


def run(*arguments):
    return commands.main([str(argument) for argument in arguments])


def init(study, *more):
    return run("init", "--study_dir", study, "--image_px", 48, "--practice", 1, "--participants", 2, *more)


def test_from_a_table_of_pictures_to_the_tables_of_simulated_people(pictures, tmp_path, capsys):
    study, out = tmp_path / "study", tmp_path / "tables"
    assert init(study, "--images", pictures) == 0
    assert "k / side = 0.3125" in capsys.readouterr().err
    codes = pd.read_csv(study / "codes.csv", dtype=str)
    assert (
        codes["participant"].tolist() == ["P01", "P02"] and codes["code"].str.fullmatch("[0-9A-HJKMNP-TV-Z]{8}").all()
    )
    assert run("export", "--study_dir", study, "--out", out) == 2  # nobody yet
    assert run("simulate", "--study_dir", study, "--participants", 2) == 0
    assert run("export", "--study_dir", study, "--out", out, "--prefix", "seoul") == 0
    found = human.trials.read(out)
    assert found.participants["participant"].tolist() == ["seoul-S03", "seoul-S04"]
    assert found.participants["simulated"].all() and human.trials.simulated(found) == "all"
    assert len(found.trials) == 12 and set(found.trials["answered_with"]) == {"simulated"}
    assert found.trials["marks"].isna().all() and found.trials["image_sha256"].str.len().eq(64).all()
    assert run("status", "--study_dir", study) == 0
    told = capsys.readouterr().out
    assert "6/6" in told and "finished" in told and "new" in told
    assert run("withdraw", "--study_dir", study, "S03") == 0
    assert run("export", "--study_dir", study, "--out", tmp_path / "later") == 0
    assert human.trials.read(tmp_path / "later").participants["participant"].tolist() == ["S04"]


def test_simulated_people_leave_the_places_of_people_alone(pictures, tmp_path):
    study = tmp_path / "study"
    init(study, "--images", pictures, "--open_link")
    run("simulate", "--study_dir", study, "--participants", 1)
    with Store(study) as store:
        assert {store.take_place().result(), store.take_place().result()} == {"P01", "P02"}


@pytest.mark.parametrize("options", [3, 2])
def test_more_than_two_answers_are_the_same_study(tmp_path, options):
    settings = make(tmp_path / "study", num_options=options, images=table())
    with Store(tmp_path / "study") as store:
        for trial in store.plan(1):
            assert len(trial.options) == options
        shown = [trial.options for trial in store.plan(1)]
        truth = {name: one.true_label for name, one in store.stimuli().items()}
        assert all(truth[trial.image] in trial.options for trial in store.plan(1) if trial.block)
    if options == 3:
        assert len(set(shown)) == 1 and set(shown[0]) == set(LABELS)  # one order a person
    assert settings.num_options == options


FAULTS = [
    (("--images", "none.csv"), 3, "cannot be read"),
    (("--folders", "x", "--images", "y"), 1, "by --prepared, got --images and --folders"),
    ((), 1, "`--images`: wanted a table"),
    (("--images", "{images}", "--num_options", "9"), 1, "`num_options`: wanted 2..8, got 9"),
    (("--images", "{images}", "--num_options", "5", "--practice", "1"), 2, "at most the 3 labels"),
    (("--images", "{images}", "--completion_url", "http://x"), 1, "https://"),
    (("--images", "{images}", "--ask", "name"), 1, "`ask`: wanted one of age, gender, vision"),
    (("--images", "{images}", "--url_parameters", "a b"), 1, "`url_parameters`"),
    (("--images", "{images}", "--image_px", "9000"), 1, "`image_px`: wanted 32..2048, got 9000"),
]


@pytest.mark.parametrize(("flags", "code", "told"), FAULTS)
def test_a_bad_flag_is_one_line_and_leaves_nothing(pictures, tmp_path, capsys, flags, code, told):
    study = tmp_path / "study"
    flags = [flag.format(images=pictures) for flag in flags]
    assert run("init", "--study_dir", study, *flags) == code
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1 and "Traceback" not in err
    assert not study.exists()


def test_the_help_says_what_each_setting_means(capsys):
    with pytest.raises(SystemExit):
        run("init", "--help")
    told = " ".join(capsys.readouterr().out.split())
    for name, choices in CHOICES.items():
        assert all(f'"{one}"' in meaning(name) for one in choices), name
    for field in dataclasses.fields(Settings):
        assert len(meaning(field.name)) > len("Seed of.") and meaning(field.name)[:30] in told


def test_a_flag_that_there_is_not_is_one_line(capsys):
    with pytest.raises(SystemExit) as left:
        run("init", "--study_dir=x", "--options=3")
    err = capsys.readouterr().err
    assert left.value.code == 1 and "--options=3" in err and err.count("\n") == 1


def test_words_for_answers_beside_the_texts_are_shown_their_place(tmp_path):
    settings = make(tmp_path / "study")
    words = tmp_path / "study" / "texts" / "en.json"
    words.write_text('{"happy": "glad"}')
    with pytest.raises(DataError, match=re.escape('answers as {"labels": {"happy": "glad"}}')):
        page_texts(tmp_path / "study", settings, LABELS, trials=6)
    words.write_text('{"labels": {"happy": "glad"}}')
    assert page_texts(tmp_path / "study", settings, LABELS, trials=6)["labels"]["happy"] == "glad"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_consent_says_what_is_true_of_the_study(tmp_path, lang):
    def consent(trials, **choices):
        return page_texts(tmp_path, Settings(lang=lang, **choices), LABELS, trials=trials)["texts"]["consent"]

    words = json.loads((importlib.resources.files("fer_jax.study") / "page" / "texts" / f"{lang}.json").read_text())
    # 280 trials and 4 of practice at 10.5 s, and 3 minutes of reading: 52.7 minutes.
    assert "55" in consent(284) and "15" in consent(60, iti_ms=0) and "5" in consent(6)
    assert words["consent_breaks"] in consent(284) and words["consent_breaks"] not in consent(284, blocks=1)
    assert words["consent_asked"] not in consent(284) and words["consent_asked"] in consent(284, ask=("age",))
    assert "PROLIFIC_PID, SITE" in consent(284, url_parameters=("PROLIFIC_PID", "SITE"))
    assert all("{" not in consent(9, ask=ask, url_parameters=ask) for ask in ((), ("age",)))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "consent.txt").write_text("An hour. {Braces} stay.")
    assert consent(6, ask=("age",)) == "An hour. {Braces} stay."
    (tmp_path / "texts" / "consent.txt").write_text("{minutes} minutes.")
    assert consent(6) == "5 minutes."


def test_a_picture_that_is_none_is_named_and_nothing_is_left(pictures, tmp_path, capsys):
    (pictures.parent / "face 2.png").write_bytes(b"no picture")
    assert init(tmp_path / "study", "--images", pictures) == 2
    assert "face 2.png" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures"]


def test_a_table_saved_by_a_german_spreadsheet_is_read(pictures, tmp_path):
    text = pictures.read_text().replace(",", ";")
    pictures.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert init(tmp_path / "study", "--images", pictures) == 0


def test_class_folders_make_a_balanced_study(tmp_path, capsys):
    for label in ("genuine", "posed"):
        (tmp_path / "faces" / label).mkdir(parents=True)
        for number in range(4):
            cv2.imwrite(str(tmp_path / "faces" / label / f"{number}.png"), read(f"{label}{number}")[..., ::-1])
    assert init(tmp_path / "study", "--folders", tmp_path / "faces", "--per_ordered_pair", 3, "--blocks", 1) == 0
    with Store(tmp_path / "study") as store:
        stimuli = [one for one in store.stimuli().values() if not one.practice]
        assert sorted(one.true_label for one in stimuli) == ["genuine"] * 3 + ["posed"] * 3
        assert sum(one.practice for one in store.stimuli().values()) == 1


def test_practice_offers_the_true_answer_and_every_category_in_turn(pictures, tmp_path):
    truths = {"practice.png": "happy"} | {f"drawn practice {row}": label for row, label in enumerate(("happy", "sad"))}
    for label in LABELS:
        (tmp_path / "faces" / label).mkdir(parents=True)
        for number in range(5):
            name = f"{label}/{number}.png"
            truths[name] = label
            cv2.imwrite(str(tmp_path / "faces" / name), read(name)[..., ::-1])
    folders = ("--folders", tmp_path / "faces", "--per_ordered_pair", 1, "--practice", 3)
    assert init(tmp_path / "table", "--images", pictures) == init(tmp_path / "folders", *folders) == 0
    assert init(tmp_path / "three", *folders, "--num_options", 3) == 0
    commands._make_demonstration(tmp_path / "demo")
    for study, seen in (("table", 1), ("folders", 3), ("three", 3), ("demo", 2)):
        with Store(tmp_path / study) as store:
            shown = [one for one in store.stimuli().values() if one.practice]
        assert len({truths[one.image] for one in shown}) == len(shown) == seen
        assert all(truths[one.image] in one.options and one.true_label == "" for one in shown)


def test_folders_of_any_names_are_chosen_and_what_is_left_out_is_named(tmp_path, capsys):
    for label in ("Happy faces", "wütend", "notes"):
        (tmp_path / "faces" / label).mkdir(parents=True)
        for number in range(3):
            picture = cv2.imencode(".png", read(f"{label}{number}"))[1].tobytes()
            (tmp_path / "faces" / label / f"{number}.png").write_bytes(picture)
    (tmp_path / "faces" / "wütend" / "broken.png").write_bytes(picture[:200])
    (tmp_path / "faces" / "wütend" / "copy.png").write_bytes((tmp_path / "faces" / "wütend" / "0.png").read_bytes())
    folders = ("--folders", tmp_path / "faces", "--per_ordered_pair", 3, "--practice", 0)
    assert init(tmp_path / "study", *folders) == 2
    err = capsys.readouterr().err
    assert "`--folders`: the folder 'Happy faces'" in err and "--categories=Happy faces" in err
    assert init(tmp_path / "study", *folders, "--categories", "Happy faces,wütend") == 0
    told = capsys.readouterr().err
    assert "left out: wütend/broken.png: " in told
    assert "left out: wütend/copy.png: the same picture as wütend/0.png\n" in told
    assert f"'Happy faces' is none: write your question, consent and instructions into {tmp_path / 'study'}" in told
    with Store(tmp_path / "study") as store:
        assert {one.true_label for one in store.stimuli().values()} == {"Happy faces", "anger"}
    assert init(tmp_path / "mapped", *folders, "--class_map", "Happy faces:happy,notes:drop") == 0
    assert "write your question" not in capsys.readouterr().err
    with Store(tmp_path / "mapped") as store:
        assert {one.true_label for one in store.stimuli().values()} == {"happy", "anger"}
    assert init(tmp_path / "no", "--images", tmp_path / "images.csv", "--categories", "happy,sad") == 1
    assert "`--categories`: wanted class folders by --folders, got --images" in capsys.readouterr().err


def test_simulated_people_say_that_they_know_expressions_only(pictures, tmp_path, capsys):
    listed = pd.read_csv(pictures).replace({"happy": "genuine"})
    listed.to_csv(pictures, index=False)
    assert init(tmp_path / "study", "--images", pictures) == 0
    assert run("simulate", "--study_dir", tmp_path / "study", "--participants", 1) == 1
    err = capsys.readouterr().err
    assert "eight expressions only, this study has 'genuine'" in err and "--class_map=genuine:happy" in err


def test_a_rescue_file_is_taken_once(tmp_path, capsys):
    study = tmp_path / "study"
    make(study)
    event = {"seq": 1, "trial": None, "type": "consent", "t_ms": 1.0, "body": {"gender": "not asked for"}}
    file = tmp_path / "unsent-events.json"
    file.write_text(json.dumps({"token": token_of(study, "P01"), "events": [event]}))
    assert run("ingest", "--study_dir", study, file) == 0 == run("ingest", "--study_dir", study, file)
    assert "P01: 0 events added, 1 were there already" in capsys.readouterr().err
    with Store(study) as store:
        assert [kept["body"] for kept in store.events(1)] == [{}]
    file.write_text(json.dumps({"token": "guessed", "events": [event]}))
    assert run("ingest", "--study_dir", study, file) == 2
    file.write_text("{}")
    assert run("ingest", "--study_dir", study, file) == 2
    assert capsys.readouterr().err.count("\n") == 2


def served(study, root, *more):
    """A server in a process of its own; its port."""
    line = [sys.executable, "-m", "fer_jax.study.commands", "serve", f"--study_dir={study}", "--port=0", *more]
    process = subprocess.Popen(line, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = process.stdout.readline()
    assert "://127.0.0.1:" in address, process.stderr.read()
    return process, int(address.split("://127.0.0.1:")[1].split()[0])


def test_a_folder_that_is_not_there_becomes_a_demonstration(tmp_path, root, capsys):
    process, port = served(tmp_path / "demo", root)
    try:
        assert "Open link" in process.stdout.readline()
        assert run("serve", "--study_dir", tmp_path / "demo", "--port", 0) == 1
        assert "served by another process" in capsys.readouterr().err
        answer = robots.Client("127.0.0.1", port, "x")
        assert answer.ask("POST", "claim", {})[0] == 404
        answer.close()
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0 and "Traceback" not in err
    assert read_settings(tmp_path / "demo").pictures == "drawn"


def test_a_server_for_others_wants_encryption(tmp_path, capsys):
    make(tmp_path / "study")
    assert run("serve", "--study_dir", tmp_path / "study", "--host", "0.0.0.0") == 1
    assert "--behind_proxy" in capsys.readouterr().err


def asked(connection, path, origin):
    headers = {"Content-Type": "application/json", "Origin": origin}
    connection.request("POST", path, b"{}", headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_a_certificate_encrypts_and_only_the_encrypted_page_may_write(tmp_path, root, capsys):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    line = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    made = subprocess.run([*line.split(), "-keyout", key, "-out", certificate], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    study = tmp_path / "study"
    make(study)
    flags = [f"--certfile={certificate}", f"--keyfile={key}"]
    process, port = served(study, root, *flags)
    try:
        assert f"https://127.0.0.1:{port}/s/" in process.stdout.readline()
        trusting = ssl.create_default_context(cafile=certificate)
        path = f"/s/{token_of(study, 'P01')}/claim"
        with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", port, context=trusting)) as connection:
            assert asked(connection, path, f"https://127.0.0.1:{port}") == 200
            assert asked(connection, path, f"http://127.0.0.1:{port}") == 403
        clear = http.client.HTTPConnection("127.0.0.1", port)
        with contextlib.closing(clear), pytest.raises((http.client.HTTPException, OSError)):
            asked(clear, path, f"http://127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0 and "Traceback" not in err
    for wrong in (flags[1:], [flags[0], f"--keyfile={certificate}"], [f"--certfile={tmp_path / 'none'}", flags[1]]):
        assert run("serve", "--study_dir", study, *wrong) in (1, 3)
        err = capsys.readouterr().err
        assert "`--certfile`" in err and err.count("\n") == 1


@pytest.fixture
def sealed(tmp_path):
    """A study that nobody may write to, not even the superuser, who is somebody else meanwhile."""
    study = tmp_path / "study"
    make(study)
    base = tmp_path
    while base.stat().st_uid == os.geteuid() and base.parent != base:  # pytest keeps others out of its folders
        base.chmod(base.stat().st_mode | 0o055)
        base = base.parent
    for path in study.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    study.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield study
    os.seteuid(user)
    study.chmod(0o755)


def test_a_folder_that_cannot_be_written_is_one_line(sealed, capsys):
    for command in (["serve", "--port", 0], ["simulate"], ["status"], ["withdraw", "P01"]):
        assert run(command[0], "--study_dir", sealed, *command[1:]) == 3
        err = capsys.readouterr().err
        assert "`study_dir`" in err.replace("--study_dir", "study_dir") and err.count("\n") == 1


@pytest.mark.parametrize("during", [True, False])
def test_who_withdraws_during_or_after_a_run_is_nowhere_any_more(lab, tmp_path, capsys, during):
    lab = lab(participants=8, ask=("vision",))
    word = "a word nobody else has"
    epochs = {}
    for label in ("P07", "P08"):
        one = lab.client(label)
        epochs[label] = one.ask("POST", "claim", {})[1]["epoch"]
        body = {"vision": word if label == "P07" else "good"}
        consent = {"seq": 1, "trial": None, "type": "consent", "t_ms": 1.0, "body": body}
        plan = lab.store.plan(int(label[1:]))
        told = [consent] + [
            {"seq": seq, "trial": trial.trial, "type": "answer", "t_ms": 9.0, "body": {"response": trial.options[0]}}
            for seq, trial in enumerate(plan[:2] if during and label == "P07" else plan, 2)
        ]
        assert one.ask("PUT", "events", {"epoch": epochs[label], "events": told})[0] == 200
    assert run("withdraw", "--study_dir", lab.folder, "P07") == 0
    later = {"seq": 4 if during else 9, "trial": None, "type": "focus", "t_ms": 1.0, "body": {}}
    gone = (410, {"error": "withdrawn"})
    assert lab.client("P07").ask("PUT", "events", {"epoch": epochs["P07"], "events": [later]}) == gone
    assert lab.client("P07").ask("POST", "claim", {}) == gone
    assert lab.client("P08").ask("PUT", "events", {"epoch": epochs["P08"], "events": [later | {"seq": 9}]})[0] == 200
    out, copy = tmp_path / "tables", tmp_path / "copy.sqlite"
    assert run("export", "--study_dir", lab.folder, "--out", out) == 0
    assert run("backup", "--study_dir", lab.folder, "--out", copy) == 0
    written = [*lab.folder.iterdir(), copy, *out.rglob("*")]
    assert not [path for path in written if path.is_file() and word.encode() in path.read_bytes()]
    assert human.trials.read(out).participants["participant"].tolist() == ["P08"]
    assert run("status", "--study_dir", lab.folder) == 0
    assert "withdrew" in next(line for line in capsys.readouterr().out.splitlines() if line.split()[0] == "P07")
    unknown = "wanted one of this study, such as P01, got 'P99'"
    for label, told in (("P07", "P07 has withdrawn already"), ("P99", unknown)):
        assert run("withdraw", "--study_dir", lab.folder, label) == 2
        said = capsys.readouterr().err
        assert f"fer-study: `participant`: {told}" in said and said.count("\n") == 1


def test_a_server_killed_in_the_middle_loses_and_doubles_nothing(tmp_path, root):
    """Small; `-m slow` has fifty people and twenty kills."""
    _killed(tmp_path / "study", root, people=4, kills=3, rows=1)


@pytest.mark.slow
def test_fifty_people_and_twenty_kills_lose_and_double_nothing(tmp_path, root):
    _killed(tmp_path / "study", root, people=50, kills=20, rows=12)


def _killed(study, root, *, people, kills, rows):
    images = pd.concat(
        [table().assign(image=[f"{number} {name}" for name in table()["image"]]) for number in range(rows)]
    ).iloc[:70]
    make(study, participants=people, images=images.reset_index(drop=True))
    with Store(study) as store:
        plans = {person.label: store.plan(person.id) for person in store.participants()}
    rng = np.random.default_rng(0)
    process, port = served(study, root)
    acknowledged: dict[str, int] = {}
    wanted = 0
    threads = []
    for label, plan in plans.items():
        clicks = {
            trial.image: [(float(x), float(y), 100.0 * at) for at, (x, y) in enumerate(rng.random((5, 2)) * 48, 1)]
            for trial in plan
        }
        answers = {trial.image: (trial.options[0], 900.0) for trial in plan}
        client = Patient(lambda: port, token_of(study, label))
        images_of = {trial.stim_id: trial.image for trial in plan}
        wanted += 2 + sum(2 + (5 if trial.block else 1) for trial in plan) + 1

        def work(label=label, client=client, clicks=clicks, answers=answers, images_of=images_of):
            robots.take_part(
                client, clicks=clicks, answers=answers, images=images_of,
                acknowledged=lambda seq: acknowledged.__setitem__(label, seq),
            )  # fmt: skip
            client.close()

        threads.append(threading.Thread(target=work))
    for thread in threads:
        thread.start()
    for _ in range(kills):
        time.sleep(rng.uniform(0.1, 0.6))
        process.kill()
        process.communicate()
        before = dict(acknowledged)
        with Store(study) as store:
            for label, seq in before.items():
                kept = [event["seq"] for event in store.events(store.participant(sha256(token_of(study, label))).id)]
                assert kept == list(range(1, len(kept) + 1)) and len(kept) >= seq
        process, port = served(study, root)
    for thread in threads:
        thread.join(timeout=300)
        assert not thread.is_alive()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    with Store(study) as store:
        assert sum(len(store.events(person.id)) for person in store.participants()) == wanted
    with Store(study) as store:
        found = tables(store, read_settings(study))
    assert len(found.trials) == people * len(images) and len(found.clicks) == 5 * len(found.trials)


class Patient(robots.Client):
    """A client that finds the server again when it is started anew on another port."""

    def __init__(self, port, token):
        super().__init__("127.0.0.1", port(), token)
        self._port = port

    def ask(self, method, path, body=None):
        if self._address[1] != self._port():
            self.close()
            self._address = ("127.0.0.1", self._port())
        return super().ask(method, path, body)


def test_sharp_pictures_leave_a_study_under_the_names_of_its_tables(pictures, tmp_path):
    study, out = tmp_path / "study", tmp_path / "tables"
    init(study, "--images", pictures)
    run("simulate", "--study_dir", study, "--participants", 1)
    assert run("export", "--study_dir", study, "--out", out, "--with_stimuli") == 0
    trials = human.trials.read(out).trials
    found, hashes = human.clicks.read_stimuli(out / "images", trials["image"].tolist())
    assert found.shape == (6, 48, 48, 3) and hashes == trials["image_sha256"].tolist()
    assert not (out / "images" / "practice.png").exists()
