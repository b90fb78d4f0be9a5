"""The style of the report page: light and dark, for wide and narrow screens, and for paper."""

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --card: #f6f7f9; --ink: #16191d; --soft: #57606a; --line: #d9dee4;
  --bar: #b6c0cb; --mark: #0b6bcb; --marked: #eaf3fd; --good: #11703a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --paper: #12151a; --card: #1b2027; --ink: #e8ebef; --soft: #a3adb8;
  --line: #323a44; --bar: #4b5765; --mark: #5aa9f7; --marked: #17283b; --good: #5fd08c; --bad: #ff8f85; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.75rem 0 .25rem; }
p { margin: 0 0 .9rem; color: var(--soft); max-width: 50rem; }
.lead { font-size: 1.05rem; }
.headlines { display: grid; grid-template-columns: repeat(auto-fit, minmax(12.4rem, 1fr)); gap: .8rem;
  margin: 1.6rem 0 0; padding: 0; list-style: none; }
.headlines li { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .8rem .95rem; }
.name { font-size: .8rem; color: var(--soft); }
.value { display: block; font-size: 1.12rem; font-weight: 650; margin: .1rem 0 .2rem; }
.meaning { font-size: .82rem; color: var(--soft); }
.good::after { content: "\\a0\\2713"; color: var(--good); }
.bad::after { content: "\\a0\\2717"; color: var(--bad); }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .5rem .75rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { background: var(--card); color: var(--soft); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 600; min-width: 8rem; max-width: 20rem; overflow-wrap: break-word; }
td { min-width: 12rem; overflow-wrap: anywhere; }
td.figure, th.figure { text-align: right; white-space: nowrap; min-width: 0; }
tr.marked { background: var(--marked); }
.bars { display: grid; grid-template-columns: max-content 1fr; gap: .55rem .9rem; align-items: center;
  margin: 0; padding: 1rem; border: 1px solid var(--line); border-radius: .5rem; }
.bars dt { font-weight: 600; font-size: .9rem; }
.bars dt small { display: block; font-weight: 400; color: var(--soft); font-size: .78rem; max-width: 17rem; }
.bars dd { margin: 0; display: flex; align-items: center; gap: .6rem; font-variant-numeric: tabular-nums; }
.bars svg { display: block; flex: 1; height: 1.15rem; min-width: 4rem; }
.bars rect { fill: var(--bar); } .bars .marked rect { fill: var(--mark); }
.bars dd span { min-width: 4.5rem; font-weight: 600; white-space: nowrap; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.spread { margin: 0; padding: 1rem 1.4rem .8rem 1rem; border: 1px solid var(--line); border-radius: .5rem; }
.spread-row p { margin: 0 0 .15rem; font-size: .85rem; } .spread-row b { color: var(--ink); }
.spread-row svg { display: block; width: 100%; height: 3.4rem; margin-bottom: .7rem;
  border-bottom: 1px solid var(--soft); }
.spread path { fill: none; stroke: var(--ink); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.spread .counts { fill: var(--bar); stroke: none; } .spread .marked .counts { fill: var(--mark); }
.spread .p99 { stroke-dasharray: 4 3; }
.scale { position: relative; height: 1.2rem; font-size: .75rem; color: var(--soft); }
.scale span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.spread figcaption { font-size: .8rem; color: var(--soft); }
.scatter { overflow-x: auto; margin: 0; padding: .75rem; border: 1px solid var(--line); border-radius: .5rem; }
.scatter svg { display: block; width: 100%; min-width: 38rem; max-width: 56rem; height: auto; }
.scatter text { fill: var(--ink); font-size: 13px; } .scatter .small { fill: var(--soft); font-size: 12px; }
.scatter .chosen { fill: var(--mark); font-weight: 650; } .scatter circle.held { fill: var(--soft); }
.scatter circle.refused { fill: none; stroke: var(--bad); stroke-width: 2; } .scatter text.refused { fill: var(--bad); }
.scatter path { fill: none; stroke: var(--soft); } .scatter .leader { stroke: var(--line); }
.scatter .limit { stroke: var(--bad); stroke-dasharray: 5 4; }
@media (max-width: 34rem) { .scale span:nth-child(even) { display: none; }
  .bars { grid-template-columns: 1fr; gap: .2rem; } .bars dd { margin-bottom: .6rem; } }
@media print { main { max-width: none; padding: 0; } h2, .scroll, .bars, .spread, .scatter { break-inside: avoid; } }
"""
