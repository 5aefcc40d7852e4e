"""The report's style sheet, light and dark."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1e23; --paper: #fff; --dim: #545b66; --line: #d5d9e0;
  --bar: #21708e; --bad: #9b2c00; --link: #0b57a4; --panel: #f4f6f8 }
@media (prefers-color-scheme: dark) { :root { --ink: #e9ecf1; --paper: #15181d; --dim: #a9b2bf;
  --line: #363c46; --bar: #4db3d1; --bad: #ff9d73; --link: #7fbcff; --panel: #1e2229 } }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper) }
header, main { max-width: 1120px; margin: auto; padding: 0 20px }
h1 { font-size: 24px; margin: 24px 0 8px; overflow-wrap: anywhere }
h2 { font-size: 18px; margin: 32px 0 10px; padding-bottom: 4px;
  border-bottom: 1px solid var(--line) }
a { color: var(--link) }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 0 }
dt { color: var(--dim) }
dd { margin: 0; overflow-wrap: anywhere }
ul { list-style: none; padding: 0; margin: 0 }
li { padding: 6px 12px; margin: 4px 0; background: var(--panel);
  border-left: 4px solid var(--line) }
li.warning { border-color: var(--bad) }
li.warning b { color: var(--bad) }
.scroll { overflow-x: auto; margin: 8px 0 16px }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: 4px 14px 4px 0; text-align: left; border-bottom: 1px solid var(--line) }
thead th { color: var(--dim); font-weight: 600; vertical-align: bottom }
tbody th { font-weight: 600 }
tbody th, td { white-space: nowrap }
figure { margin: 0 }
figcaption { color: var(--dim); font-size: 13px; overflow-wrap: anywhere }
.charts, .samples { display: grid; gap: 20px;
  grid-template-columns: repeat(auto-fill, minmax(min(320px, 100%), 1fr)) }
img { width: 100%; height: auto; display: block }
.chart { width: 100%; height: auto; font-size: 12px }
.chart text { fill: var(--dim) }
.bar { fill: var(--bar) }
.grid { stroke: var(--line) }
"""
