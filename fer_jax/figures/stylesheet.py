"""The report's look: one column of readable width, light or dark as the reader's machine is, fit to print."""

STYLESHEET = """
:root { --ink: #1d2329; --soft: #5b6570; --paper: #ffffff; --card: #f4f6f8; --line: #dce1e6; --accent: #005a8d; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #a3adb7; --paper: #15191d; --card: #1f252b; --line: #343c44; --accent: #7cc4f0; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 1.05rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 1.5rem; text-wrap: balance; }
h2 { font-size: 1.45rem; line-height: 1.25; margin: 0 0 .75rem; }
p { max-width: 44rem; margin: 0 0 1rem; }
p { overflow-wrap: anywhere; }
a { color: var(--accent); }
.answer { margin: 0 0 1.75rem; }
.answer p { max-width: 48rem; }
.answer p:first-child { font-size: 1.2rem; line-height: 1.5; }
.answer p:last-child { color: var(--soft); font-size: .95rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr));
  gap: .75rem; margin: 0 0 1.5rem; }
.cards div { display: flex; flex-direction: column; background: var(--card);
  border-radius: .6rem; padding: .9rem 1rem; }
.cards dt { font-weight: 600; font-size: .95rem; order: 2; }
.cards dd { display: contents; }
.cards strong { order: 1; font-size: 1.9rem; line-height: 1.2; color: var(--accent); }
.cards span { order: 3; font-size: .85rem; line-height: 1.4; color: var(--soft); }
nav { border-block: 1px solid var(--line); padding: .9rem 0; }
nav h2 { font-size: .95rem; margin: 0 0 .25rem; color: var(--soft); }
nav ol { margin: 0; padding-left: 1.3rem; columns: 16rem; }
section { padding-top: 2.5rem; }
.figures { display: grid; grid-template-columns: minmax(0, 1fr); gap: 2rem; margin: 1.5rem 0; }
figure { margin: 0; min-width: 0; }
.picture { overflow-x: auto; }
img { display: block; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: .5rem; padding: .4rem; }
figcaption, caption { font-size: .9rem; line-height: 1.45; color: var(--soft); text-align: left; padding: .5rem 0 0; }
caption { padding: 0 0 .5rem; color: var(--ink); font-weight: 600; }
caption span { display: inline-block; position: sticky; left: 0; max-width: min(44rem, calc(100vw - 2.5rem)); }
.scroll { overflow: auto; max-height: 36rem; margin: 1.25rem 0; }
table { width: max-content; border-collapse: collapse; font-size: .88rem; line-height: 1.4; }
th, td { max-width: 22rem; padding: .3rem .7rem; border-bottom: 1px solid var(--line);
  text-align: left; vertical-align: top; }
thead th { border-bottom: 2px solid var(--line); vertical-align: bottom;
  position: sticky; top: 0; background: var(--paper); }
tbody th { font-weight: 500; white-space: nowrap; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
details { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem 1rem; margin: 1rem 0; }
summary { cursor: pointer; font-size: .95rem; font-weight: 600; }
summary small { color: var(--soft); font-weight: 400; }
@media print {
  :root { --ink: #000; --soft: #444; --paper: #fff; --card: #f4f4f4; --line: #bbb; --accent: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  section { padding-top: 1.5rem; }
  p, .answer p { max-width: none; }
  .figures { gap: 1rem; margin: .75rem 0; }
  figure, .cards div, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
  .scroll, .picture { overflow: visible; max-height: none; }
  img { min-width: 0 !important; max-width: 100% !important; max-height: 11.5cm; width: auto; padding: 0; border: 0; }
  table { width: auto; font-size: 7.5pt; }
  th, td { padding: .15rem .35rem; }
  thead th { position: static; }
  details:not([open]) summary::after { content: " (unfold it to print it)"; font-weight: 400; }
}
"""
