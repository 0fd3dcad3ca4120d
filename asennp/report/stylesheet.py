"""The page's style; colours are the tokens of `asennp.report.style`, for light and dark."""

from asennp.report.style import TOKENS


def _variables(which: int) -> str:
    return " ".join(f"--{name}: {pair[which]};" for name, pair in TOKENS.items())


_LIGHT = _variables(0) + (
    " --card: #f5f7f9; --good: #1c7a50; --good-bg: #dff3e8; --bad: #ad2f2b; --bad-bg: #fbe3e1;"
    " --warn-bg: #fdf2dc;"
)
_DARK = _variables(1) + (
    " --card: #1e262f; --good: #7fdcb0; --good-bg: #173a2b; --bad: #f6a29c; --bad-bg: #46201f;"
    " --warn-bg: #3a3018;"
)

STYLESHEET = (
    f"""\
:root {{ {_LIGHT} }}
@media (prefers-color-scheme: dark) {{
  :root {{ {_DARK} }}
}}
@media print {{
  :root {{ {_LIGHT} }}
}}
"""
    + """\
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
header, .columns, footer { max-width: 1180px; margin: 0 auto; padding: 0 28px; }
header { padding-top: 44px; padding-bottom: 22px; }
h1 { font-size: 2.05rem; line-height: 1.15; margin: 0; letter-spacing: -0.015em; font-weight: 680; }
.subtitle { margin: 8px 0 0; color: var(--muted); font-size: 1.06rem; max-width: 60em; }
dl, dd, dt { margin: 0; }
.facts { display: flex; flex-wrap: wrap; gap: 10px 34px; margin-top: 22px; padding-top: 16px;
  border-top: 2px solid var(--ink); }
.facts dt, .tile dt { font-size: 0.74rem; letter-spacing: 0.04em; text-transform: uppercase;
  color: var(--muted); }
.facts dd { font-size: 0.95rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.columns { display: grid; grid-template-columns: 190px minmax(0, 1fr); gap: 44px; align-items: start; }
nav { position: sticky; top: 18px; font-size: 0.9rem; padding-top: 34px; }
nav p { margin: 0 0 8px; font-size: 0.74rem; letter-spacing: 0.04em; text-transform: uppercase;
  color: var(--muted); }
nav ol { list-style: none; margin: 0; padding: 0; border-left: 2px solid var(--grid); }
nav a { display: block; padding: 4px 0 4px 14px; color: var(--muted); text-decoration: none; }
nav a:hover, nav a:focus-visible { color: var(--blue); }
section { padding-top: 26px; margin-bottom: 30px; border-top: 1px solid var(--grid); }
section:first-child { border-top: 0; }
h2 { font-size: 1.36rem; margin: 4px 0 10px; letter-spacing: -0.01em; font-weight: 650; }
p { margin: 0 0 14px; max-width: 46em; }
pre { overflow-x: auto; background: var(--card); border-radius: 6px; padding: 12px 16px; font-size: 0.82rem;
  line-height: 1.5; }
.lead { color: var(--muted); font-size: 1.04rem; }
figure { margin: 22px 0 26px; }
figure svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-family: inherit; }
figcaption, caption, .footnote { font-size: 0.88rem; line-height: 1.45; color: var(--muted);
  max-width: 52em; }
figcaption { margin-top: 8px; }
figcaption b, caption b { color: var(--ink); font-weight: 620; }
.table { margin: 22px 0 26px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.92rem; min-width: min(100%, 420px); }
caption { text-align: left; padding-bottom: 8px; }
thead th { border-bottom: 1.5px solid var(--ink); font-weight: 620; vertical-align: bottom;
  text-align: left; }
th, td { padding: 6px 22px 6px 0; text-align: left; }
th:last-child, td:last-child { padding-right: 4px; }
tbody th { font-weight: 450; }
tbody tr { border-bottom: 1px solid var(--grid); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.unit { color: var(--muted); font-weight: 400; white-space: nowrap; }
.footnote { margin: 8px 0 0; }
.better { color: var(--good); } .worse { color: var(--bad); }
.badge { display: inline-block; min-width: 3.1em; padding: 1px 8px; border-radius: 9px; text-align: center;
  font-size: 0.78rem; font-weight: 640; line-height: 1.5; background: var(--grid); color: var(--muted); }
.badge.pass { background: var(--good-bg); color: var(--good); }
.badge.fail { background: var(--bad-bg); color: var(--bad); }
.checks { list-style: none; margin: 16px 0 22px; padding: 0; }
.checks li { display: grid; grid-template-columns: 3.6em minmax(0, 3fr) minmax(0, 2fr) minmax(0, 1.6fr);
  gap: 2px 14px; align-items: baseline; padding: 7px 0; border-bottom: 1px solid var(--grid); }
.checks .badge { justify-self: start; }
.checks .got { font-variant-numeric: tabular-nums; }
.checks .required { color: var(--muted); font-size: 0.88rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px;
  margin: 18px 0 24px; }
.tile { background: var(--card); border-radius: 8px; padding: 14px 16px 12px; }
.tile .value { font-size: 1.4rem; line-height: 1.3; font-weight: 640; letter-spacing: -0.01em;
  font-variant-numeric: tabular-nums; }
.tile .value .unit { font-size: 0.88rem; font-weight: 450; }
.tile .note { color: var(--muted); font-size: 0.85rem; line-height: 1.4; }
.remark { border-left: 3px solid var(--blue); background: var(--card); padding: 10px 16px;
  border-radius: 0 6px 6px 0; }
.remark.warning { border-color: var(--amber); background: var(--warn-bg); }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr));
  gap: 0 28px; align-items: start; }
details { margin: 16px 0; }
summary { cursor: pointer; color: var(--blue); font-size: 0.94rem; }
footer { padding-top: 18px; padding-bottom: 40px; color: var(--muted); font-size: 0.85rem; }
:focus-visible { outline: 2px solid var(--blue); outline-offset: 3px; }
@media screen and (max-width: 700px) {
  svg.wide { min-width: 620px; }
}
@media (max-width: 900px) {
  .columns { grid-template-columns: minmax(0, 1fr); gap: 0; }
  nav { position: static; padding-top: 6px; }
  .checks li { grid-template-columns: 3.6em minmax(0, 1fr); }
  .checks .got, .checks .required { grid-column: 2; }
}
@media print {
  body { font-size: 10.5pt; background: none; }
  nav { display: none; }
  .columns { display: block; }
  header, .columns, footer { max-width: none; padding-left: 0; padding-right: 0; }
  figure, .table, .tile, .checks li { break-inside: avoid; }
  h2 { break-after: avoid; }
  .scroll { overflow: visible; }
}"""
)
