"""The waterfall as a figure and as a page, and breakdowns as tables."""

import io
import re
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from tests.efficiency.breakdowns import PARTS_MS, made, ranks, steps, with_every_cause, with_one_cause, without_ideal

from mlsysim.efficiency.comparison import compared
from mlsysim.efficiency.factors import causes
from mlsysim.errors import InvalidValue
from mlsysim.report.breakdowns import breakdown_table, comparison_table, part_data, what_ifs_table
from mlsysim.report.tables import emit
from mlsysim.results import Note

pytest.importorskip("matplotlib", reason="figures need the extra 'plot'")
pytest.importorskip("jinja2", reason="pages need the extra 'plot'")

from mlsysim.report.breakdown_page import comparison_page, page
from mlsysim.report.strip import MOST_COLUMNS, looks_of, strip
from mlsysim.report.waterfall import COLOURS, comparison_plan, figure, plan, save

FASTER = {
    **PARTS_MS,
    ("attention", "scores written out", "observed"): 9.0,
    ("data_loader", "loading", "observed"): 39.0,
}


def full():
    notes = (Note("profiled", "timed under the profiler"),)
    return made(steps=steps(200, every=10), ranks=ranks(64, slow=17), devices=64, lines=("a line",), notes=notes)


CASES = {"full": full, "no ideal": without_ideal, "every": with_every_cause, "one": with_one_cause}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_bars_start_where_those_above_end(make):
    b = make()
    *bars, whole = plan(b).bars
    ends = [0.0, *(bar.leaves for bar in bars)]
    assert [bar.pieces[0][0] for bar in bars] == pytest.approx(ends[:-1])
    assert whole.leaves == pytest.approx(ends[-1])
    assert len(bars) == len(b.causes)


def test_bars_say_time_and_eta_and_the_legend_names_the_kinds_there_are():
    found = plan(made())
    says = {bar.label.split("\n")[0]: bar.says for bar in found.bars}
    assert says["Memory-bound operators"] == "71.0 ms   eta -0.173"
    assert says["measured"] == "412.0 ms   eta 0.359"
    assert found.title.startswith("148 ms of work take 412 ms: eta 0.359\n")
    assert found.legend == tuple(COLOURS.items())
    assert dict(plan(with_one_cause()).legend).keys() == {"unattributed"}
    assert plan(with_one_cause()).bars[0].says == "31.00 µs   100.0 %"


def test_what_is_drawn_lies_within_the_figure():
    drawn = figure(with_every_cause())
    drawn.draw_without_rendering()
    axes = drawn.axes[0]
    names = {causes()[name].title for name in causes()} - {"Arithmetic"}
    assert names <= {label.get_text().split("\n")[0] for label in axes.get_yticklabels()}
    width = drawn.bbox.width
    for text in [*axes.texts, *axes.get_yticklabels()]:
        box = text.get_window_extent()
        assert box.x0 >= 0, text.get_text()
        assert box.x1 <= width, text.get_text()
    assert drawn.axes[0].get_legend() is not None


def test_a_comparison_goes_from_one_run_to_the_other():
    c = compared(made(), made(FASTER))
    found = comparison_plan(c)
    assert [bar.label for bar in found.bars] == ["before", "Attention implementation", "Data-loader stalls", "after"]
    assert [bar.says for bar in found.bars] == ["412.0 ms", "-35.0 ms", "+8.0 ms", "385.0 ms"]
    assert [bar.leaves for bar in found.bars] == pytest.approx([412.0, 377.0, 385.0, 385.0])
    assert found.low == 340.0
    parts = {("os_driver", "a", "observed"): 0.04, ("os_driver", "b", "observed"): 5.0}
    later = {("os_driver", "a", "observed"): 2.16, ("os_driver", "b", "observed"): 0.0}
    told = comparison_plan(compared(made({**PARTS_MS, **parts}), made({**PARTS_MS, **later}))).bars[1].label
    assert told.endswith("b -5.0, a +2.2"), "as the table has it: 2.2 less 0.0"
    assert "The axis starts at 340 ms, not at zero." in found.caption


@pytest.mark.parametrize(
    ("ending", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".html", b"<!do")]
)
def test_a_file_is_written_by_its_ending(tmp_path, ending, begins):
    for name, answer in (("one", made()), ("two", compared(made(), made(FASTER)))):
        path = tmp_path / f"{name}{ending}"
        save(answer, path)
        assert path.read_bytes().startswith(begins)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_is_the_same_every_time(tmp_path):
    for name in ("a.svg", "b.svg"):
        save(made(), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_wrong_ending_is_said_in_words(tmp_path):
    with pytest.raises(InvalidValue, match=r"plot must be a file that ends with .png, .svg, .pdf or .html"):
        save(made(), tmp_path / "waterfall.xls")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match=r"waterfall\.png"):
        save(made(), tmp_path / "no such folder" / "waterfall.png")


class Outline(HTMLParser):
    """Which elements are open, what they name outside the page, and whether all are closed."""

    def __init__(self):
        super().__init__()
        self.open, self.outside, self.seen = [], [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        self.outside += [
            (k, v) for k, v in attributes if k in {"src", "href", "xlink:href", "srcset", "data", "action"}
        ]

    def handle_startendtag(self, tag, attributes):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_a_page_holds_every_cause_and_asks_nothing_of_a_network(make):
    b = make()
    content = page(b)
    outline = Outline()
    outline.feed(content)
    assert outline.open == []
    assert outline.outside == []
    assert not {"script", "link", "img", "iframe"} & set(outline.seen)
    assert not re.search(r"url\(|@import", content)
    for cause in b.causes:
        assert f"<code>{cause.name}</code>" in content
        assert causes()[cause.name].title in content
    for unseen in b.not_visible:
        assert unseen.name in content
    for w in b.suggestions():
        assert w.what.replace("'", "&#39;") in content
    assert "prefers-color-scheme: dark" in content


def test_a_page_escapes_what_it_is_told():
    content = page(with_every_cause())
    assert "&lt;b&gt;&amp;&lt;/b&gt;" in content
    assert "<b>&" not in content


def test_a_page_shows_steps_ranks_lines_and_notes():
    content = page(full())
    assert "<h2>Steps</h2>" in content
    assert "<h2>Ranks</h2>" in content
    assert content.count('class="hover"') == 200 + 64
    assert "step 9: 516 ms\ncompute 148.0 ms\ngarbage_collection 104.0 ms" in content
    assert "a line" in content
    assert "timed under the profiler <code>profiled</code>" in content
    assert "<h2>Steps</h2>" not in page(made())
    assert "state --hardware and --model" in page(without_ideal())
    assert "<code>--try fused-attention</code>" in content


def test_a_comparison_page_says_both_runs_and_what_changed():
    content = comparison_page(compared(made(), made(FASTER, about="the <other> run")))
    outline = Outline()
    outline.feed(content)
    assert outline.open == []
    assert outline.outside == []
    assert "the &lt;other&gt; run" in content
    assert "-35.0 ms" in content
    assert "93.4 %" in content  # 385 / 412
    assert "not at zero" in content


def test_what_is_rare_and_long_has_a_colour_and_stands_on_top():
    of = steps(200, every=10)
    found = strip("step", of, looks_of(of), ())
    assert found.columns == 200
    assert found.shapes[0].name == "compute"
    assert found.shapes[-1].name == "garbage_collection"
    assert found.shapes[-1].path.count("M") == 20
    assert found.middle == pytest.approx(100 * 412 / 516)
    assert strip("step", of[:1], looks_of(of), ()) is None


def test_of_very_many_steps_the_slowest_are_kept():
    of = steps(5000, every=1000)
    found = strip("step", of, looks_of(of), ())
    assert found.columns <= MOST_COLUMNS
    assert found.shapes[-1].path.count("M") == 5
    assert found.caption == "Each column is the slowest of 9 steps that follow each other."


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_a_table_sums_to_its_last_row(make):
    *found, (_, time, share, *_) = breakdown_table(make()).rows
    whole = [row for row in found if "/" not in row[0]]
    assert sum(Decimal(row[1].replace(",", "")) for row in whole) == Decimal(time.replace(",", ""))
    assert sum(Decimal(row[2]) for row in whole) == Decimal(share)


def test_tables_are_written_as_documents_and_sheets():
    b = made()
    written = io.StringIO()
    emit("markdown", None, breakdown_table(b), written)
    assert "| memory_bound/elementwise | 32.0 | -0.078 | observed |  |" in written.getvalue()
    written = io.StringIO()
    emit("csv", part_data(b), breakdown_table(b), written)
    lines = written.getvalue().split("\n")
    assert lines[0] == "cause,part,seconds,share,kind,advice"
    assert lines[2].startswith("memory_bound,elementwise,0.032,")
    assert sum(row["seconds"] for row in part_data(b)) == pytest.approx(b.measured_s)
    changes = comparison_table(compared(b, made(FASTER)))
    assert changes.rows[0] == ("attention", "44.0", "9.0", "-35.0")
    assert changes.rows[-1] == ("measured", "412.0", "385.0", "-27.0")


def test_what_ifs_are_rows():
    b = made()
    what, saves, of, then, eta = what_ifs_table([b.without("kernel_launch")]).rows[0]
    # 412 - 19 = 393 ms, of which 148 ms are 0.3766.
    assert (what, saves, of, then, eta) == (
        "without kernel_launch",
        "19 ms",
        "kernel_launch",
        "393 ms (393 ms)",
        "0.377 (0.377 to 0.377)",
    )
    assert what_ifs_table([b.without("attention")], "the run after").title == "What if, in the run after"
    assert what_ifs_table([without_ideal().without("kernel_launch")]).rows[0][-1] == "not known"
