"""The frame of an HTML page without scripts, network or other files, made for phones, wide screens and paper."""

import re
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, tostring

from perturbjax.report.elements import tag

_STYLE = """
html { color-scheme: light; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
       color: #1a1a1a; background: #fff; max-width: 74rem; margin: 0 auto; padding: 1rem 1rem 4rem;
       overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0 1rem; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 3rem 0 .75rem; padding-top: .75rem; border-top: 1px solid #ccc; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p, ul, dl { max-width: 46rem; margin: .6rem 0; }
ul { padding-left: 1.2rem; }
li ul { margin: 0; }
.apart > li { margin: .6rem 0; }
dl { display: grid; grid-template-columns: fit-content(45%) 1fr; gap: .2rem 1rem; }
dt { font-weight: 600; }
dd { margin: 0; }
.verdict { max-width: 46rem; padding: .1rem 1rem; border-left: .3rem solid #0072b2; background: #f2f6f9; }
.verdict p { font-size: 1.05rem; }
nav { max-width: 46rem; margin: 1.2rem 0; font-size: .9rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; list-style: none; padding: 0; }
a { color: #005a8c; }
nav a { display: inline-block; padding: .25rem 0; }
.scroll { overflow-x: auto; margin: .75rem 0; }
/* Whole pixels: else the cells that stay at the left hide the lines between rows. */
table { border-collapse: separate; border-spacing: 0; font-size: 13.5px; line-height: 18px;
        font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 5px 0; }
th, td { padding: 5px 7px; text-align: right; border-bottom: 1px solid #ddd; vertical-align: top; }
td { white-space: nowrap; }
thead th { border-bottom: 2px solid #1a1a1a; max-width: 7rem; vertical-align: bottom; overflow-wrap: break-word; }
thead th small { max-width: 7rem; }
th:first-child { text-align: left; position: sticky; left: 0; background: #fff; min-width: 7rem; max-width: 11rem; }
tbody th { font-weight: 600; overflow-wrap: break-word; }
td.text, th.text { text-align: left; }
tr.group th { font-weight: 400; font-style: italic; color: #444; padding-top: 12px; max-width: none; }
small { display: block; font-size: .92em; color: #444; font-weight: 400; }
.off, .off small { color: #6b6b6b; font-weight: 400; }
.best { font-weight: 700; }
b { font-weight: 600; }
.narrow { display: none; }
.lead { display: grid; align-items: start; grid-template-columns: minmax(0, 46rem) minmax(0, 1fr); gap: 1rem 2rem; }
.beside { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; align-items: flex-start; }
.beside .scroll { min-width: 0; max-width: 100%; margin: 0; }
.beside figure { flex: 0 1 28rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(25rem, 100%), 28rem));
           gap: 1.5rem 2.5rem; align-items: start; margin: 1rem 0; }
.three { grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); }
figure { margin: 0; max-width: 28rem; }
figcaption { font-size: .85rem; line-height: 1.45; color: #333; margin-top: .3rem; }
svg { display: block; width: 100%; height: auto; font-family: system-ui, -apple-system, "Segoe UI", Roboto,
      "Helvetica Neue", Arial, sans-serif; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
@media screen and (max-width: 70rem) {
  .narrow { display: block; }
  .lead { grid-template-columns: minmax(0, 46rem); }
}
@media screen and (max-width: 32rem) {
  th, td { padding: 5px; }
  table { font-size: 13px; }
  th:first-child { min-width: 6.6rem; max-width: 8.5rem; }
}
@page { margin: 14mm; }
@media print {
  html { font-size: 10pt; }
  body { font-size: 1rem; max-width: none; padding: 0; }
  nav { display: none; }
  a { color: inherit; text-decoration: none; }
  h2, h3, caption { break-after: avoid; }
  tr, figure, .verdict { break-inside: avoid; }
  .verdict { background: none; }
  .lead { display: block; }
  .scroll { overflow: visible; }
  .figures { grid-template-columns: 1fr 1fr; }
  .three { grid-template-columns: 1fr 1fr 1fr; }
  table { font-size: .72rem; line-height: 1.35; }
  th, td { padding: .15rem .3rem; }
  th:first-child { min-width: 5rem; max-width: 9rem; }
  td small { white-space: normal; }
}
"""


def document(title: str, lead: Sequence[Element], sections: Mapping[str, Sequence[Element]]) -> str:
    """The page as text: the title, the lead, a table of contents and the sections; empty sections are left out."""
    sections = {heading: content for heading, content in sections.items() if content}
    links = (tag('li', tag('a', heading, href=f'#{_anchor(heading)}')) for heading in sections)
    body = [tag('h1', title), *lead, tag('nav', tag('ul', *links), aria_label='Contents')]
    for heading, content in sections.items():
        body.append(tag('section', tag('h2', heading), *content, id=_anchor(heading)))
    head = tag(
        'head',
        tag('meta', charset='utf-8'),
        tag('meta', name='viewport', content='width=device-width, initial-scale=1'),
        tag('title', title),
        tag('style', _STYLE),
    )
    page = tag('html', head, tag('body', tag('main', *body)), lang='en')
    return '<!doctype html>\n' + tostring(page, encoding='unicode', method='html')


def _anchor(heading: str) -> str:
    return re.sub(r'\W+', '-', heading.lower()).strip('-')
