"""The report's HTML: a page, its style, and the few pieces it is made of. Nothing is loaded from elsewhere."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape

NOTICE = (
    "Research software, not a medical device. Simulated anatomy and images; no figure here says anything of patients."
)

_STYLE = """
:root { --ink: #1c2227; --soft: #5b6770; --line: #dfe4e8; --back: #ffffff; --panel: #f6f8f9; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2.2rem 1.2rem 3rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 0 0 .3rem; }
h3 { font-size: 1rem; margin: 1rem 0 .4rem; }
.lead { color: var(--soft); font-size: 1.06rem; max-width: 46em; margin: 0; }
section { margin-top: 2.6rem; }
.note, .legend, footer { color: var(--soft); font-size: .875rem; max-width: 62em; margin: .2rem 0 .8rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(158px, 1fr)); gap: .8rem; margin-top: 1.8rem; }
.card { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .8rem .95rem; }
.card b { display: block; font-size: 1.65rem; font-weight: 650; line-height: 1.2; font-variant-numeric: tabular-nums; }
.card span { display: block; font-size: .92rem; }
.card small { color: var(--soft); font-size: .76rem; }
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; }
.scroll figure { min-width: 640px; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; min-width: 100%; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .78rem; line-height: 1.25;
  vertical-align: bottom; }
th, td { padding: .42rem .8rem .42rem 0; border-bottom: 1px solid var(--line); }
td { white-space: nowrap; }
td small { color: var(--soft); }
table.wide td { white-space: normal; overflow-wrap: anywhere; vertical-align: top; }
table.wide td:first-child { white-space: nowrap; color: var(--soft); }
.bar { display: inline-block; width: 3.6rem; height: .55rem; border-radius: 3px; background: var(--line);
  margin-right: .55rem; overflow: hidden; }
.bar i { display: block; height: 100%; }
.swatch { display: inline-block; width: .72rem; height: .72rem; border-radius: 3px; margin-right: .45rem;
  vertical-align: -.05rem; }
figure { margin: 0; }
.sample { margin-bottom: 1rem; }
.row { display: flex; gap: 6px; }
.row figure { flex: 1 1 0; min-width: 0; }
.film { display: flex; gap: 6px; overflow-x: auto; padding-bottom: .5rem; -webkit-overflow-scrolling: touch; }
.film figure { flex: 0 0 148px; }
img { display: block; width: 100%; height: auto; border-radius: 4px; background: #000; }
img.chart { background: #fff; }
figcaption { color: var(--soft); font-size: .76rem; margin-top: .2rem; }
details summary { cursor: pointer; color: var(--accent); font-size: .92rem; margin: .6rem 0; }
footer { margin-top: 3rem; padding-top: .9rem; border-top: 1px solid var(--line); }
@media (max-width: 640px) {
  main { padding: 1.4rem 1rem 2rem; }
  h1 { font-size: 1.5rem; }
  .cards { grid-template-columns: repeat(2, 1fr); }
  .row { flex-wrap: wrap; }
  .row figure { flex: 0 0 calc(33.33% - 4px); }
  .film figure { flex-basis: 118px; }
}
@media print { .scroll, .film { overflow: visible; flex-wrap: wrap; } }
"""


def page(title: str, lead: str, sections: Sequence[str]) -> str:
    """Put sections into a page."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{_STYLE}</style></head>\n<body><main>"
        f'<header><h1>{text(title)}</h1><p class="lead">{text(lead)}</p></header>\n'
        + "\n".join(sections)
        + f"\n<footer>{text(NOTICE)}</footer></main></body></html>\n"
    )


def section(title: str, body: str, note: str = "") -> str:
    """Make a section of HTML with a heading and a note in plain text."""
    said = f'<p class="note">{text(note)}</p>' if note else ""
    return f"<section><h2>{text(title)}</h2>{said}{body}</section>"


def card(value: str, label: str, line: str) -> str:
    """Make a large number with its name and a small line, all plain text."""
    return f'<div class="card"><b>{text(value)}</b><span>{text(label)}</span><small>{text(line)}</small></div>'


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, wide: bool = False) -> str:
    """Make a table of plain headings and cells of HTML; a `wide` one breaks its lines."""
    head = "".join(f"<th>{text(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    kind = ' class="wide"' if wide else ""
    return f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def scroller(body: str) -> str:
    """Let something wide scroll by itself, so that the page does not."""
    return f'<div class="scroll" tabindex="0">{body}</div>'


def details(title: str, body: str) -> str:
    """Fold something away."""
    return f"<details><summary>{text(title)}</summary>{body}</details>"


def picture(data: bytes, caption: str, kind: str, *, lazy: bool = False) -> str:
    """Embed a picture of MIME type image/KIND."""
    shown = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    chart = ' class="chart"' if kind == "png" else ""
    loading = ' loading="lazy"' if lazy else ""
    source = f"data:image/{kind};base64,{b64encode(data).decode()}"
    return f'<figure><img{chart}{loading} src="{source}" alt="{text(caption)}">{shown}</figure>'


def bar(share: float, colour: str) -> str:
    """Draw a share as a bar."""
    return f'<span class="bar"><i style="width:{100 * share:.0f}%;background:{colour}"></i></span>'


def swatch(colour: str) -> str:
    """Draw a patch of colour for a legend."""
    return f'<i class="swatch" style="background:{colour}"></i>'


def text(plain: str) -> str:
    """Make plain text safe in HTML."""
    return escape(plain, quote=True)
