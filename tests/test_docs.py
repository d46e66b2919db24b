"""The pages keep their word: figures are computed or cited, tables are the code's, links lead somewhere.

A number in prose must stand in the output of an executed block or in a computed table of its page, or its sentence
must carry a link to a source or a ``measured with``. Inline code is exempt: it holds names and inputs.

``python tests/test_docs.py`` writes the outputs and tables of all pages anew; read the difference before you keep it.
"""

import doctest
import io
import json
import re
import sys
import tomllib
import traceback
from contextlib import redirect_stdout
from hashlib import sha256
from importlib import import_module
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from conftest import matches, run_console, scratch  # noqa: E402

from mlsysim import Efficiency, Engine, __version__, explain  # noqa: E402
from mlsysim.calibration.logs.recognise import MODULES  # noqa: E402
from mlsysim.timeline.recognise import FORMATS as TRACES  # noqa: E402

CONCEPT = ROOT / "docs/understanding-efficiency.md"
GLOSSARY = ROOT / "docs/glossary.md"
ARCHITECTURE = ROOT / "docs/architecture/README.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MEASURED = re.compile(r"<!-- measured: \w+ -->\n.*?<!-- end -->", re.DOTALL)
TABLE = re.compile(r"(<!-- computed: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")
CITED = re.compile(r"\]\(https://|measured with ¶")
SNIPPET = """\
>>> from mlsysim import Engine, Hardware, Models
>>> result = Engine.solve(model=Models.LLAMA_3_1_70B, hardware=Hardware.H100, batch_size=32,
...                       precision="fp16", efficiency=0.45)
"""
pages = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


# What the code says


def guide_table():
    """Return the guide as the page shows it, and under it what to make of each row."""
    rows = Efficiency.guide()
    lines = [
        "| scenario | classical range | published p10 / median / p90 | rows | sources | ceiling |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for g in rows:
        seen, ceiling = g.measured, "none" if g.ceiling is None else f"{g.ceiling:.2g} on `{g.device}`"
        published = f"{seen.p10:.2g} / {seen.median:.2g} / {seen.p90:.2g}"
        cells = (g.scenario, f"{g.low:.2f} to {g.high:.2f}", published, str(seen.n), str(seen.sources), ceiling)
        lines.append(f"| {' | '.join(cells)} |")
    said = [f"- **{g.scenario}**: {g.rationale}. {g.verdict}" for g in rows]
    return "\n".join([*lines, "", *said, ""])


def factors_table():
    """Return the twelve factors as the page shows them."""
    rows = [f"| {f.title} | {f.meaning} | {f.sign} |" for f in Efficiency.factors()]
    return "\n".join(["| factor | what it means | its sign in a profile |", "| --- | --- | --- |", *rows, ""])


def formats_table():
    """Return the formats of logs as the page shows them, in the order in which they are tried."""
    lines = ["| format | told by | reader |", "| --- | --- | --- |"]
    for name in MODULES:
        reader = f"[`{name}`](../src/mlsysim/calibration/logs/{name}.py)"
        found = import_module(f"mlsysim.calibration.logs.{name}").FORMATS
        lines += [f"| {f.name} | {f.told_by} | {reader} |" for f in found]
    return "\n".join([*lines, ""])


def traces_table():
    """Return the formats of traces as the page shows them, in the order in which they are tried."""
    lines = ["| trace | told by | reader |", "| --- | --- | --- |"]
    lines += [f"| {f.name} | {f.told_by} | [`{f.module}`](../src/mlsysim/timeline/{f.module}.py) |" for f in TRACES]
    return "\n".join([*lines, ""])


def planted_table():
    """Return what was planted in real traces, and what is found of it."""
    files = ROOT / "tests/timeline/files"
    planted = json.loads((files / "planted.json").read_text())
    lines = ["| planted in a real trace | cause | planted a step | found |", "| --- | --- | ---: | ---: |"]
    for name in ("data_loader", "data_loader_worker", "garbage_collection_marked", "synchronisation", "kernel_launch"):
        cause, ns = planted[name]["cause"], [n or 0 for n in planted[name]["planted_ns"]]
        found = explain([files / file for file in planted[name]["files"]]).seconds(cause) * 1e3
        title, mean = name.replace("_", " "), sum(ns) / len(ns) / 1e6
        lines.append(f"| {title} | `{cause}` | {mean:.2f} ms | {found:.2f} ms |")
    return "\n".join([*lines, ""])


TABLES = {
    "guide": guide_table,
    "factors": factors_table,
    "formats": formats_table,
    "traces": traces_table,
    "planted": planted_table,
}


# What a page says


def outputs(text):
    """Return all that the executed blocks and computed tables of a page show as computed."""
    shown = [body for _, _, body, _ in TABLE.findall(text)]
    for language, source in FENCE.findall(text):
        if language == "python":
            shown += [e.want for e in doctest.DocTestParser().get_examples(source)]
        if language == "console":
            shown += [line for line in source.splitlines() if not line.startswith("$ ")]
    return "\n".join(shown)


def sentences(text):
    """Return the prose of a page: a sentence, a list item's sentence or a table row each; code stands as ``§``."""
    prose = re.sub(r"`[^`]+`", "§", re.sub(r"measured\s+with\s+`[^`]+`", "measured with ¶", bare(text)))
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*|]|\d+\. ))", prose):
        yield from re.split(r"(?<=[.!?])\s+(?=[A-Z§*\[])", re.sub(r"^\s*\d+\. ", "", " ".join(block.split())))


def bare(text):
    """Return a page without code blocks and tables that are computed, here or by a command that takes minutes."""
    return MEASURED.sub("", TABLE.sub("", FENCE.sub("", text)))


def uncomputed(text):
    """Return the numbers of a page's prose that no executed block shows and whose sentence cites no source."""
    known = set(NUMBER.findall(outputs(text)))
    loose = (s for s in sentences(text) if not CITED.search(s))
    return [(n, s) for s in loose for n in NUMBER.findall(re.sub(r"\]\([^)]*\)", "]", s)) if n not in known]


# The tests


@pages
def test_every_number_in_prose_is_computed_or_cited(page):
    assert uncomputed(page.read_text(encoding="utf-8")) == []


def test_that_check_can_fail():
    block = "```python\n>>> 40 + 2\n42\n```\n"
    assert uncomputed(f"{block}The answer is 42.") == []
    assert uncomputed(f"{block}The answer is 43.") == [("43", "The answer is 43.")]
    assert uncomputed(f"{block}The input was 40.") == [("40", "The input was 40.")]
    assert uncomputed("It is 46.2 % in [PaLM](https://arxiv.org/abs/2204.02311). It is 50 % elsewhere.") == [
        ("50", "It is 50 % elsewhere.")
    ]
    assert uncomputed("- `h100` has 80 GB\n- or 8 GPUs") == [("80", "- § has 80 GB"), ("8", "- or 8 GPUs")]


def test_every_block_of_the_concept_page_is_executed():
    languages = [language for language, _ in FENCE.findall(CONCEPT.read_text(encoding="utf-8"))]
    assert set(languages) <= {"python", "console", "text"}
    assert languages.count("python") > 8


@pages
def test_python_blocks_show_what_they_print(page):
    for language, source in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            assert source.startswith(">>> ")
        if language == "console":
            assert source.startswith("$ mlsysim ")


@pytest.mark.parametrize("name", TABLES)
def test_computed_tables_are_the_codes(name):
    shown = [body for page in PAGES for _, found, body, _ in TABLE.findall(page.read_text("utf-8")) if found == name]
    assert shown == [TABLES[name]()]


@pages
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_readme_shows_the_documented_snippet():
    assert SNIPPET in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_glossary_knows_every_key_of_a_result():
    text = GLOSSARY.read_text(encoding="utf-8")
    result = Engine.solve("llama-3.1-8b", "h100", phase="decode").to_dict()
    names = chain(result, result["efficiency"], result["breakdown_s"], result["memory_bytes"])
    assert [n for n in names if f"`{n}`" not in text] == []


def test_the_architecture_page_names_every_room():
    text = ARCHITECTURE.read_text(encoding="utf-8")
    home = ROOT / "src/mlsysim"
    packages = [f"`{p.parent.name}/`" for p in home.glob("*/__init__.py")]
    modules = [f"`{p.name}`" for p in home.glob("*.py")]
    assert [n for n in packages + modules if n not in text] == []


def test_the_architecture_page_shows_the_layers_that_are_checked():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(c["layers"] for c in contracts["contracts"] if c["type"] == "layers")
    drawn = "\n".join(layer.replace("mlsysim.", "") for layer in layers)
    assert f"```text\n{drawn}\n```" in ARCHITECTURE.read_text(encoding="utf-8")


def test_release_files_agree():
    assert f"\n## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    licence = sha256((ROOT / "LICENSE").read_bytes()).hexdigest()  # https://www.apache.org/licenses/LICENSE-2.0.txt
    assert licence == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def test_outputs_are_written_anew_only_where_they_differ():
    page = "```python\n>>> x = 41\n>>> x + 1\n{}\n>>> x\n4...\n>>> x / 0\n{}```\n"
    failed = "Traceback (most recent call last):\n    ...\nZeroDivisionError: division by zero\n"
    assert renewed(page.format("43", "")) == page.format("42", failed)


# Writing the outputs anew


def renewed(text):
    """Return a page with its outputs and computed tables written anew where they differ."""
    names = {"__name__": "__test__"}
    writers = {"python": lambda source: _renewed_python(source, names), "console": _renewed_console}
    text = FENCE.sub(lambda m: f"```{m[1]}\n{writers.get(m[1], str)(m[2])}```", text)
    return TABLE.sub(lambda m: m[1] + TABLES[m[2]]() + m[4], text)


def elided(shown, got):
    """Return an output as a page is to show it: as before if it still holds, else anew, with what the page left out.

    A line is found again by its words: numbers, rules and spaces may differ. Where one is gone, all is shown.
    """
    if not shown or matches(shown, got):
        return shown or got
    lines, kept = got.splitlines(), []
    if not any("..." in line for line in shown.splitlines()):
        return got
    for line in shown.splitlines():
        if line == "...":
            kept.append(line)
            continue
        found = next((i for i, new in enumerate(lines) if matches(line, new) or _words(line) == _words(new)), None)
        if found is None:
            return got
        kept.append(line if matches(line, lines[found]) else lines[found])
        lines = lines[found + 1 :]
    return "\n".join(kept) + "\n"


def _words(line):
    return re.sub(r"[\W\d_]+", " ", line).strip()


def test_a_page_keeps_what_it_left_out():
    assert elided("a 1\n...\nc 3 s\n", "a 2\nb\nc 4 s\n") == "a 2\n...\nc 4 s\n"
    assert elided("a 1\n...\nd 3\n", "a 2\nb\nc\n") == "a 2\nb\nc\n"
    assert elided("a 1...\n...\n", "a 1 at 12:00\nb\n") == "a 1...\n...\n"


def _renewed_console(source):
    done = [(c, elided(c.shown, got)) for c, got in run_console(source)]
    return "".join(f"$ {command.line}\n{shown}" for command, shown in done)


def _renewed_python(source, names):
    parts = []
    for piece in doctest.DocTestParser().parse(source):
        if isinstance(piece, str):
            parts.append(piece)
            continue
        out = io.StringIO()
        try:
            with redirect_stdout(out):
                exec(compile(piece.source, "<docs>", "single"), names)
            got = out.getvalue()
        except Exception as error:
            got = "Traceback (most recent call last):\n    ...\n" + "".join(traceback.format_exception_only(error))
        first, *rest = piece.source.splitlines()
        parts.append(
            "\n".join([f">>> {first}", *(f"... {line}".rstrip() for line in rest)]) + "\n" + elided(piece.want, got)
        )
    return "".join(parts)


if __name__ == "__main__":
    for written in PAGES:
        with scratch():
            new = renewed(written.read_text(encoding="utf-8"))
        written.write_text(new, encoding="utf-8")


def test_the_page_of_notes_has_every_code_and_no_other():
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    used = set(re.findall(r'Note\(\s*"([a-z0-9-]+)"', source))
    page = (ROOT / "docs/notes.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", page, re.M)) == used
