"""Prose that is read once: a function's first line starts with a verb, and no semicolon joins two clauses.

A room that is not done stands in `PENDING` and is taken out when it is clean. Verbs are added to `_VERBS` as needed.
"""

import ast
import io
import pathlib
import re
import tokenize

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = sorted(
    path for top in ("fer_jax", "experiments", "datasets", "benchmarks") for path in (ROOT / top).rglob("*.py")
)

_VERBS = """
Add Adjust Aim Align Allow Answer Append Apply Arrange Assemble Assign Ask Average Balance Blur Bring Broadcast Build
Calibrate Call Carry Centre Change Check Choose Clear Clip Close Collapse Collect Colour Combine Compare Compile
Compute Concatenate Continue Convert Convolve Copy Correlate Count Cover Create Crop Cut Cycle Darken Deal Decide
Declare
Decode Default Define Delete Derive Describe Detect Differentiate Discard Divide Download Draw Drop
Encode End Enter Erase Estimate Evaluate Exclude Expand Explain Export Extract
Fail Fill Filter Find Finish Fine-tune Fit Flatten Flip Flush Fold Follow Forget Format Freeze
Gather Generate Get Give Go Group Guard Guess Hand Handle Hash Hide Hold
Import Infer Initialise Insert Integrate Interpolate Invert Iterate Join Judge Keep
Label Lay Learn Leave Let Lift Light Limit Link List Listen Load Locate Lock Log Look Lower
Make Map Mark Mask Match Measure Merge Mirror Mix Move Multiply Name Normalise Note Number
Open Order Pack Pad Paint Pair Parse Partition Pass Perturb Pick Place Plan Plot Pool Predict Prefer Prepare
Print Project Protect Publish Put Raise Randomise Rank Read Rebuild Record Reduce Refuse Register Reject Release
Rectify Remember Remove Rename Render Reorder Repeat Replace Report Reproduce Request Require Resample Reset
Reshape Resize
Resolve Restore Resume Return Reveal Rotate Round Run Sample Save Say Scale Scan Score Search See Select Send
Separate Serve Set Shade Shape Share Shift Shorten Show Shuffle Sign Simulate Skip Smooth Solve Sort Spend Split
Spread Stack Standardise Start State Step Stop Store Stream Strip Subtract Sum Summarise Swap
Take Tally Tell Test Think Tile Time Trace Track Train Transform Translate Treat Trim Try Turn
Undo Unpack Unstack Update Upgrade Use Validate Verify Vote Wait Walk Warn Watch Weigh Weight Wrap Write Yield Zip
"""
VERBS = frozenset(_VERBS.split())

# Rooms whose prose is still to be rewritten.
PENDING: set[str] = set()


def room(path):
    """The folder or module of the library, or the folder beside it, that a file belongs to."""
    parts = path.relative_to(ROOT).parts
    if parts[0] == "datasets":
        return "datasets"
    return "/".join(parts[:2]).removesuffix(".py") if parts[0] == "fer_jax" or len(parts) > 2 else parts[0]


def _docstrings(tree):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield node, text


def _is_property(node):
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def _prose(text):
    """The text without code: no lines of a doctest, no fenced or literal blocks, nothing in backticks."""
    lines, fenced, example = [], False, False
    for line in text.splitlines():
        fenced ^= line.strip().startswith("```")
        example = (example or line.strip().startswith(">>>")) and bool(line.strip())
        lines.append("" if fenced or example or line.strip().startswith("```") else line)
    return re.sub(r"`[^`]*`", "`code`", "\n".join(lines))


def faults(path):
    """Lines of one file that break a rule, each with the rule."""
    source = path.read_text(encoding="utf-8")
    place = path.relative_to(ROOT)
    for node, text in _docstrings(ast.parse(source)):
        line = getattr(node, "lineno", 1)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_property(node):
            first = re.sub(r"[,:.]$", "", text.split()[0])
            if first not in VERBS:
                yield f"{place}:{line}: `{node.name}` starts with {first!r}, not with a verb"
        for found in re.finditer(r"[^\n]*;(\s|$)", _prose(text)):
            name = getattr(node, "name", "module")
            yield f"{place}:{line}: semicolon in the docstring of `{name}`: {found.group().strip()[-60:]!r}"
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and re.search(r";(\s|$)", re.sub(r"`[^`]*`", "", token.string)):
            yield f"{place}:{token.start[0]}: semicolon in a comment"


ROOMS = sorted({room(path) for path in FILES})


def _of(name):
    return [fault for path in FILES if room(path) == name for fault in faults(path)]


@pytest.mark.parametrize("name", [name for name in ROOMS if name not in PENDING])
def test_prose_of_a_room(name):
    wrong = _of(name)
    assert not wrong, f"{len(wrong)} places of {name} (a verb can be added to _VERBS):\n" + "\n".join(wrong)


def test_no_room_is_pending_that_is_done():
    done = sorted(name for name in PENDING if not _of(name))
    assert not done, f"clean by now, take out of PENDING in tests/test_prose.py: {', '.join(done)}"
