"""What a server says to a page, and what it refuses."""

import collections
import contextlib
import http.client
import json
import logging
import random
import re
import socket
import threading
import time
import urllib.parse

import pandas as pd
import pytest

from fer_jax.study import listening, make_app, robots, server
from fer_jax.study.folder import add_participant, code_of, end_code_of, token_of
from fer_jax.study.projection import tables

from .conftest import table


def raw(lab, method, path, body=None, headers=()):
    """Status, headers and content of any request."""
    connection = http.client.HTTPConnection("127.0.0.1", lab.port, timeout=30)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in ({"Host": f"127.0.0.1:{lab.port}"} | dict(headers)).items():
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


JSON = {"Content-Type": "application/json"}


def test_a_run_goes_from_practice_to_the_end_code(lab):
    lab = lab()
    one = lab.client()
    _, standing = one.ask("POST", "claim", {})
    assert standing["blocks"] == [[0, 1], [1, 3], [2, 3]] and standing["trial"] == -1
    assert one.ask("GET", "block/1")[0] == 404  # not reached yet
    plan = lab.store.plan(1)
    answers = {trial.image: (trial.options[1], 900.0) for trial in plan}
    clicks = {trial.image: [(3.5, 4.5, 500.0), (20.0, 30.0, 800.0)] for trial in plan}
    assert one.ask("POST", "finish", {})[0] == 409
    robots.take_part(one, clicks=clicks, answers=answers, images={trial.stim_id: trial.image for trial in plan})
    assert one.ask("POST", "finish", {})[1]["end_code"] == end_code_of(lab.folder, "P01")
    found = tables(lab.store, lab.settings)
    assert len(found.trials) == 6 and len(found.clicks) == 12
    assert found.trials["rt_decision_ms"].tolist() == [400.0] * 6
    assert found.participants["n_trials"].tolist() == [6]


def test_pages_come_with_their_headers_and_fetch_nothing_from_outside(lab):
    lab = lab()
    for path in ("/", f"/s/{token_of(lab.folder, 'P01')}", "/page/main.js", "/texts", "/no/such"):
        _, headers, content = raw(lab, "GET", path)
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
        assert "server" not in headers
        assert not re.search(rb"https?://(?!127)", content)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2]"])
def test_another_name_for_this_machine_is_refused(lab, host):
    assert raw(lab(), "GET", "/", headers={"Host": host})[0] == 421


def test_a_page_of_another_site_cannot_write(lab):
    lab = lab()
    path = f"/s/{token_of(lab.folder, 'P01')}/claim"
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{lab.port + 1}"):
        assert raw(lab, "POST", path, b"{}", {**JSON, "Origin": origin})[0] == 403
    assert raw(lab, "POST", path, b"{}", {**JSON, "Origin": f"http://127.0.0.1:{lab.port}"})[0] == 200


def test_guessed_links_foreign_pictures_and_later_blocks_look_alike(lab):
    lab = lab()
    mine, theirs = lab.store.plan(1)[0].stim_id, lab.store.plan(2)[0].stim_id
    one = lab.client()
    assert one.ask("GET", f"stim/{mine}/sharp.png")[0] == 200
    paths = (
        f"stim/{theirs}/sharp.png",
        f"stim/{mine}/truth.png",
        "stim/none/sharp.png",
        "block/9",
        "block/2",
        "nothing",
    )
    for path in paths:
        assert one.ask("GET", path) == (404, {"error": "unknown"}), path
    assert lab.client(token="a" * 26).ask("POST", "claim", {}) == (404, {"error": "unknown"})


def test_codes_are_tried_thirty_times_a_minute(lab):
    lab = lab()
    code = code_of(lab.folder, "P02").lower()
    body = json.dumps({"code": f"{code[:4]} {code[4:]}"}).encode()
    status, _, content = raw(lab, "POST", "/enter", body, JSON)
    assert status == 200 and json.loads(content) == {"token": token_of(lab.folder, "P02")}
    found = [raw(lab, "POST", "/enter", b'{"code": "AAAA"}', JSON)[0] for _ in range(31)]
    assert found[:29] == [404] * 29 and found[29:] == [429, 429]
    assert raw(lab, "POST", "/join", b"{}", JSON)[0] == 404  # this study has no open link


def test_nothing_that_is_sent_tells_the_truth(lab):
    """Neither labels beside the options, nor names of files, nor the side on which the truth stands."""
    lab = lab(participants=40)
    sides = []
    truth = {name: one.true_label for name, one in lab.store.stimuli().items()}
    for number in range(1, 41):
        one = lab.client(f"P{number:02d}")
        plan = lab.store.plan(number)
        _, headers, content = raw(lab, "POST", f"/s/{token_of(lab.folder, f'P{number:02d}')}/claim", b"{}", JSON)
        listed = one.ask("GET", "block/0")
        sent = content.decode() + str(headers) + json.dumps(listed)
        for word in ("true", "face ", ".png", "practice.png", "correct"):
            assert word not in re.sub(r'"texts":.*?"labels"|"\w+":\s?true', "", sent), word
        sides += [trial.options[0] == truth[trial.image] for trial in plan if trial.block > 0]
        halves = [[s for s, t in zip(sides[-6:], plan[1:], strict=True) if t.block == block] for block in (1, 2)]
        assert all(len(half) // 2 <= sum(half) <= (len(half) + 1) // 2 for half in halves)
    assert 0.35 < sum(sides) / len(sides) < 0.65


BAD = [
    (b"", {"Content-Type": "text/plain"}, 415),
    (b"{", JSON, 422),
    (b"[" * 60_000, JSON, 422),
    (b'{"epoch": NaN, "events": []}', JSON, 422),
    (b'{"epoch": 1, "events": [], "more": 1}', JSON, 422),
    (b'{"epoch": 99999999999999999999999, "events": []}', JSON, 422),
    (b'{"epoch": 1, "events": []}', JSON, 422),
    (b'{"epoch": true, "events": [1]}', JSON, 422),
    (b'"' + b"x" * 70_000 + b'"', JSON, 413),
    (b"\xff\xfe", JSON, 422),
    (b'{"epoch": 1, "events": ["\\ud800"]}', JSON, 422),
]


@pytest.mark.parametrize(("body", "headers", "status"), BAD)
def test_a_body_that_is_no_request_of_ours_is_refused(lab, body, headers, status):
    lab = lab()
    found = raw(lab, "PUT", f"/s/{token_of(lab.folder, 'P01')}/events", body, headers)
    assert found[0] == status and "error" in json.loads(found[2])


def good(**changes):
    return {"seq": 1, "trial": None, "type": "focus", "t_ms": 1.0, "body": {}} | changes


CLICK = {"x": 1.0, "y": 1.0, "inside": True, "pointer": "mouse"}
BAD_EVENTS = [
    good(seq=0), good(seq=1.5), good(seq=True), good(seq=10**7), good(seq="1"), good(trial=77), good(trial="1"),
    good(type="rescued"), good(type="evil"), good(type=["focus"]), good(t_ms="1"), good(t_ms=1e300), good(body=[]),
    good(body={"x": 1}), good(type="click", trial=None, body=CLICK), good(type="click", trial=1),
    good(type="click", trial=1, body=CLICK | {"x": "1"}), good(type="click", trial=1, body=CLICK | {"pointer": "eye"}),
    good(type="answer", trial=1, body={"response": "the truth"}), good(type="answer", trial=1, body={}),
    good(type="consent", body={"gender": "x" * 501}), good(type="consent", body={"gender": "a\0b"}),
    {**good(), "more": 1}, {"seq": 1}, 7, None, [],
]  # fmt: skip


def test_an_event_outside_the_vocabulary_is_refused_and_nothing_of_its_batch_is_kept(lab):
    lab = lab()
    one = lab.client()
    epoch = one.ask("POST", "claim", {})[1]["epoch"]
    for bad in BAD_EVENTS:
        later = {**bad, "seq": 2} if isinstance(bad, dict) and repr(bad.get("seq")) == "1" else bad
        status, answer = one.ask("PUT", "events", {"epoch": epoch, "events": [good(), later]})
        assert status == 422, (bad, answer)
    assert lab.store.high_seq(1) == 0
    assert one.ask("PUT", "events", {"epoch": epoch, "events": [good()]}) == (200, {"high_seq": 1})


def test_no_generated_request_makes_a_fault_of_ours(lab):
    """Twelve hundred requests from parts of good and bad ones; the long run of ten thousand is `-m slow`."""
    _hammer(lab(), 1_200)


@pytest.mark.slow
def test_ten_thousand_generated_requests_make_no_fault_of_ours(lab):
    _hammer(lab(), 10_000)


def _hammer(lab, count):
    rng = random.Random(0)
    token = token_of(lab.folder, "P01")
    parts = ["s", token, "claim", "events", "block", "stim", "page", "..", "%2e%2e", "%00", "main.js", "0", "-1", "1e9",
             "études", "sharp.png", "finish", "enter", "join", "texts", "codes.csv", "study.sqlite", "~",
             "a" * 300]  # fmt: skip
    values = [
        None,
        True,
        -1,
        0,
        1.5,
        2**53,
        "",
        "x",
        "<script>",
        "=1+1",
        [],
        {},
        [[]],
        {"code": "x"},
        {"epoch": 1},
        1e308,
    ]
    connection = http.client.HTTPConnection("127.0.0.1", lab.port, timeout=30)
    lab.clients.append(connection)
    for _ in range(count):
        path = "/" + "/".join(rng.choice(parts) for _ in range(rng.randint(0, 5)))
        body = json.dumps({rng.choice(["epoch", "events", "code", "delete"]): rng.choice(values) for _ in range(2)})
        if rng.random() < 0.3:
            event = good(**{rng.choice(["seq", "trial", "type", "t_ms", "body"]): rng.choice(values)})
            path, body = f"/s/{token}/events", json.dumps({"epoch": rng.choice([0, 1, 2]), "events": [event]})
        if rng.random() < 0.1:
            body = body[: rng.randint(0, len(body))]
        method = rng.choice(["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
        kind = rng.choice(["application/json", "text/html", ""])
        connection.request(method, urllib.parse.quote(path, safe="/%~"), body.encode(), {"Content-Type": kind})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status < 500, (method, path, body, content)
        assert b"Traceback" not in content and b"secret" not in content


TRAVERSALS = ["/page/../study.sqlite", "/page/..%2fcodes.csv", "/page/%2e%2e/secret", "/page/....//secret",
              "/page/texts/en.json", "/page//etc/passwd", "/page/index.html%00.js", "/../codes.csv",
              "/codes.csv"]  # fmt: skip


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_leads_out_of_the_page(lab, path):
    status, _, content = raw(lab(), "GET", path)
    assert status in (400, 404, 405) and b"participant" not in content


def test_a_full_disk_is_told_and_nothing_is_acknowledged(lab):
    lab = lab(ask=("gender",))
    one = lab.client()
    epoch = one.ask("POST", "claim", {})[1]["epoch"]
    pages = lab.store._do(lambda database: database.execute("PRAGMA page_count").fetchone()[0]).result()
    lab.store._do(lambda database: database.execute(f"PRAGMA max_page_count = {pages}").fetchone()).result()
    told = [good(seq=seq, type="consent", body={"gender": "x" * 400}) for seq in range(1, 100)]
    assert one.ask("PUT", "events", {"epoch": epoch, "events": told}) == (507, {"error": "disk"})
    lab.store._do(lambda database: database.execute("PRAGMA max_page_count = 100000").fetchone()).result()
    assert one.ask("PUT", "events", {"epoch": epoch, "events": told})[1] == {"high_seq": 99}


def test_a_run_left_for_too_long_is_closed_and_its_data_are_kept(lab):
    lab = lab(resume_hours=1.0)
    one = lab.client()
    epoch = one.ask("POST", "claim", {})[1]["epoch"]
    trial = lab.store.plan(1)[-1]
    answer = good(seq=2, trial=trial.trial, type="answer", body={"response": trial.options[0]})
    one.ask("PUT", "events", {"epoch": epoch, "events": [good(type="consent"), answer]})
    old = "2020-01-01T00:00:00.000Z"
    lab.store._do(lambda database: database.execute("UPDATE participant SET last_seen = ?", (old,))).result()
    assert one.ask("POST", "claim", {}) == (410, {"error": "resumed too late"})
    found = tables(lab.store, lab.settings)
    person = found.participants.iloc[0]
    assert person["excluded"] and person["exclusion_reason"] == "resumed too late"
    assert found.trials["image"].tolist() == [trial.image]


def test_people_by_the_open_link_take_different_plans(lab):
    lab = lab(open_link=True)
    found = [json.loads(raw(lab, "POST", "/join", b"{}", JSON)[2])["token"] for _ in range(3)]
    assert sorted(found) == sorted(token_of(lab.folder, label) for label in ("P01", "P02", "P03"))
    assert raw(lab, "POST", "/join", b"{}", JSON)[0] == 410


def test_a_participant_can_have_everything_deleted(lab):
    lab = lab()
    one = lab.client()
    assert one.ask("POST", "withdraw", {})[0] == 422
    assert one.ask("POST", "withdraw", {"delete": True})[0] == 200
    assert one.ask("POST", "claim", {}) == (410, {"error": "withdrawn"})
    assert lab.store.tombstones()[0][0] == "P01"


def test_twenty_four_people_who_start_in_the_same_second_take_different_plans(lab):
    """Simulated people were there before, and hold no place of a person."""
    images = pd.concat([table().assign(image=[f"{row} {name}" for name in table()["image"]]) for row in range(2)])
    lab = lab(open_link=True, participants=24, images=images.reset_index(drop=True))
    shown = images.assign(options=images["true_label"] + "|" + images["false_label"]).reset_index(drop=True)
    for number in range(24, 27):
        add_participant(
            lab.folder, lab.store, f"S{number + 1}", number,
            study=shown, practice=shown.iloc[:0], settings=lab.settings, simulated=True,
        )  # fmt: skip
    together = threading.Barrier(24)
    tokens = []

    def start():
        together.wait(30)
        tokens.append(json.loads(raw(lab, "POST", "/join", b"{}", JSON)[2])["token"])

    threads = [threading.Thread(target=start) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(tokens) == sorted(token_of(lab.folder, f"P{number:02d}") for number in range(1, 25))
    truth = {name: one.true_label for name, one in lab.store.stimuli().items()}
    plans = [[trial for trial in lab.store.plan(number) if trial.block] for number in range(1, 25)]
    assert len({tuple((trial.image, trial.options) for trial in plan) for plan in plans}) == 24
    for plan in plans:
        left = collections.Counter(trial.block for trial in plan if trial.options[0] == truth[trial.image])
        assert left == {1: 3, 2: 3}


def test_a_clock_that_goes_back_changes_no_order(lab, monkeypatch):
    lab = lab()
    one = lab.client()
    epoch = one.ask("POST", "claim", {})[1]["epoch"]
    clock = iter(["2024-05-01T12:00:00.000Z", "2024-05-01T11:00:00.000Z"])
    monkeypatch.setattr("fer_jax.study.store.now", lambda: next(clock))
    for seq, kind in ((1, "consent"), (2, "focus")):
        one.ask("PUT", "events", {"epoch": epoch, "events": [good(seq=seq, type=kind)]})
    kept = [(event["seq"], event["received_utc"][11:13]) for event in lab.store.events(1)]
    assert kept == [(1, "12"), (2, "11")]
    assert tables(lab.store, lab.settings).events["type"].tolist() == ["consent", "focus"]


def test_only_what_the_study_names_is_stored(lab):
    lab = lab(ask=("age",), url_parameters=("PROLIFIC_PID",))
    one = lab.client()
    epoch = one.ask("POST", "claim", {})[1]["epoch"]
    told = [
        good(type="consent", body={"version": "en", "age": "30", "gender": "a secret"}),
        good(seq=2, type="url", body={"name": "PROLIFIC_PID", "value": "5f3c"}),
        good(seq=3, type="url", body={"name": "utm_source", "value": "a secret"}),
        good(seq=4, type="url", body={"value": "a secret"}),
    ]
    for _ in range(2):  # the second time as a page that has lost the answer
        assert one.ask("PUT", "events", {"epoch": epoch, "events": told}) == (200, {"high_seq": 4})
    kept = [event["body"] for event in lab.store.events(1)]
    assert kept == [{"version": "en", "age": "30"}, {"name": "PROLIFIC_PID", "value": "5f3c"}, {}, {}]
    assert "a secret" not in tables(lab.store, lab.settings).events.to_csv()


def test_the_way_back_to_a_panel_is_given_once_everything_is_on_disk(lab):
    lab = lab(completion_url="https://panel.example/back?code={code}")
    one = lab.client()
    epoch = one.ask("POST", "claim", {})[1]["epoch"]
    told = [
        good(seq=seq, trial=trial.trial, type="answer", body={"response": trial.options[0]})
        for seq, trial in enumerate(lab.store.plan(1), 1)
    ]
    told.append(good(seq=len(told) + 1, type="finish"))
    refused = (409, {"error": "unfinished"})
    for event in told:
        assert one.ask("POST", "finish", {}) == refused
        assert one.ask("PUT", "events", {"epoch": epoch, "events": [event]})[0] == 200
    code = end_code_of(lab.folder, "P01")
    wanted = {"end_code": code, "completion_url": f"https://panel.example/back?code={code}"}
    assert one.ask("POST", "finish", {}) == (200, wanted)
    assert one.ask("PUT", "events", {"epoch": epoch, "events": [good(seq=99)]}) == (409, {"error": "gap"})


def test_a_folder_that_is_deleted_while_it_is_served_acknowledges_nothing(lab):
    lab = lab()
    one = lab.client()
    epoch = one.ask("POST", "claim", {})[1]["epoch"]
    stim = lab.store.plan(1)[0].stim_id
    away = lab.folder.rename(lab.folder.with_name("away"))
    for ask in (
        lambda: one.ask("PUT", "events", {"epoch": epoch, "events": [good()]}),
        lambda: one.ask("POST", "claim", {}),
        lambda: one.ask("GET", f"stim/{stim}/sharp.png"),
    ):
        assert ask() == (507, {"error": "disk"})
    away.rename(lab.folder)
    epoch = one.ask("POST", "claim", {})[1]["epoch"]
    assert one.ask("PUT", "events", {"epoch": epoch, "events": [good()]}) == (200, {"high_seq": 1})


def test_a_database_that_cannot_be_written_acknowledges_nothing(lab):
    lab = lab()
    one = lab.client()
    epoch = one.ask("POST", "claim", {})[1]["epoch"]
    lab.store._do(lambda database: database.execute("PRAGMA query_only = ON")).result()
    assert one.ask("PUT", "events", {"epoch": epoch, "events": [good()]}) == (507, {"error": "disk"})
    lab.serving.__exit__(None, None, None)
    lab.store.close()
    lab.start()  # mended
    assert lab.client().ask("PUT", "events", {"epoch": epoch, "events": [good()]}) == (200, {"high_seq": 1})


PROXY = {"Host": "127.0.0.1:8000", "X-Forwarded-Host": "faces.example.org"}


def test_behind_a_proxy_the_name_that_the_browser_called_counts(lab):
    """As nginx passes requests on by default, with the browser's name beside."""
    lab = lab()
    hosts = ("127.0.0.1", "faces.example.org")
    path = f"/s/{token_of(lab.folder, 'P01')}/claim"
    ours, theirs = {"Origin": "https://faces.example.org"}, {"Origin": "https://evil.example"}
    given = {"Host": "faces.example.org"}
    calls = [
        (PROXY | ours, 200),
        (given | ours, 200),
        (PROXY | theirs, 403),
        (PROXY | {"Origin": "http://faces.example.org"}, 403),
        (PROXY | {"X-Forwarded-Host": "evil.example"} | ours, 421),
        (PROXY | {"X-Forwarded-Host": "faces.example.org, 10.0.0.1"} | ours, 200),
        (PROXY | {"Host": "evil.example"} | ours, 421),  # a page that points its name here can send any other header
    ]
    app = make_app(lab.folder, lab.store, lab.settings, hosts=hosts, secure=True, proxied=True)
    with listening.serving(app) as port:
        behind = collections.namedtuple("Behind", "port")(port)
        for headers, status in calls:
            assert raw(behind, "POST", path, b"{}", {**JSON, **headers})[0] == status, headers
    # Without the proxy nobody is believed.
    assert raw(lab, "POST", path, b"{}", {**JSON, "X-Forwarded-Host": "evil.example"})[0] == 200
    assert raw(lab, "POST", path, b"{}", {**JSON, **PROXY, "Host": "faces.example.org"})[0] == 421


@pytest.fixture
def hasty(lab, monkeypatch):
    """A server that waits for a second at most, with room for twenty connections, and a polite participant."""
    monkeypatch.setattr(server, "BODY_SECONDS", 1)
    for name, value in (("HEAD_SECONDS", 1), ("IDLE_SECONDS", 2), ("MAX_CONNECTIONS", 20)):
        monkeypatch.setattr(listening, name, value)
    lab = lab()
    one = lab.client()
    lab.epoch = one.ask("POST", "claim", {})[1]["epoch"]

    def work(seq):
        return one.ask("PUT", "events", {"epoch": lab.epoch, "events": [good(seq=seq)]}) == (200, {"high_seq": seq})

    return lab, work


def sent_slowly(lab, whole, head=b""):
    """Send the head at once and the rest byte by byte. Return what came back and how long it took to be cut off."""
    began, received = time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", lab.port), timeout=0.02) as connection:
        connection.sendall(head)
        for at in range(600):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(whole[at : at + 1])
            try:
                part = connection.recv(4096)
            except TimeoutError:
                continue
            except ConnectionResetError:
                break
            received += part
            if not part:
                break
        else:
            raise AssertionError("the server never closes it")
    return received, time.monotonic() - began


NAMED = b"Host: 127.0.0.1\r\n"
ENDLESS = b"PUT /s/x/events HTTP/1.1\r\n" + NAMED + b"Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
SLOW = [
    (b"", b"", b""),
    (b"", b"GET / HTTP/1.1\r\n" + NAMED + b"X: " + b"x" * 2_000, b""),
    (ENDLESS, b" " * 2_000, b"408"),
    (b"GET /texts HTTP/1.1\r\n" + NAMED + b"\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 2_000, b"200"),
    (ENDLESS.replace(b"json", b"xml"), b" " * 2_000, b"415"),
]


@pytest.mark.parametrize(("head", "rest", "status"), SLOW, ids=["silent", "head", "body", "next head", "refused body"])
def test_who_sends_too_slowly_is_cut_off_and_holds_up_nobody(hasty, head, rest, status):
    lab, work = hasty
    found = []
    slow = [threading.Thread(target=lambda: found.append(sent_slowly(lab, rest, head))) for _ in range(4)]
    for thread in slow:
        thread.start()
    seq = 0
    while any(thread.is_alive() for thread in slow):
        seq += 1
        assert work(seq)
    assert len(found) == 4
    for received, seconds in found:
        assert received.partition(b"\r\n")[0].split(b" ")[1:2] == ([status] if status else [])
        assert seconds > 0.9


def test_a_connection_too_many_takes_the_place_of_the_quietest(hasty, monkeypatch):
    lab, work = hasty
    monkeypatch.setattr(listening, "HEAD_SECONDS", 60)
    with contextlib.ExitStack() as closing:
        silent = []
        for seq in range(1, 101):
            silent.append(closing.enter_context(socket.create_connection(("127.0.0.1", lab.port), timeout=5)))
            assert work(seq)  # by the same connection as ever
        assert raw(lab, "GET", "/")[0] == 200  # and who comes new is let in
        for one in silent[:80]:
            with contextlib.suppress(ConnectionResetError):
                assert one.recv(1) == b""
        silent[-1].settimeout(0.1)
        with pytest.raises(TimeoutError):
            silent[-1].recv(1)


def test_serving_leaves_the_log_handlers_of_its_caller_open(lab):
    one, closed = lab(), []
    handler = logging.NullHandler()
    handler.close = lambda: closed.append(handler)
    with listening.serving(make_app(one.folder, one.store, one.settings, hosts=())):
        assert not closed
