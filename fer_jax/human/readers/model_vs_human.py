"""Trial logs of the toolbox model-vs-human (Geirhos et al. 2021, arXiv 2106.07411): answers of people and networks.

One line is an answer to a picture that was seen as a whole: there are no clicks and no foil, and times count from the
onset, in seconds.
"""

import pathlib

import pandas as pd

from fer_jax.human.readers.assembly import LogOptions, assemble
from fer_jax.human.readers.cells import column, find_columns, needed, numbers, paths_of, read_cells
from fer_jax.human.trials import Trials

KNOWN = {
    "participant": ("subj", "subject"),
    "session": (),
    "trial": (),
    "rt": (),
    "response": ("object_response",),
    "true_label": ("category",),
    "condition": (),
    "image": ("imagename", "image_name"),
}
# In front of a picture's name: number of the trial, experiment, and person or network.
_PREFIX = r"^\d+_[A-Za-z0-9-]+_(?:s\d+|dnn)_"


def read_model_vs_human(log: pathlib.Path, options: LogOptions | None = None) -> Trials:
    """Read answers: columns subj, session, trial, rt, object_response, category, condition, imagename.

    The number, experiment and person in front of an image's name are taken off, so that one picture has one name for
    everybody. Sessions become blocks, and trials are counted through. A condition becomes an event. A subject is a
    program where the name is not that of a person ("subject-01") and no answer has a time.

    Args:
      log: a CSV file, or a folder of such files.
      options: what the log does not say. Without `answers` the labels are those that occur.

    Raises:
      DataError: a bad row as file:line:column.
    """
    options = options or LogOptions()
    answers = pd.concat([_part(path, options) for path in paths_of(log, (".csv",))], ignore_index=True)
    answers = answers.sort_values(["participant", "block", "trial_in_block"], kind="stable", ignore_index=True)
    answers["trial"] = answers.groupby("participant").cumcount() + 1
    labels = options.labels or sorted(set(answers["true_label"]) | set(answers["response"].dropna()))
    timed = answers.groupby("participant")["rt_total_ms"].transform("count") > 0
    person = answers["participant"].str.lower().str.startswith("subject")
    conditions = answers[answers["condition"].notna()]
    events = conditions[["participant", "trial"]].assign(
        seq=conditions.groupby("participant").cumcount() + 1, type="condition", value=conditions["condition"]
    )
    answers = answers.drop(columns="condition").assign(
        n_options=len(labels), options="|".join(labels), simulated=~(person | timed)
    )
    return assemble(answers, None, options, source="model_vs_human", where=str(log), events=events)


def _part(path, options) -> pd.DataFrame:
    cells = read_cells(path)
    found = find_columns(cells.names, KNOWN, options.columns, str(path))
    named = {name: needed(cells, found, name, known=KNOWN) for name in ("participant", "true_label", "image")}
    counts = {name: numbers(cells, found, name) for name in ("session", "trial", "rt")}
    for name in ("session", "trial"):
        needed(cells, found, name, known=KNOWN)
        cells.refuse(counts[name] % 1 != 0, found[name], "a whole number")
    keys = pd.DataFrame({"who": named["participant"], "session": counts["session"], "trial": counts["trial"]})
    cells.refuse(keys.duplicated(), found["trial"], "each trial of a session once")
    response = column(cells, found, "response")
    return pd.DataFrame(
        {
            **named,
            "image": named["image"].str.replace(_PREFIX, "", regex=True),
            "block": counts["session"],
            "trial_in_block": counts["trial"],
            "response": response,
            "correct": response.eq(named["true_label"]).where(response.notna()).astype("boolean"),
            "rt_total_ms": 1000 * counts["rt"],
            "condition": column(cells, found, "condition"),
        }
    )
